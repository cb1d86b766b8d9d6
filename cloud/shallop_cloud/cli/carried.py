"""``shallop bundle`` and ``shallop report``: to a robot without a network, and back, by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shallop_cloud.cli import offers, output, parameters, saving, settings, tables
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.settings import Settings
from shallop_cloud.cli.sources import STDIN

_DEVICE = click.argument("name", type=parameters.key, metavar="DEVICE", shell_complete=offers.devices)


@click.command(epilog=example("shallop bundle amr-07 -o amr-07.shallop-bundle"))
@_DEVICE
@click.option(
    "-o",
    "--to",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.  [default: DEVICE.shallop-bundle here]",
)
@settings.connection
def bundle(settings: Settings, name: str, file: Path | None) -> None:
    """Write a device's newest order with all its files into one signed file.

    It goes by hand to where no network does: there, `shallopd apply-bundle FILE` takes it as if it had come through
    the broker, and `shallopd report` writes what became of it.
    """
    file = file or Path(f"{name}.shallop-bundle")
    with settings.api() as api, saving.to(file) as write:
        api.save("devices", name, "bundle", to=write)
    click.echo(f"{file}: on the robot, shallopd apply-bundle {file.name}")


@click.command(epilog=example("shallop report amr-07 amr-07.report.json"))
@_DEVICE
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True, dir_okay=False), metavar="FILE")
@settings.full
def report(settings: Settings, name: str, file: Path) -> None:
    """Take the report of a device that `shallopd report` wrote; - is stdin.

    It counts as if it had come through the broker. One that is known, or older than another, changes nothing.
    """
    try:
        data = sys.stdin.buffer.read() if str(file) == STDIN else file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {str(file)!r}: {error.strerror or error}") from None
    with settings.api() as api:
        brought = api.post_bytes("devices", name, "report", body=data)
    words = "taken" if brought["news"] else "nothing new: this report, or a later one, is known"
    output.show(brought, settings.output, lambda _: tables.say(words))
