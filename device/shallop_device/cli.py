"""The command line: ``shallopd enroll``, ``run`` and ``status``."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from shallop_protocol import messages

from shallop_device import __version__, agent, backoff, daemon, enrol, errors, identity, inbox, logs, store

_STATE = click.option(
    "--state",
    "state_dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="SHALLOPD_STATE",
    show_envvar=True,
    help="Directory of the agent's own state; it holds a secret.",
)
_LEVELS = ("debug", "info", "warning", "error")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="shallopd")
def cli() -> None:
    """shallopd puts on this robot what its shallop cloud ordered, and says what became of it.

    Robot software reads ROOT/current/. Enrol once, then keep the agent running.

    Every option can be given by the environment: "shallopd run --log-level" is SHALLOPD_RUN_LOG_LEVEL.
    """


@cli.command()
@click.option("--server", required=True, show_envvar=True, help="Address of the cloud: https://host[:port].")
@click.option("--token", required=True, show_envvar=True, help="The one-time token that the cloud gave.")
@_STATE
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    show_envvar=True,
    help="Configuration root: the agent keeps current/ and deployments/ below it, and touches nothing else.",
)
def enroll(server: str, token: str, state_dir: Path, root: Path) -> None:
    """Make this robot known to a cloud.

    Can be repeated with the same token, also after a power cut.

    Example: shallopd enroll --server https://fleet.example.com --token T --state /var/lib/shallop --root /etc/robot
    """
    logs.set_up("warning")
    who = enrol.enrol(server, token, state_dir, root)
    click.echo(f"{who.name} ({who.device}) is enrolled at {who.server}")
    click.echo(f"next: shallopd run --state {state_dir}")


@cli.command()
@_STATE
@click.option(
    "--heartbeat",
    type=click.FloatRange(min=1.0),
    default=agent.HEARTBEAT_S,
    show_default=True,
    show_envvar=True,
    help="Seconds after which the report is sent again and the files are read back, though nothing changed.",
)
@click.option(
    "--retry-first",
    type=click.FloatRange(min=0.0, min_open=True),
    default=backoff.RETRY.first,
    show_default=True,
    show_envvar=True,
    help="Longest wait in seconds after the first failure; doubles with each further one.",
)
@click.option(
    "--retry-cap",
    type=click.FloatRange(min=0.0, min_open=True),
    default=backoff.RETRY.cap,
    show_default=True,
    show_envvar=True,
    help="Longest wait in seconds after any failure.",
)
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, show_envvar=True)
def run(state_dir: Path, heartbeat: float, retry_first: float, retry_cap: float, log_level: str) -> None:
    """Run the agent until SIGTERM or SIGINT.

    Works without a broker too: what was ordered earlier is put and kept in force.

    Example: shallopd run --state /var/lib/shallop
    """
    logs.set_up(log_level)
    items = inbox.Inbox()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: items.put(inbox.Stop()))
    daemon.run(state_dir, items, heartbeat=heartbeat, retry=backoff.Backoff(retry_first, retry_cap))


@cli.command()
@_STATE
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)
def status(state_dir: Path, output: str) -> None:
    """Show what the agent last knew, whether or not it runs.

    Example: shallopd status --state /var/lib/shallop -o json
    """
    memory = store.Store.open_to_read(state_dir)
    try:
        who = memory.identity
        if who is None:
            raise daemon.not_enrolled(state_dir)
        shown = _status(who, memory)
    finally:
        memory.close()
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False) if output == "json" else _as_text(shown))


def _status(who: identity.Identity, memory: store.Store) -> dict[str, Any]:
    epoch, generation = memory.memory.position
    outgoing = memory.report
    report = messages.parse_report(outgoing.body, who.wire_id) if outgoing else None
    return {
        "device": {"id": who.device, "name": who.name, "server": who.server, "broker": who.mqtt_url},
        "root": str(who.root),
        "epoch": epoch,
        "generation": generation,
        "current": report.current if report else None,
        "deployments": [entry.model_dump(mode="json") for entry in report.deployments] if report else [],
        "refused": report.refused.model_dump(mode="json") if report and report.refused else None,
        "report": {"seq": outgoing.seq, "at": report.model_dump(mode="json")["at"], "sent": outgoing.sent}
        if outgoing and report
        else None,
    }


def _as_text(shown: dict[str, Any]) -> str:
    device, report, refused = shown["device"], shown["report"], shown["refused"]
    order = f"epoch {shown['epoch']}, generation {shown['generation']}" if shown["generation"] else "none yet"
    lines = [
        f"device      {device['name']} ({device['id']}) of {device['server']}",
        f"root        {shown['root']}",
        f"in force    {shown['current'] or 'nothing'}",
        f"last order  {order}",
    ]
    if report:
        lines.append(f"report      {report['seq']}, {'sent' if report['sent'] else 'not sent yet'}")
    if refused:
        lines.append(f"refused     {refused['code']}: {refused['message']}")
    if shown["deployments"]:
        rows = [("DEPLOYMENT", "ACTIVITY", "ERROR", "ATTEMPTS", "SINCE", "REASON")]
        rows += [
            (
                entry["id"],
                entry["activity"],
                entry["error"],
                str(entry["attempts"]),
                entry["since"],
                f"{entry['reason']['code']}: {entry['reason']['message']}" if entry["reason"] else "",
            )
            for entry in shown["deployments"]
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines.append("")
        lines += [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
            for row in rows
        ]
    return "\n".join(lines)


def main() -> NoReturn:
    """The entry point: errors become one line on stderr and an exit code; 0 ok, 1 failed, 2 usage, 4 auth."""
    try:
        cli(auto_envvar_prefix="SHALLOPD", prog_name="shallopd")
    except errors.AgentError as error:
        click.echo(f"shallopd: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)
