"""The contents that travel by reference, on their way through this robot.

::

    <state>/contents/<hex of the SHA-256>        all of it: the bytes were seen to have this digest, and are on the disk
    <state>/contents/<hex of the SHA-256>.part   the first bytes of it; a fetch that was cut short goes on behind them

A part is not believed: its bytes are digested before it gets the name of the whole, whatever became of it in between.
What no order needs any more is dropped (``keep_only``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from shallop_protocol import digests
from shallop_protocol.desired import Instance

DIRECTORY = "contents"
"""Its name in the state directory."""
CHUNK_BYTES = 262_144
_PART = ".part"


class WrongBytes(Exception):
    """A part that is complete and has another digest than it should. It was thrown away."""


class Library:
    """A directory of contents by digest. Every method may raise OSError, with the path as its file name.

    One thread fetches, another one reads and drops; whatever they do meanwhile, a whole content is whole.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def has(self, instance: Instance) -> bool:
        """Whether all bytes of a file are here."""
        try:
            return self._path(instance.digest).stat().st_size == instance.size
        except FileNotFoundError:
            return False

    def read(self, instance: Instance) -> Iterator[bytes]:
        """Them, piece by piece; OSError if they are not here."""
        with self._path(instance.digest).open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                yield piece

    @contextlib.contextmanager
    def open_part(self, instance: Instance) -> Generator[Part]:
        """What is here of a file, to be added to. It stays when the block ends, also by an error."""
        self._make_directory()
        whole = self._path(instance.digest)
        path = whole.with_name(whole.name + _PART)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
            yield Part(file, path, whole, instance)

    def keep_only(self, digests: Collection[str]) -> None:
        """Drops all contents and parts but those with these digests."""
        kept = {_name(digest) for digest in digests}
        try:
            found = list(self._directory.iterdir())
        except FileNotFoundError:
            return
        for path in found:
            if path.name.removesuffix(_PART) not in kept:
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._directory / _name(digest)

    def _make_directory(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync(self._directory.parent)


class Part:
    """The first bytes of a content."""

    def __init__(self, file: BinaryIO, path: Path, whole: Path, instance: Instance) -> None:
        self._file = file
        self._path = path
        self._whole = whole
        self._instance = instance
        self._counted = digests.Counted()
        while piece := file.read(CHUNK_BYTES):
            self._counted.add(piece)
        if self.size > instance.size:
            self.restart()

    @property
    def size(self) -> int:
        """How many there are."""
        return self._counted.size

    def add(self, piece: bytes) -> None:
        """The next ones."""
        self._file.write(piece)
        self._counted.add(piece)

    def restart(self) -> None:
        """Throws away what there is."""
        self._file.seek(0)
        self._file.truncate()
        self._counted = digests.Counted()

    def finish(self) -> None:
        """Gives it its name, if it is what it should be. When this returns, it is on the disk.

        Raises:
            WrongBytes: it is not.
        """
        if (self.size, self._counted.digest) != (self._instance.size, self._instance.digest):
            found = f"{self.size} bytes with digest {self._counted.digest}"
            self.restart()
            wanted = f"{self._instance.size} bytes with digest {self._instance.digest}"
            raise WrongBytes(f"{self._instance.path}: got {found}, ordered are {wanted}")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.rename(self._whole)
        _sync(self._whole.parent)


def _name(digest: str) -> str:
    return digest.partition(":")[2]


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
