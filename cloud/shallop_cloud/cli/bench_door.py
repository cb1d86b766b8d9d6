"""How the commands of ``shallop bench`` find a running bench, ask it, and end when something is wrong with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import click

from shallop_cloud.cli import exits

Json = dict[str, Any]
"""What is asked of a running bench, and what it answers."""

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Which bench, by its directory [default: the newest of yours that runs].",
)


@contextlib.contextmanager
def errors_as_exits() -> Generator[None]:
    """Lets a command end as `exits.Exit` says when something is wrong with a bench, or with being without one.

    Raises:
        exits.Failure: for whatever error of the bench.
    """
    try:
        from shallop_cloud.bench.fleet import errors
    except ImportError as error:
        words = f"the bench is not installed ({error}); pip install 'shallop-cloud[bench]'"
        raise exits.Failure(exits.Exit.FAILED, words) from None
    try:
        yield
    except errors.BenchError as error:
        code = exits.Exit.FAILED
        match error:
            case errors.Refused():
                code = exits.Exit.USAGE
            case errors.NotRunning():
                code = exits.Exit.NOT_FOUND
            case errors.Invalid():
                code = exits.Exit.INVALID
            case errors.NotConverged():
                code = exits.Exit.TIMED_OUT
            case errors.DevicesFailed():
                code = exits.Exit.DEVICES_FAILED
            case errors.ApiError():
                code = exits.of_http(error.status)
            case _:
                pass
        first, *lines = str(error).splitlines()
        raise exits.Failure(code, first, [f"  {line.strip()}" for line in lines]) from None


def ask(directory: Path | None, request: Json) -> Json:
    """What a running bench answers.

    Raises:
        exits.Failure: there is none, or it could not do it.
    """
    with errors_as_exits():
        from shallop_cloud.bench.fleet import asking

        return asking.ask(found(directory), request)


def found(directory: Path | None) -> Path:
    """The directory of the bench that is meant; to be called where errors become exits."""
    from shallop_cloud.bench.fleet import directories

    return directory.absolute() if directory else directories.newest(directories.register_of(os.environ))
