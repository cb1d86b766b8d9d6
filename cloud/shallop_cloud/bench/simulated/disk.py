"""A robot's disk, in memory: complete trees, of which one is in sight. It survives a loss of power."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from shallop_device import applier, errors
from shallop_protocol import device, digests
from shallop_protocol.desired import Manifest
from shallop_protocol.messages import Reason

Tree = tuple[digests.FileDigest, ...]


class Disk:
    """What ``shallop_device.applier`` does with files, done with their digests.

    Attributes:
        is_full: nothing can be written.
        rejects: a text; a deployment with a file that contains it can never work here.
    """

    __slots__ = ("_seen", "current", "is_full", "rejects", "trees")

    def __init__(self, rejects: str | None) -> None:
        self.trees: dict[str, Tree] = {}
        self.current: str | None = None
        self.is_full = False
        self.rejects = rejects
        self._seen = device.Disk()

    def observe(self) -> device.Disk:
        """What is there."""
        return self._seen

    def apply(self, manifest: Manifest) -> None:
        """Brings a deployment into force.

        Raises:
            errors.Rejected: it can never be applied.
            errors.HeldUp: the disk is full.
        """
        applier.check(manifest)
        if self.rejects is not None:
            self._judge(manifest, self.rejects)
        if self.is_full:
            raise errors.held_up(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), f"apply {manifest.id}")
        self.trees[manifest.id] = tuple(instance.file for instance in manifest.instances)
        self._show(manifest.id)

    def point(self, deployment: str | None) -> None:
        """Makes another tree current, or with None takes everything out of sight."""
        assert deployment is None or deployment in self.trees
        self._show(deployment)

    def remove(self, deployment: str) -> None:
        """Deletes a tree that is not current."""
        assert deployment != self.current
        self.trees.pop(deployment, None)
        self._show(self.current)

    def files(self) -> Mapping[str, str]:
        """The digests of the files in sight, by path."""
        return {file.path: file.digest for file in self.trees[self.current]} if self.current else {}

    def _show(self, current: str | None) -> None:
        self.current = current
        self._seen = device.Disk(current, frozenset(self.trees))

    def _judge(self, manifest: Manifest, text: str) -> None:
        for instance in manifest.instances:
            if text in (instance.content or ""):
                raise errors.Rejected(Reason.of("check_failed", f"{instance.path} contains {text!r}"))
