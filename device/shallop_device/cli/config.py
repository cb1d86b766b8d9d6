"""``shallopd config``: the settings, checked and shown."""

from __future__ import annotations

import json
from pathlib import Path

import click

from shallop_device import settings
from shallop_device.cli import options


@click.group()
def config() -> None:
    """The settings of this robot's agent.

    The defaults, then the file, then the environment (SHALLOPD_LINK_KEEPALIVE_S for keepalive_s in [link]), then the
    options of "shallopd run": what comes later goes first.
    """


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@options.CONFIG
def check(file: Path | None, config_file: Path | None) -> None:
    """Check a file of settings, together with the environment. Without FILE, the one that the agent would read.

    Example: shallopd config check /etc/shallop/shallopd.toml
    """
    loaded = settings.load(file or config_file)
    given = len({name for name in loaded.origins if "." in name or name == "state"})
    click.echo(f"ok: {given} of the settings are set; the others have their defaults")


@config.command()
@options.STATE
@options.CONFIG
@options.OUTPUT
def show(state_dir: Path | None, config_file: Path | None, output: str) -> None:
    """Show each setting, and where its value comes from. There are no secrets among them.

    Example: shallopd config show -o json
    """
    rows = list(options.load(config_file, state_dir).rows())
    if output == "json":
        shown = {name: {"value": value, "from": origin} for name, value, origin in rows}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    lines = [(name, json.dumps(value, ensure_ascii=False), origin) for name, value, origin in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(2)]
    for name, value, origin in lines:
        click.echo(f"{name.ljust(widths[0])}  {value.ljust(widths[1])}  {origin}")
