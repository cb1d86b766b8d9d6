"""``shallop export``: all that the server knows, as one SQLite file for other tools."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import exits, output, progress, settings, tables, words
from shallop_cloud.cli.exits import Exit
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.progress import Tell
from shallop_cloud.cli.settings import Settings

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json


@click.command(epilog=example("shallop export --sqlite fleet.db"))
@click.option(
    "--sqlite",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Where to write it.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@settings.full
def export(settings: Settings, file: Path, force: bool) -> None:
    """Write devices, releases, schemas, deployments, config files and history into a SQLite database.

    For reports and notebooks; it is no backup that a server could start from. The file appears when it is complete.
    What happens on the server meanwhile may be in it or not.
    """
    if file.exists() and not force:
        raise click.UsageError(f"{str(file)!r} is there already; --force replaces it")
    if not file.absolute().parent.is_dir():
        raise click.UsageError(f"{str(file.absolute().parent)!r} is not a directory")
    with settings.api() as api, progress.counted("exporting", piped=False) as tell:
        counts = _written(api, file, tell)
    answer = {"file": str(file), "data": [{"table": name, "rows": rows} for name, rows in counts.items()]}
    output.show(answer, settings.output, _shown, lambda answer: [answer["file"]])


def _written(api: Api, file: Path, tell: Tell) -> dict[str, int]:
    """Fills a file in a directory of its own beside ``file``, and renames it when all is there."""
    import sqlite3  # with sqlite_utils, slow to load

    from shallop_cloud.cli import export_rows

    try:
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.absolute().parent) as directory:
            unfinished = Path(directory, file.name)
            counts = export_rows.fill(unfinished, api, tell)
            unfinished.replace(file)
    except (OSError, sqlite3.Error) as error:
        raise exits.Failure(Exit.FAILED, f"cannot write {str(file)!r}: {error}") from None
    return counts


def _shown(answer: Json) -> None:
    tables.columns(("TABLE", "ROWS"), [(each["table"], str(each["rows"])) for each in answer["data"]])
    tables.say()
    tables.say(f"{words.counted(sum(each['rows'] for each in answer['data']), 'row')} in {answer['file']}")
