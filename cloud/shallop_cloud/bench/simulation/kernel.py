"""The part of ``os`` that ``shallop_device.files`` uses, on disks in memory, so that the real code of it runs.

Each call that changes something is one step, before which the power can go. A name that leads out of a disk's root
ends the run: S16.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from shallop_device import files

from shallop_cloud.bench.simulation.disk import Directory, Disk, File, Link, Node
from shallop_cloud.bench.simulation.violation import Violation


class Kernel:
    """Many disks, each below a path of its own.

    Attributes:
        disks: by the path of their root.
    """

    O_RDONLY, O_WRONLY, O_CREAT, O_EXCL = os.O_RDONLY, os.O_WRONLY, os.O_CREAT, os.O_EXCL
    O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_CLOEXEC = os.O_DIRECTORY, os.O_NOFOLLOW, os.O_NONBLOCK, os.O_CLOEXEC
    POSIX_FADV_DONTNEED = os.POSIX_FADV_DONTNEED

    def __init__(self) -> None:
        self.disks: dict[str, Disk] = {}
        self._open: dict[int, tuple[Disk, Node]] = {}
        self._next = 3

    @contextlib.contextmanager
    def in_place(self) -> Generator[None]:
        """Until this ends, ``shallop_device.files`` has this kernel and no other."""
        module: dict[str, Any] = files.__dict__
        real = module["os"]
        module["os"] = self
        try:
            yield
        finally:
            module["os"] = real

    def open(self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """open(2)."""
        if dir_fd is None:
            disk = self.disks.get(str(path))
            if disk is None:
                raise Violation("S16", f"{path} is outside every root")
            return self._descriptor(disk, disk.root)
        disk, directory, name = self._place(str(path), dir_fd)
        node = directory.names.get(name)
        if flags & os.O_CREAT:
            disk.step(name, needs_space=True)
            if node is not None:
                raise _error(errno.EEXIST, name)
            node = File(mode)
            disk.change(directory, {name: node})
        elif node is None:
            raise _error(errno.ENOENT, name)
        elif isinstance(node, Link):
            raise _error(errno.ELOOP, name)
        elif flags & os.O_DIRECTORY and not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, name)
        return self._descriptor(disk, node)

    def close(self, descriptor: int) -> None:
        """close(2)."""
        del self._open[descriptor]

    def fdopen(self, descriptor: int, _mode: str = "r") -> _Stream:
        """As os.fdopen in binary mode."""
        disk, node = self._open[descriptor]
        if not isinstance(node, File):
            raise _error(errno.EISDIR, "")
        return _Stream(self, descriptor, disk, node)

    def fchmod(self, descriptor: int, mode: int) -> None:
        """fchmod(2)."""
        disk, node = self._open[descriptor]
        disk.step("")
        if isinstance(node, File):
            node.mode = mode

    def fsync(self, descriptor: int) -> None:
        """fsync(2)."""
        disk, node = self._open[descriptor]
        disk.step("")
        disk.sync(node)

    def fstat(self, descriptor: int) -> os.stat_result:
        """fstat(2); only the mode means something."""
        _, node = self._open[descriptor]
        mode = stat.S_IFREG | node.mode if isinstance(node, File) else stat.S_IFDIR | files.DIRECTORY_MODE
        return os.stat_result((mode, *(0,) * 9))

    def posix_fadvise(self, descriptor: int, offset: int, length: int, advice: int) -> None:
        """posix_fadvise(2); advice that nobody needs here."""

    def mkdir(self, name: str, _mode: int, *, dir_fd: int) -> None:
        """mkdirat(2)."""
        disk, directory, name = self._place(name, dir_fd)
        disk.step(name, needs_space=True)
        if name in directory.names:
            raise _error(errno.EEXIST, name)
        disk.change(directory, {name: Directory()})

    def chmod(self, name: str, _mode: int, *, dir_fd: int) -> None:
        """fchmodat(2), of a directory: its mode means nothing here."""
        self._place(name, dir_fd)

    def symlink(self, target: str, name: str, *, dir_fd: int) -> None:
        """symlinkat(2)."""
        disk, directory, name = self._place(name, dir_fd)
        disk.step(name, needs_space=True)
        if name in directory.names:
            raise _error(errno.EEXIST, name)
        disk.change(directory, {name: Link(target)})

    def readlink(self, name: str, *, dir_fd: int) -> str:
        """readlinkat(2)."""
        disk, directory, name = self._place(name, dir_fd)
        disk.look(name)
        node = directory.names.get(name)
        if not isinstance(node, Link):
            raise _error(errno.ENOENT if node is None else errno.EINVAL, name)
        return node.target

    def rename(self, old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        """renameat(2)."""
        disk, source, old = self._place(old, src_dir_fd)
        _, target, new = self._place(new, dst_dir_fd)
        disk.step(old)
        node, there = source.names.get(old), target.names.get(new)
        if node is None:
            raise _error(errno.ENOENT, old)
        if isinstance(there, Directory) and (there.names or not isinstance(node, Directory)):
            raise _error(errno.ENOTEMPTY if isinstance(node, Directory) else errno.EISDIR, new)
        if there is not None and isinstance(node, Directory) and not isinstance(there, Directory):
            raise _error(errno.ENOTDIR, new)
        if source is target:
            disk.change(source, {old: None, new: node})
        else:
            disk.change(target, {new: node})
            disk.change(source, {old: None})

    def unlink(self, name: str, *, dir_fd: int) -> None:
        """unlinkat(2)."""
        disk, directory, name = self._place(name, dir_fd)
        disk.step(name)
        node = directory.names.get(name)
        if node is None or isinstance(node, Directory):
            raise _error(errno.ENOENT if node is None else errno.EISDIR, name)
        disk.change(directory, {name: None})

    def rmdir(self, name: str, *, dir_fd: int) -> None:
        """unlinkat(2) of a directory."""
        disk, directory, name = self._place(name, dir_fd)
        disk.step(name)
        node = directory.names.get(name)
        if not isinstance(node, Directory):
            raise _error(errno.ENOENT if node is None else errno.ENOTDIR, name)
        if node.names:
            raise _error(errno.ENOTEMPTY, name)
        disk.change(directory, {name: None})

    @contextlib.contextmanager
    def scandir(self, descriptor: int) -> Generator[Iterator[_Entry]]:
        """The names in a directory, in the order in which they came."""
        disk, directory = self._directory(descriptor)
        disk.look("")
        yield iter([_Entry(name, node) for name, node in directory.names.items()])

    def _descriptor(self, disk: Disk, node: Node) -> int:
        self._next += 1
        self._open[self._next] = (disk, node)
        return self._next

    def _place(self, name: str, descriptor: int) -> tuple[Disk, Directory, str]:
        if "/" in name or name in ("", ".", ".."):
            raise Violation("S16", f"the name {name!r} leads out of its directory")
        disk, directory = self._directory(descriptor)
        return disk, directory, name

    def _directory(self, descriptor: int) -> tuple[Disk, Directory]:
        disk, node = self._open[descriptor]
        if not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, "")
        return disk, node


class _Stream:
    """What fdopen gives."""

    def __init__(self, kernel: Kernel, descriptor: int, disk: Disk, file: File) -> None:
        self._kernel = kernel
        self._descriptor = descriptor
        self._disk = disk
        self._file = file
        self._at = 0

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._kernel.close(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def flush(self) -> None:
        return

    def write(self, data: bytes) -> int:
        self._disk.step("", needs_space=True)
        self._disk.write(self._file, data)
        return len(data)

    def read(self, limit: int) -> bytes:
        self._disk.look("")
        piece = self._file.data[self._at : self._at + limit]
        self._at += len(piece)
        return piece


class _Entry:
    """What scandir gives for a name."""

    __slots__ = ("_node", "name")

    def __init__(self, name: str, node: Node) -> None:
        self.name = name
        self._node = node

    def is_symlink(self) -> bool:
        return isinstance(self._node, Link)

    def is_dir(self, *, follow_symlinks: bool) -> bool:  # noqa: ARG002  as os.DirEntry has it
        return isinstance(self._node, Directory)

    def is_file(self, *, follow_symlinks: bool) -> bool:  # noqa: ARG002  as os.DirEntry has it
        return isinstance(self._node, File)


def _error(number: int, name: str) -> OSError:
    return OSError(number, os.strerror(number), name)
