"""``shallop config``: the files of deployments."""

from __future__ import annotations

import click

from shallop_cloud.cli import groups, parameters, settings
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.settings import Settings


@click.group(cls=groups.Group)
def config() -> None:
    """Config instances: the files of deployments, kept byte for byte."""


@config.command(epilog=example("shallop config cat CFG-2WJ8C > motion.yaml"))
@click.argument("key", type=parameters.key, metavar="CFG")
@settings.connection
def cat(settings: Settings, key: str) -> None:
    """Write a config instance to stdout: the bytes that its author gave, nothing else.

    CFG is its id or the beginning of it; `shallop deployment show` lists them.
    """
    with settings.api() as api:
        content = api.content("config-instances", key, "content")
    click.echo(content, nl=False)
