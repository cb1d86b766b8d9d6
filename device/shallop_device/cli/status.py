"""``shallopd status``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from shallop_protocol import messages, terminal

from shallop_device import errors, identity, store
from shallop_device.cli import options


@click.command()
@options.STATE
@options.CONFIG
@options.OUTPUT
def status(state_dir: Path | None, config_file: Path | None, output: str) -> None:
    """Show what the agent last knew, whether or not it runs.

    Example: shallopd status --state /var/lib/shallop -o json
    """
    state = options.load(config_file, state_dir).settings.state
    memory = store.Store.open_to_read(state)
    try:
        who = memory.identity
        if who is None:
            raise errors.not_enrolled(state)
        shown = _status(who, memory)
    finally:
        memory.close()
    click.echo(terminal.as_json(shown, 2) if output == "json" else _as_text(shown))


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
        "stale": report is not None and report.stale,
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
    if shown["stale"]:
        lines.append("freshness   stale: nothing proves that this is the newest order; see: shallopd doctor")
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
    return "\n".join(terminal.line(each) for each in lines)
