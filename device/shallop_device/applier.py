"""Puts deployments on the disk and takes them off, so that a reader sees one whole set of files at every instant.

::

    <root>/deployments/DPL-…/nav2/params.yaml    a complete tree, on the disk before it gets this name
    <root>/current -> deployments/DPL-…          the one thing that robot software reads; changed by one rename(2)

A tree is written under a name that nobody uses again (``.staging-<random>``), synced file by file and directory by
directory, and only then named after its deployment. A tree that was found damaged is not repaired: a new one gets
the next free name, ``DPL-….1``; the deployment is the part before the dot. What is to be deleted first loses its
name (``.trash-<random>``), so a half-deleted tree is never taken for a whole one. After a failed sync nothing of
what was written is believed or synced again: the tree is written anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from shallop_protocol import desired, digests, ids, paths
from shallop_protocol.desired import Instance, Manifest
from shallop_protocol.device import Disk
from shallop_protocol.messages import Reason

from shallop_device import errors, files

DEPLOYMENTS = "deployments"
CURRENT = "current"
_STAGING = ".staging-"
_TRASH = ".trash-"
_NEW_CURRENT = ".current-"
_OWNER_READS = 0o400

_DAMAGE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.EIO, errno.EACCES, errno.EPERM, errno.ENXIO}
)
"""Errors of reading that say something of the tree, and not of the moment."""


class Contents(Protocol):
    """The bytes that travel by reference, as far as they are on this robot."""

    def has(self, instance: Instance) -> bool:
        """Whether all of them are here."""
        ...

    def read(self, instance: Instance) -> Iterator[bytes]:
        """Them, piece by piece; OSError if they are not to be had."""
        ...

    def keep_only(self, digests: Collection[str]) -> None:
        """Drops all that have none of these digests; OSError if the disk does not let it."""
        ...


class NoContents:
    """There are none."""

    def has(self, instance: Instance) -> bool:  # noqa: ARG002  as the port has it
        """Never."""
        return False

    def read(self, instance: Instance) -> Iterator[bytes]:
        """Raises OSError."""
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), instance.path)

    def keep_only(self, digests: Collection[str]) -> None:
        """There is nothing to drop."""


NO_CONTENTS = NoContents()


class Applier:
    """The deployments below one root. The public methods raise errors.HeldUp where the disk does not let them.

    Args:
        contents: where the bytes are that did not come with the order.
    """

    def __init__(self, disk: files.Files, contents: Contents = NO_CONTENTS) -> None:
        self._files = disk
        self._contents = contents
        self._disbelieved: set[str] = set()

    def observe(self, check: Mapping[str, str] | None = None) -> Disk:
        """What is there.

        Args:
            check: digests of deployments; those of them that are there are read back, and the different ones damaged.
        """
        with _held_up("look at the deployments"):
            entries = self._all()
            trees = _trees(entries)
            current = self._current(entries)
            damaged = {
                deployment
                for deployment, digest in (check or {}).items()
                if deployment in trees and not self._is_whole(_tree_of(deployment, trees, current), digest)
            }
            return Disk(_deployment(current) if current else None, frozenset(trees), frozenset(damaged))

    def missing(self, manifest: Manifest) -> list[Instance]:
        """What of a deployment is not on this robot, neither with the order, nor fetched, nor in a whole tree."""
        absent = [each for each in manifest.instances if each.content is None and not self._contents.has(each)]
        if not absent:
            return []
        with _held_up(f"look for the contents of {manifest.id}"):
            trees = _trees(self._all())
            if self._whole_tree(trees.get(manifest.id, []), manifest.digest):
                return []
            return [each for each in absent if self._tree_with(each, trees) is None]

    def stage(self, manifest: Manifest) -> str:
        """Writes a deployment, out of sight, unless it is there. When this returns, its tree is on the disk.

        Returns:
            Its path below the root.

        Raises:
            errors.Rejected: the manifest can never be applied.
            errors.HeldUp: the disk did not let it happen; nothing changed for readers.
        """
        with _held_up(f"write {manifest.id}"):
            return f"{DEPLOYMENTS}/{self._staged(manifest)}"

    def apply(self, manifest: Manifest) -> None:
        """Brings a deployment into force. When this returns, its tree is on the disk, in sight, and was read back.

        Raises:
            errors.Rejected: the manifest can never be applied.
            errors.HeldUp: the disk did not let it happen. What was in force still is, or the new one is, whole.
        """
        with _held_up(f"apply {manifest.id}"):
            name = self._staged(manifest)
            self._switch(name)
            found = self._read_tree(f"{DEPLOYMENTS}/{name}") if self._current(self._all()) == name else None
            if found is None or digests.of_files(found) != manifest.digest:
                words = f"{manifest.id} was written, and other bytes were read back; check the disk"
                raise errors.HeldUp(Reason.of("read_back_differs", words))

    def point(self, deployment: str, digest: str | None) -> bool:
        """Makes a deployment current whose tree is there. False, and nothing changed, if no tree of it is whole.

        Args:
            digest: of the deployment; None if the device forgot it with its database. A tree has its name only
                since it was complete, so the newest one is taken then.
        """
        with _held_up(f"return to {deployment}"):
            entries = self._all()
            trees = _trees(entries)
            if digest:
                name = self._whole_tree(trees.get(deployment, []), digest)
            else:
                name = _tree_of(deployment, trees, self._current(entries))
            if name is None:
                return False
            self._sync_deployments(name)
            self._switch(name)
            return True

    def point_nowhere(self) -> None:
        """Takes everything out of sight."""
        with _held_up("take the configuration out of sight"):
            self._files.unlink(CURRENT)
            self._files.sync_directory("")

    def remove(self, deployment: str) -> None:
        """Takes the trees of a deployment that is not current off the device. ``tidy`` frees their space."""
        with _held_up(f"remove {deployment}"):
            self._discard(_trees(self._all()).get(deployment, ()))

    def tidy(self, damaged: frozenset[str], awaited: Collection[str] = ()) -> None:
        """Deletes what interrupted or finished steps left behind.

        Args:
            damaged: deployments whose spare trees, if they have any, may be needed.
            awaited: digests of contents that a deployment on its way is made of.
        """
        with _held_up("delete what is left over"):
            for name, kind in self._files.entries("").items():
                if name.startswith(_NEW_CURRENT) and kind == "link":
                    self._files.unlink(name)
            entries = self._all()
            current = self._current(entries)
            for deployment, names in _trees(entries).items():
                if current in names and deployment not in damaged:
                    self._discard(name for name in names if name != current)
            for name, kind in self._all().items():
                is_ours = name.startswith((_STAGING, _TRASH))
                if is_ours or (kind != "directory" and _deployment(name)):
                    self._delete(f"{DEPLOYMENTS}/{name}", kind)
            self._contents.keep_only(awaited)

    def _all(self) -> dict[str, files.Kind]:
        try:
            return self._files.entries(DEPLOYMENTS)
        except FileNotFoundError:
            if DEPLOYMENTS in self._files.entries(""):  # a root that is not there is no empty one
                raise
            return {}

    def _current(self, entries: Mapping[str, files.Kind]) -> str | None:
        """The name of the tree that is in sight; None if there is none, or the link is not one of ours."""
        target = self._files.read_link(CURRENT)
        parent, _, name = (target or "").rpartition("/")
        is_ours = parent == DEPLOYMENTS and _deployment(name) is not None
        return name if is_ours and entries.get(name) == "directory" else None

    def _whole_tree(self, names: Iterable[str], digest: str) -> str | None:
        """The newest of a deployment's trees that is believed and has this digest."""
        believed = [name for name in names if name not in self._disbelieved]
        return next((name for name in reversed(believed) if self._is_whole(name, digest)), None)

    def _is_whole(self, name: str, digest: str) -> bool:
        try:
            found = self._read_tree(f"{DEPLOYMENTS}/{name}")
        except OSError as error:
            if error.errno in _DAMAGE:
                return False
            raise
        return found is not None and digests.of_files(found) == digest

    def _read_tree(self, tree: str) -> list[digests.FileDigest] | None:
        """What each file of a tree is; None if it holds what no deployment does, a directory without files included."""
        found: list[digests.FileDigest] = []
        directories: set[str] = set()
        for path, kind in self._walk(tree):
            if kind == "directory":
                directories.add(path[len(tree) + 1 :])
                continue
            if kind != "file" or len(found) == desired.MAX_INSTANCES:
                return None
            mode, size, digest = self._files.measure(path, desired.MAX_CONTENT_BYTES)
            found.append(digests.FileDigest(path[len(tree) + 1 :], f"{mode:04o}", size, digest))
        return None if directories - {parent for file in found for parent in _parents(file.path)} else found

    def _walk(self, path: str) -> Iterator[tuple[str, files.Kind]]:
        """All that is below a directory, each directory before what is in it."""
        todo = [path]
        while todo:
            directory = todo.pop()
            for name, kind in self._files.entries(directory).items():
                below = f"{directory}/{name}"
                yield below, kind
                if kind == "directory":
                    todo.append(below)

    def _staged(self, manifest: Manifest) -> str:
        """The name of the deployment's whole tree, which is on the disk; written if there was none."""
        check(manifest)
        entries = self._all()
        trees = _trees(entries).get(manifest.id, [])
        name = self._whole_tree(trees, manifest.digest) or self._stage(manifest, _free_name(manifest.id, entries))
        self._sync_deployments(name)
        return name

    def _stage(self, manifest: Manifest, name: str) -> str:
        if DEPLOYMENTS not in self._files.entries(""):
            self._files.make_directory(DEPLOYMENTS)
            self._files.sync_directory("")
        staging = f"{DEPLOYMENTS}/{_STAGING}{secrets.token_hex(8)}"
        directories = sorted({parent for instance in manifest.instances for parent in _parents(instance.path)})
        self._files.make_directory(staging)
        for directory in directories:
            self._files.make_directory(f"{staging}/{directory}")
        for instance in manifest.instances:
            self._files.write(f"{staging}/{instance.path}", self._bytes_of(instance), int(instance.mode, 8))
        for directory in reversed(directories):
            self._files.sync_directory(f"{staging}/{directory}")
        self._files.sync_directory(staging)
        self._files.rename(staging, f"{DEPLOYMENTS}/{name}")
        return name

    def _bytes_of(self, instance: Instance) -> Iterable[bytes]:
        """What came with the order, was fetched, or lies in a tree that is already here: a large file that did not
        change is not fetched again. What is read here is not believed: the tree is read back before it is in force."""
        if (data := instance.data) is not None:
            return (data,)
        if self._contents.has(instance):
            return self._contents.read(instance)
        tree = self._tree_with(instance, _trees(self._all()))
        if tree is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), instance.path)
        return self._files.read(f"{DEPLOYMENTS}/{tree}/{instance.path}")

    def _tree_with(self, instance: Instance, trees: Mapping[str, Sequence[str]]) -> str | None:
        """A tree that holds these very bytes in the same place."""
        for names in trees.values():
            for name in names:
                try:
                    _, size, digest = self._files.measure(f"{DEPLOYMENTS}/{name}/{instance.path}", instance.size)
                except OSError as error:
                    if error.errno not in _DAMAGE:
                        raise
                    continue
                if (size, digest) == (instance.size, instance.digest):
                    return name
        return None

    def _sync_deployments(self, name: str) -> None:
        """Puts the name of a tree on the disk. If that fails, the tree is not believed again."""
        try:
            self._files.sync_directory(DEPLOYMENTS)
        except OSError:
            self._disbelieved.add(name)
            raise

    def _switch(self, name: str) -> None:
        new = f"{_NEW_CURRENT}{secrets.token_hex(8)}"
        self._files.link(new, f"{DEPLOYMENTS}/{name}")
        self._files.rename(new, CURRENT)
        self._files.sync_directory("")

    def _discard(self, names: Iterable[str]) -> None:
        """Takes their names from trees that are not in sight: not before it is on the disk that they are not. A sync of
        ``current`` that failed, or was never come to, would leave it leading nowhere after a loss of power."""
        for name in names:
            self._files.sync_directory("")
            self._files.rename(f"{DEPLOYMENTS}/{name}", f"{DEPLOYMENTS}/{_TRASH}{secrets.token_hex(8)}")
            self._files.sync_directory(DEPLOYMENTS)

    def _delete(self, path: str, kind: files.Kind) -> None:
        if kind != "directory":
            self._files.unlink(path)
            return
        for below, its_kind in reversed(list(self._walk(path))):
            if its_kind == "directory":
                self._files.remove_directory(below)
            else:
                self._files.unlink(below)
        self._files.remove_directory(path)


def check(manifest: Manifest) -> None:
    """Refuses what can never be applied, before anything is written.

    Raises:
        errors.Rejected: a path, content, mode or digest that is not as it must be.
    """
    try:
        paths.check_paths(instance.path for instance in manifest.instances)
    except paths.PathError as error:
        raise errors.Rejected(Reason.of("bad_path", str(error))) from None
    for instance in manifest.instances:
        data = instance.data
        if data is not None and (len(data), digests.of_bytes(data)) != (instance.size, instance.digest):
            words = f"{instance.path}: the content is not what the manifest says (size or digest differs)"
            raise errors.Rejected(Reason.of("content_differs", words))
        if not int(instance.mode, 8) & _OWNER_READS:
            words = f"{instance.path}: mode {instance.mode} does not let its owner read it"
            raise errors.Rejected(Reason.of("bad_mode", words))
    if digests.of_files(instance.file for instance in manifest.instances) != manifest.digest:
        raise errors.Rejected(Reason.of("digest_differs", f"{manifest.id}: the files are not what its digest says"))


def _deployment(name: str) -> str | None:
    """The deployment that a name in ``deployments`` stands for."""
    deployment, dot, number = name.partition(".")
    is_deployment = deployment.startswith(ids.Prefix.DEPLOYMENT.value) and ids.is_id(deployment)
    is_number = number.isascii() and number.isdecimal() and not number.startswith("0")
    return deployment if is_deployment and (is_number or not dot) else None


def _trees(entries: Mapping[str, files.Kind]) -> dict[str, list[str]]:
    """The names of each deployment's trees, the oldest first."""
    trees: dict[str, list[str]] = {}
    for name, kind in entries.items():
        if kind == "directory" and (deployment := _deployment(name)):
            trees.setdefault(deployment, []).append(name)
    return {deployment: sorted(names, key=_number) for deployment, names in trees.items()}


def _tree_of(deployment: str, trees: Mapping[str, Sequence[str]], current: str | None) -> str:
    """The tree that counts as the deployment's: the one in sight, else the newest."""
    return current if current and _deployment(current) == deployment else trees[deployment][-1]


def _free_name(deployment: str, entries: Iterable[str]) -> str:
    taken = [_number(name) for name in entries if _deployment(name) == deployment]
    return f"{deployment}.{max(taken) + 1}" if taken else deployment


def _number(name: str) -> int:
    return int(name.partition(".")[2] or "0")


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


@contextlib.contextmanager
def _held_up(doing: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise errors.held_up(error, doing) from error
