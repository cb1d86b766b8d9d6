"""Every step on the disk, and the only module that takes one.

``Files`` is the port: a directory tree below one root, in which a path is relative and joined by ``/``, and ``""`` is
the root itself. Each method that changes something is one step, so that a test can cut the power before any of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol

from shallop_protocol import digests

Kind = Literal["file", "directory", "link", "other"]

DIRECTORY_MODE = 0o755


CHUNK_BYTES = 262_144
"""Of a file that is read or written piece by piece."""


class Measured(NamedTuple):
    """What was read of a file: its permission bits, how many bytes, and their digest."""

    mode: int
    size: int
    digest: str


class Files(Protocol):
    """A directory tree below one root. Every method raises OSError, with the path as its file name."""

    def make_directory(self, path: str) -> None:
        """Makes a directory whose parent exists."""
        ...

    def write(self, path: str, chunks: Iterable[bytes], mode: int) -> None:
        """Makes a new file of the chunks, one after another; when this returns, its bytes and mode are on the disk (its
        name is not, before ``sync_directory`` of its parent)."""
        ...

    def sync_directory(self, path: str) -> None:
        """Puts the names in a directory on the disk."""
        ...

    def link(self, path: str, target: str) -> None:
        """Makes a new symbolic link with this text."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Gives something another name, at one instant; rename(2)."""
        ...

    def unlink(self, path: str) -> None:
        """Removes the name of anything but a directory."""
        ...

    def remove_directory(self, path: str) -> None:
        """Removes an empty directory."""
        ...

    def read(self, path: str) -> Generator[bytes]:
        """A regular file piece by piece, from the disk if it can be had; OSError for anything else."""
        ...

    def measure(self, path: str, limit: int) -> Measured:
        """What a regular file is, read from the disk if that can be had; ``size`` is above ``limit``, and the rest not
        read, if there is more."""
        ...

    def read_link(self, path: str) -> str | None:
        """The text of a symbolic link; None if there is something else, or nothing."""
        ...

    def entries(self, path: str) -> dict[str, Kind]:
        """What is in a directory."""
        ...


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class RootedFiles:
    """The real disk. Below the root no symbolic link is ever followed, wherever in a path it stands: each directory is
    opened by its name in its parent with O_NOFOLLOW, so nothing that was planted leads out of the root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make_directory(self, path: str) -> None:
        """As the port says; the mode does not depend on the umask."""
        with self._parent(path) as (parent, name):
            os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
            os.chmod(name, DIRECTORY_MODE, dir_fd=parent)

    def write(self, path: str, chunks: Iterable[bytes], mode: int) -> None:
        """As the port says; the mode does not depend on the umask."""
        with self._parent(path) as (parent, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())

    def sync_directory(self, path: str) -> None:
        """As the port says."""
        with _naming(path), self._directory(path) as directory:
            os.fsync(directory)

    def link(self, path: str, target: str) -> None:
        """As the port says."""
        with self._parent(path) as (parent, name):
            os.symlink(target, name, dir_fd=parent)

    def rename(self, old: str, new: str) -> None:
        """As the port says."""
        with self._parent(old) as (old_parent, old_name), self._parent(new) as (new_parent, new_name):
            os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)

    def unlink(self, path: str) -> None:
        """As the port says."""
        with self._parent(path) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def remove_directory(self, path: str) -> None:
        """As the port says."""
        with self._parent(path) as (parent, name):
            os.rmdir(name, dir_fd=parent)

    def read(self, path: str) -> Generator[bytes]:
        """As the port says."""
        with self._open(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def measure(self, path: str, limit: int) -> Measured:
        """As the port says."""
        with self._open(path) as file:
            counted = digests.Counted()
            while counted.size <= limit and (chunk := file.read(CHUNK_BYTES)):
                counted.add(chunk)
            return Measured(stat.S_IMODE(os.fstat(file.fileno()).st_mode), counted.size, counted.digest)

    def read_link(self, path: str) -> str | None:
        """As the port says."""
        with self._parent(path) as (parent, name):
            try:
                return os.readlink(name, dir_fd=parent)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOENT):
                    return None
                raise

    def entries(self, path: str) -> dict[str, Kind]:
        """As the port says."""
        with _naming(path), self._directory(path) as directory, os.scandir(directory) as found:
            return {entry.name: _kind(entry) for entry in found}

    @contextlib.contextmanager
    def _open(self, path: str) -> Generator[BinaryIO]:
        """O_NONBLOCK: a FIFO that was planted must not hold the agent up."""
        with self._parent(path) as (parent, name):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, dir_fd=parent), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
                # What fsync put on the disk is dropped from the page cache, so that it is the disk that answers.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                yield file

    @contextlib.contextmanager
    def _parent(self, path: str) -> Generator[tuple[int, str]]:
        head, _, name = path.rpartition("/")
        with _naming(path), self._directory(head) as directory:
            yield directory, name

    @contextlib.contextmanager
    def _directory(self, path: str) -> Generator[int]:
        directory = os.open(self._root, _DIRECTORY)
        try:
            for name in path.split("/") if path else ():
                below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                os.close(directory)
                directory = below
            yield directory
        finally:
            os.close(directory)


@contextlib.contextmanager
def _naming(path: str) -> Generator[None]:
    """Errors name the whole path below the root, where the kernel saw only its last part."""
    try:
        yield
    except OSError as error:
        error.filename = path or "."
        error.filename2 = None
        raise


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else "other"
