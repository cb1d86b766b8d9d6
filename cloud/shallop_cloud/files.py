"""Small files of the data directory: whole or not there, and readable by their owner alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

DATABASE = "shallop.db"
"""The SQLite database in a data directory."""


def write(path: Path, data: bytes) -> None:
    """Replaces a file, mode 0600: temporary file, fsync, rename, fsync of the directory."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def secret(path: Path, make: Callable[[], str]) -> str:
    """The secret that a file keeps, made at first use."""
    if not path.exists():
        write(path, f"{make()}\n".encode())
    return path.read_text().strip()
