"""``shallop copy-database``: from SQLite to PostgreSQL."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from shallop_cloud import errors, files, server
from shallop_cloud.cli.parameters import example
from shallop_cloud.store import moving
from shallop_cloud.store.database import Database


@click.command(
    "copy-database",
    epilog=example("shallop copy-database --data ./data --database postgresql://me@db/shallop"),
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="The data directory of a server that is stopped.",
)
@click.option(
    "--database", metavar="URL", envvar="SHALLOP_DATABASE", required=True, help="An empty PostgreSQL database."
)
def copy_database(data: Path, database: str) -> None:
    """Copy what a server recorded in SQLite into a PostgreSQL database, for many servers to share.

    Stop the server first. Its data directory stays as it is; start it again with --database, and it goes on where it
    was.
    """
    if not (data / files.DATABASE).exists():
        raise click.ClickException(f"there is no shallop.db in {data}; name a server's data directory with --data")
    try:
        with (
            server.locked(data),
            contextlib.closing(Database.in_directory(data)) as source,
            contextlib.closing(Database.at(database)) as target,
        ):
            copied = moving.copy(source, target)
    except (errors.StartupError, errors.Problem) as error:
        raise click.ClickException(str(error)) from None
    for table, count in copied.items():
        if count:
            click.echo(f"{table:22}{count:>10}")
    click.echo(f"Everything is there, and the history holds together. Now: shallop serve --data {data} --database …")
