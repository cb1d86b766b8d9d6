"""What every thin robot does with a new file: four steps and two fsyncs, the same for every system."""

from __future__ import annotations

import os
from pathlib import Path


def write(directory: Path, name: str, data: bytes) -> None:
    """Puts a file in place of an earlier one, at one instant, so that it survives a power cut: a temporary file,
    fsync, rename, fsync of the directory."""
    temporary = f"{directory}/.{name}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, f"{directory}/{name}")  # noqa: PTH104  as bare as can be
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
