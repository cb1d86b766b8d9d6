"""``shallop config``: the files of deployments."""

from __future__ import annotations

from pathlib import Path

import click

from shallop_cloud.cli import groups, parameters, saving, settings
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.settings import Settings


@click.group(cls=groups.Group)
def config() -> None:
    """Config instances: the files of deployments, kept byte for byte."""


@config.command(epilog=example("shallop config cat CFG-2WJ8C > motion.yaml"))
@click.argument("key", type=parameters.key, metavar="CFG")
@click.option("-o", "--to", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write it there.")
@settings.connection
def cat(settings: Settings, key: str, file: Path | None) -> None:
    """Write a config instance to stdout: the bytes that its author gave, nothing else.

    CFG is its id or the beginning of it; `shallop deployment show` lists them.
    """
    with settings.api() as api, saving.to(file) as write:
        api.save("config-instances", key, "content", to=write)
