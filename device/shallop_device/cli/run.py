"""``shallopd run``."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from shallop_device import daemon, inbox, logs
from shallop_device.cli import options

LEVELS = ("debug", "info", "warning", "error")


@click.command()
@options.STATE
@options.CONFIG
@click.option(
    "--heartbeat",
    type=click.FloatRange(min=1.0),
    show_envvar=True,
    help="Seconds after which the report is sent again though nothing changed ([link] heartbeat_s).",
)
@click.option(
    "--retry-first",
    type=click.FloatRange(min=0.0, min_open=True),
    show_envvar=True,
    help="Longest wait in seconds after the first failure; doubles with each further one ([retry] first_s).",
)
@click.option(
    "--retry-cap",
    type=click.FloatRange(min=0.0, min_open=True),
    show_envvar=True,
    help="Longest wait in seconds after any failure ([retry] cap_s).",
)
@click.option("--log-level", type=click.Choice(LEVELS), show_envvar=True, help="What is logged ([log] level).")
def run(
    state_dir: Path | None,
    config_file: Path | None,
    heartbeat: float | None,
    retry_first: float | None,
    retry_cap: float | None,
    log_level: str | None,
) -> None:
    """Run the agent until SIGTERM or SIGINT.

    Works without a broker too: what was ordered earlier is put and kept in force. An option goes before the settings.

    Example: shallopd run --state /var/lib/shallop
    """
    chosen = options.load(
        config_file,
        state_dir,
        link__heartbeat_s=heartbeat,
        retry__first_s=retry_first,
        retry__cap_s=retry_cap,
        log__level=log_level,
    ).settings
    logs.set_up(chosen.log.level)
    items = inbox.Inbox()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: items.put(inbox.Stop()))
    daemon.run(chosen, items)
