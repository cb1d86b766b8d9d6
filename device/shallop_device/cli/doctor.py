"""``shallopd doctor``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click
from shallop_protocol import terminal

from shallop_device import doctor as examination
from shallop_device.cli import options


@click.command()
@options.STATE
@options.CONFIG
@options.OUTPUT
def doctor(state_dir: Path | None, config_file: Path | None, output: str) -> None:
    """Look at all that the agent needs, and say what to do. Best run as the agent's user.

    Disk, clock, limits, permissions, identity, hooks, door, broker and cloud. Works while the agent runs. Ends with 0
    if nothing failed, with 1 if something did; a warning is no failure.

    Example: runuser -u shallop -- shallopd doctor
    """
    found: list[examination.Finding] = []
    for finding in examination.examine(options.load(config_file, state_dir)):
        found.append(finding)
        if output == "table":
            advice = f"\n{'':>18}{finding.advice}" if finding.advice else ""
            click.echo(terminal.lines(f"{finding.grade:<4}  {finding.subject:<11} {finding.words}{advice}"))
    failed = sum(finding.grade == "fail" for finding in found)
    if output == "json":
        click.echo(terminal.as_json([dataclasses.asdict(finding) for finding in found], 2))
    elif failed:
        click.echo(f"{failed} failed")
    sys.exit(1 if failed else 0)
