"""A robot's disk with the page cache before it: what was not synced may be lost, in part or whole, with the power.

Programs see the cache. On the disk is what was synced: the bytes and mode of a file by fsync of the file, the names in
a directory by fsync of the directory. Of all else, chance keeps some when the power goes: any of the changes of a
directory's names since it was synced (each whole: rename is atomic), and of a file the beginning, zeros, or nothing.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import random
from collections.abc import Callable, Mapping

from shallop_cloud.bench.simulation.power import Power


class File:
    """A regular file. ``kept`` is what is on the disk, None before the first fsync; ``is_rotten``: not what was
    written, by a fault of the disk or a stranger's hand."""

    __slots__ = ("data", "is_rotten", "kept", "mode")

    def __init__(self, mode: int) -> None:
        self.data = b""
        self.mode = mode
        self.kept: tuple[bytes, int] | None = None
        self.is_rotten = False


class Link:
    """A symbolic link; its text is as durable as its name."""

    __slots__ = ("target",)

    def __init__(self, target: str) -> None:
        self.target = target


class Directory:
    """Names. ``kept`` is what is on the disk; ``changes`` what was done since, oldest first, each one whole."""

    __slots__ = ("changes", "kept", "names")

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.kept: dict[str, Node] = {}
        self.changes: list[Mapping[str, Node | None]] = []

    def change(self, names: Mapping[str, Node | None]) -> None:
        """Gives or takes names, at one instant."""
        _apply(self.names, names)
        self.changes.append(names)


Node = File | Link | Directory

Tree = Mapping[str, tuple[bytes, int]]
"""The files of a tree by path: bytes and mode."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What a reader finds who opens ``current`` once.

    Attributes:
        target: the text of the link.
        files: None if the link leads nowhere.
        is_rotten: the disk or a stranger changed one of the files.
    """

    target: str
    files: Tree | None
    is_rotten: bool = False


class Disk:
    """One robot's disk.

    Attributes:
        full: whatever needs space fails for lack of it.
        faulty: the chance that a step fails with EIO.
        rots: how many of the next files will hold other bytes than were written.
        has_lied: it once gave back what was not written, or failed where it should not.
        failures: how many of its steps did not succeed; ``touches`` how often a stranger's hand changed a file.
        changed: called after each change; ``synced`` after names were put on the disk.
        switched: called with the text of ``current``, or None, before that changes.
    """

    def __init__(self, rng: random.Random, power: Power) -> None:
        self._rng = rng
        self.power = power
        self.root = Directory()
        self.full = False
        self.faulty = 0.0
        self.rots = 0
        self.has_lied = False
        self.failures = 0
        self.touches = 0
        self.changed: Callable[[], None] = _unwatched
        self.synced: Callable[[], None] = _unwatched
        self.switched: Callable[[str | None], None] = _unwatched

    def step(self, path: str, *, needs_space: bool = False) -> None:
        """A step that changes something is about to be done.

        Raises:
            OSError: ENOSPC or EIO, if the disk is in such a state.
            Cut: the power goes.
        """
        self.power.step()
        if needs_space and self.full:
            self.failures += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self.look(path)

    def look(self, path: str) -> None:
        """A step that only looks; raises OSError with EIO if the disk is in such a state."""
        if self.faulty and self._rng.random() < self.faulty:
            self.has_lied = True
            self.failures += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    def change(self, directory: Directory, names: Mapping[str, Node | None]) -> None:
        """Gives or takes names, at one instant."""
        if directory is self.root and "current" in names:
            node = names["current"]
            self.switched(node.target if isinstance(node, Link) else None)
        directory.change(names)
        self.changed()

    def write(self, file: File, data: bytes) -> None:
        """Bytes into the cache; once in a while others than were given."""
        if self.rots and data:
            self.rots -= 1
            self.has_lied = True
            file.is_rotten = True
            data = _other(data)
        file.data += data
        self.changed()

    def sync(self, node: Node) -> None:
        """Puts a file's bytes, or a directory's names, on the disk."""
        if isinstance(node, File):
            node.kept = (node.data, node.mode)
        elif isinstance(node, Directory):
            node.kept = dict(node.names)
            node.changes.clear()
            self.synced()

    def make_room(self) -> None:
        """It is not full any more."""
        self.full = False

    def recover(self) -> None:
        """Its steps succeed again."""
        self.faulty = 0.0

    def rot(self) -> bool:
        """Changes one byte in one file of a tree, where there is one: a stranger's hand."""
        files = [file for file in _files(self.root) if file.data]
        if not files:
            return False
        file = self._rng.choice(files)
        file.data = _other(file.data)
        file.kept = (file.data, file.mode)
        file.is_rotten = True
        self.has_lied = True
        self.touches += 1
        self.changed()
        return True

    def lose_power(self) -> None:
        """What was only in the cache is gone, or stays by chance."""
        self._settle(self.root)
        self.changed()

    def seen(self, *, on_disk: bool = False) -> Seen | None:
        """What is found under ``current``; None if there is no such link.

        Args:
            on_disk: what would be found if the power went now and chance kept nothing.
        """
        link = _names(self.root, on_disk).get("current")
        if not isinstance(link, Link):
            return None
        node: Node | None = self.root
        for name in link.target.split("/"):
            node = _names(node, on_disk).get(name) if isinstance(node, Directory) else None
        if not isinstance(node, Directory):
            return Seen(link.target, None)
        found: dict[str, tuple[bytes, int]] = {}
        rotten = _read(node, "", found, on_disk)
        return Seen(link.target, found, rotten)

    def names(self) -> list[str]:
        """What is in ``deployments``, and beside it and ``current``."""
        deployments = self.root.names.get("deployments")
        beside = [name for name in self.root.names if name not in ("deployments", "current")]
        return [*beside, *(deployments.names if isinstance(deployments, Directory) else ())]

    def _settle(self, directory: Directory) -> None:
        names = dict(directory.kept)
        for change in directory.changes:
            if self._rng.random() < 0.5:
                _apply(names, change)
        directory.names = names
        directory.kept = dict(names)
        directory.changes = []
        for node in names.values():
            if isinstance(node, Directory):
                self._settle(node)
            elif isinstance(node, File):
                self._settle_file(node)

    def _settle_file(self, file: File) -> None:
        if file.kept != (file.data, file.mode):
            whole = file.data
            before, mode = file.kept or (b"", file.mode)
            chances = (before, b"", whole[: len(whole) // 2], bytes(len(whole)), whole)
            file.data, file.mode = self._rng.choice(chances), mode
            file.kept = (file.data, file.mode)


def _names(directory: Directory, on_disk: bool) -> dict[str, Node]:
    return directory.kept if on_disk else directory.names


def _apply(names: dict[str, Node], change: Mapping[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _read(directory: Directory, above: str, found: dict[str, tuple[bytes, int]], on_disk: bool) -> bool:
    rotten = False
    for name, node in _names(directory, on_disk).items():
        if isinstance(node, Directory):
            rotten |= _read(node, f"{above}{name}/", found, on_disk)
        elif isinstance(node, File):
            found[above + name] = (node.kept or (b"", 0)) if on_disk else (node.data, node.mode)
            rotten |= node.is_rotten
    return rotten


def _files(directory: Directory) -> list[File]:
    found: list[File] = []
    for node in directory.names.values():
        if isinstance(node, Directory):
            found += _files(node)
        elif isinstance(node, File):
            found.append(node)
    return found


def _other(data: bytes) -> bytes:
    return bytes([(data[0] + 1) % 256]) + data[1:]


def _unwatched(*_: object) -> None:
    return
