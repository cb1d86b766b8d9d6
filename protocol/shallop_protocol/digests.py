"""Digests, written ``sha256:`` and 64 lower-case hex digits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

PATTERN = r"^sha256:[0-9a-f]{64}$"


class FileDigest(NamedTuple):
    """What a deployment's digest says of one file."""

    path: str
    mode: str
    size: int
    digest: str


def of_bytes(data: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Counted:
    """Bytes that come in pieces: how many there were, and their digest."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """The next ones."""
        self.size += len(piece)
        self._hash.update(piece)

    @property
    def digest(self) -> str:
        """Of all so far."""
        return f"sha256:{self._hash.hexdigest()}"


def of_files(files: Iterable[FileDigest]) -> str:
    """The digest of a set of files: of one entry ``path NUL mode SP size SP digest LF`` for each, sorted.

    Two deployments with the same files have the same digest, whatever their ids. It can be computed from a
    directory tree alone, so the robot proves by it what it read back from its disk.
    """
    lines = sorted(f"{file.path}\0{file.mode} {file.size} {file.digest}\n" for file in files)
    return of_bytes("".join(lines).encode())
