"""Reads a robot's configuration as its software does: opens ``current`` once, and reads what is there."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import time
from pathlib import Path

from shallop_protocol import digests

PARTS = ("a", "b", "c")
"""The config types of the release that is deployed, each with one file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What was found between two moments of the monotonic clock.

    Attributes:
        tree: the name of the directory; None if there was no ``current``.
        marks: which contents the files are of; one, if all is well.
    """

    begin: float
    end: float
    tree: str | None = None
    digest: str | None = None
    marks: tuple[str, ...] = ()


def path(part: str) -> str:
    """Where the file of a config type goes."""
    return f"{part}/{part}.txt"


def content(device: str, number: int, lines: int) -> str:
    """The text of every file of a deployment: each line says whose it is."""
    return f"{device} {number}\n" * lines


def expected_digest(text: str) -> str:
    """The digest of a deployment all of whose files have this text."""
    data = text.encode()
    one = digests.of_bytes(data)
    return digests.of_files(digests.FileDigest(path(part), "0644", len(data), one) for part in PARTS)


def look(root: Path) -> Look | None:
    """What is there now; None if it was taken off while it was read, so that one has to look again.

    A tree loses its name before anything in it is deleted: if it has its name still at the end, all of it was there.
    """
    begin = time.monotonic()
    try:
        tree = os.open(root / "current", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return Look(begin, time.monotonic())
    try:
        name = _name(tree)
        files, marks = _read(tree)
        if name.startswith(".") or _name(tree) != name:
            return None
    except FileNotFoundError:
        return None
    finally:
        os.close(tree)
    return Look(begin, time.monotonic(), name, digests.of_files(files), tuple(sorted(marks)))


def _name(tree: int) -> str:
    return Path(f"/proc/self/fd/{tree}").readlink().name


def _read(tree: int) -> tuple[list[digests.FileDigest], set[str]]:
    files: list[digests.FileDigest] = []
    marks: set[str] = set()
    for place, _, names, directory in os.fwalk(".", dir_fd=tree):
        for name in names:
            with contextlib.closing(os.fdopen(os.open(name, os.O_RDONLY, dir_fd=directory), "rb")) as file:
                data = file.read()
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            where = os.path.normpath(f"{place}/{name}")
            files.append(digests.FileDigest(where, f"0{mode:03o}", len(data), digests.of_bytes(data)))
            marks |= set(data.decode(errors="replace").splitlines()) or {"empty"}
    return files, marks
