"""Bytes that come from the server, into a file or to stdout."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import click


@contextlib.contextmanager
def to(file: Path | None) -> Generator[Callable[[bytes], object]]:
    """Gives what writes to a file, or to stdout if there is none. The file is there when the block ends well, and as
    it was before if it does not.

    Raises:
        click.UsageError: it cannot be written.
    """
    if file is None:
        yield sys.stdout.buffer.write
        return
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("wb") as out:
            yield out.write
        part.replace(file)
    except OSError as error:
        raise click.UsageError(f"cannot write {str(file)!r}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
