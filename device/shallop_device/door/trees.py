"""The files of deployments, as they lie on the disk."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Iterator

from shallop_protocol import desired, ids, paths
from shallop_protocol.desired import Manifest

from shallop_device import applier, files
from shallop_device.door import models, problems

_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO})


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A file that can be read to its end, whatever becomes of its deployment meanwhile.

    Attributes:
        chunks: its bytes, piece by piece.
        digest: of those bytes.
    """

    deployment: str
    size: int
    digest: str
    chunks: Iterator[bytes]


class Trees:
    """The trees below a configuration root. Any thread may ask: the disk is read anew each time."""

    def __init__(self, disk: files.Files) -> None:
        self._files = disk

    def current(self) -> str | None:
        """The tree that robot software finds now, as a path below the root; None if there is none."""
        target = self._files.read_link(applier.CURRENT)
        parent, _, name = (target or "").rpartition("/")
        return target if parent == applier.DEPLOYMENTS and ids.is_id(deployment_of(name)) else None

    def tree(self, deployment: str | None) -> str:
        """The tree of a deployment, of the current one if none is named.

        Raises:
            problems.Problem: it is not there.
        """
        current = self.current()
        if current is not None and deployment in (None, deployment_of(current)):
            return current
        if deployment is None:
            raise nothing_in_force()
        try:
            names = self._files.entries(applier.DEPLOYMENTS)
        except FileNotFoundError:
            names = {}
        trees = [name for name in names if deployment_of(name) == deployment]
        if not trees or not ids.is_id(deployment):
            raise problems.Problem(404, "deployment_not_found", f"{deployment} is not on this robot")
        return f"{applier.DEPLOYMENTS}/{max(trees, key=lambda name: int(name.partition('.')[2] or '0'))}"

    def list(self, tree: str, manifest: Manifest | None) -> tuple[models.File, ...]:
        """The files of a tree: as its manifest names them, or measured if that is not at hand.

        Raises:
            problems.Problem: the tree went away meanwhile.
        """
        if manifest is not None and manifest.id == deployment_of(tree):
            found = [
                models.File(path=each.path, mode=each.mode, size=each.size, digest=each.digest, slot=each.slot)
                for each in manifest.instances
            ]
        else:
            try:
                found = [self._measured(tree, path) for path in self._walk(tree)]
            except FileNotFoundError:
                raise _gone(deployment_of(tree)) from None
        return tuple(sorted(found, key=lambda file: file.path))

    def open(self, tree: str, path: str) -> Opened:
        """A file of a tree. It is read twice, so that the digest is that of the bytes which are there.

        Raises:
            problems.Problem: there is none.
        """
        absent = problems.Problem(404, "file_not_found", f"{deployment_of(tree)} has no file {path}")
        try:
            paths.check_path(path)
            measured = self._files.measure(f"{tree}/{path}", desired.MAX_CONTENT_BYTES)
            chunks = iter(self._files.read(f"{tree}/{path}"))
            first = next(chunks, b"")
        except paths.PathError as error:
            raise problems.Problem(404, "file_not_found", str(error)) from None
        except OSError as error:
            if error.errno in _NO_FILE:
                raise absent from None
            raise
        return Opened(deployment_of(tree), measured.size, measured.digest, _all(first, chunks))

    def _measured(self, tree: str, path: str) -> models.File:
        mode, size, digest = self._files.measure(f"{tree}/{path}", desired.MAX_CONTENT_BYTES)
        return models.File(path=path, mode=f"{mode:04o}", size=size, digest=digest, slot=None)

    def _walk(self, tree: str) -> Iterator[str]:
        todo = [""]
        while todo:
            directory = todo.pop()
            for name, kind in self._files.entries(f"{tree}/{directory}".rstrip("/")).items():
                path = f"{directory}/{name}".lstrip("/")
                if kind == "directory":
                    todo.append(path)
                elif kind == "file":
                    yield path


def deployment_of(tree: str) -> str:
    """The deployment that a tree is of."""
    return tree.rpartition("/")[2].partition(".")[0]


def nothing_in_force() -> problems.Problem:
    """What is said where there is no deployment."""
    return problems.Problem(404, "nothing_in_force", "no deployment is in force on this robot")


def _gone(deployment: str) -> problems.Problem:
    return problems.Problem(404, "deployment_not_found", f"{deployment} was taken off this robot meanwhile")


def _all(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
