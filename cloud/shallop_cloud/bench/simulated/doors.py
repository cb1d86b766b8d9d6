"""The address of a Unix socket, however deep its directory is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def short(path: Path) -> Generator[str]:
    """Another name for a path, good while the block lasts: a socket's address has room for 107 bytes, unix(7)."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
