"""``shallop bench broker`` and ``shallop bench cloud``: a running bench's two parts ashore, killed and brought back."""

from __future__ import annotations

from pathlib import Path

import click

from shallop_cloud.cli import bench_door, groups, parameters


@click.group(cls=groups.Group, epilog=parameters.example("shallop bench broker wipe"))
def broker() -> None:
    """Kill the broker of a running bench, let it forget, or bring it back."""


@broker.command("kill", epilog=parameters.example("shallop bench broker kill"))
@bench_door.directory_option
def kill_broker(directory: Path | None) -> None:
    """Kill it (SIGKILL). It stays away until `shallop bench broker restart`."""
    bench_door.ask(directory, {"do": "broker kill"})
    click.echo("the broker is killed; `shallop bench broker restart` brings it back")


@broker.command(epilog=parameters.example("shallop bench broker wipe"))
@bench_door.directory_option
def wipe(directory: Path | None) -> None:
    """Kill it and start it again without anything that it knew: every retained message is gone."""
    bench_door.ask(directory, {"do": "broker wipe"})
    click.echo("the broker was killed and runs again, and has forgotten everything")


@broker.command("restart", epilog=parameters.example("shallop bench broker restart"))
@bench_door.directory_option
def restart_broker(directory: Path | None) -> None:
    """End it in order, if it runs, and start it again. The embedded broker forgets everything by that, too."""
    bench_door.ask(directory, {"do": "broker restart"})
    click.echo("the broker runs again")


@click.group(cls=groups.Group, epilog=parameters.example("shallop bench cloud restore-backup"))
def cloud() -> None:
    """Kill the cloud of a running bench, bring it back, or put it back to an earlier day."""


@cloud.command("kill", epilog=parameters.example("shallop bench cloud kill"))
@bench_door.directory_option
def kill_cloud(directory: Path | None) -> None:
    """Kill it (SIGKILL). It stays away until `shallop bench cloud restart`."""
    bench_door.ask(directory, {"do": "cloud kill"})
    click.echo("the cloud is killed; `shallop bench cloud restart` brings it back")


@cloud.command("restart", epilog=parameters.example("shallop bench cloud restart"))
@bench_door.directory_option
def restart_cloud(directory: Path | None) -> None:
    """End it in order, if it runs, and start it again."""
    bench_door.ask(directory, {"do": "cloud restart"})
    click.echo("the cloud runs again")


@cloud.command(epilog=parameters.example("shallop bench cloud backup"))
@bench_door.directory_option
def backup(directory: Path | None) -> None:
    """Copy its database, in place of the earlier copy. The first one is made when the bench is up."""
    bench_door.ask(directory, {"do": "cloud backup"})
    click.echo("the cloud's database is copied; `shallop bench cloud restore-backup` puts it back")


@cloud.command("restore-backup", epilog=parameters.example("shallop bench cloud restore-backup"))
@bench_door.directory_option
def restore_backup(directory: Path | None) -> None:
    """Kill it, put its database back as it was at the last backup, and start it again."""
    bench_door.ask(directory, {"do": "cloud restore-backup"})
    click.echo("the cloud runs again, and knows what it knew at the last backup")
