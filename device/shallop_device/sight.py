"""The disk as it was last seen: which trees are there, which of them were found damaged, which do not let themselves be
deleted."""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections.abc import Mapping

from shallop_protocol import device, messages
from shallop_protocol.messages import Reason
from shallop_protocol.statuses import Activity, Error

from shallop_device import applier, backoff, clock


@dataclasses.dataclass(frozen=True, slots=True)
class _Stuck:
    """A tree that could not be taken off.

    Attributes:
        until: the monotonic moment of the next attempt; ``at`` is the same by the wall clock.
    """

    failures: int
    until: float
    at: datetime.datetime


class Sight:
    """What is known of the disk. The methods that look at it raise errors.HeldUp; what was known stays so then.

    Args:
        heals: whether files in force that are not what was written are written anew, or only reported.
    """

    def __init__(
        self, disk: applier.Applier, retry: backoff.Backoff, time: clock.Clock, rng: random.Random, *, heals: bool
    ) -> None:
        self._applier = disk
        self._retry = retry
        self._clock = time
        self._rng = rng
        self._heals = heals
        self._disk = device.Disk()
        self._stuck: dict[str, _Stuck] = {}

    @property
    def disk(self) -> device.Disk:
        """All of it."""
        return self._disk

    @property
    def wake_at(self) -> float | None:
        """The monotonic moment at which a tree that could not be taken off is tried again."""
        return min((wait.until for wait in self._stuck.values()), default=None)

    @property
    def next_attempts(self) -> Mapping[str, datetime.datetime]:
        """When trees that could not be taken off are tried again, by the wall clock."""
        return {tree: wait.at for tree, wait in self._stuck.items()}

    def check(self, memory: device.Memory) -> list[str]:
        """Reads the trees back. Which of them are found damaged that were not before. What is on its way off matters
        for as long as it is in sight."""
        known = self._disk.damaged
        seen = self._applier.observe({holding.id: holding.digest for holding in memory.holdings})
        leaving = frozenset(holding.id for holding in memory.holdings if holding.is_leaving) - {seen.current}
        self._disk = dataclasses.replace(seen, damaged=seen.damaged - leaving)
        return sorted(self._disk.damaged - known)

    def look(self) -> None:
        """Sees what is there. What was found damaged stays so until it is applied again, read back whole, or gone."""
        seen = self._applier.observe()
        now = self._clock.monotonic()
        self._stuck = {tree: wait for tree, wait in self._stuck.items() if tree in seen.trees}
        stuck = frozenset(tree for tree, wait in self._stuck.items() if now < wait.until)
        self._disk = dataclasses.replace(seen, damaged=self._disk.damaged & seen.trees, stuck=stuck)

    def plan_by(self, memory: device.Memory) -> device.Disk:
        """The disk as the next step is to see it: what is in force and only to be reported counts as sound."""
        wanted = memory.wanted
        is_left_so = not self._heals and wanted is not None and wanted.activity is Activity.DEPLOYED
        if not is_left_so or wanted is None or wanted.id != self._disk.current:
            return self._disk
        return dataclasses.replace(self._disk, damaged=self._disk.damaged - {wanted.id})

    def left_so(self, memory: device.Memory) -> Mapping[str, Reason]:
        """What is left as it is: by the settings, or because the order brings the bytes of one deployment alone."""
        healed = {memory.wanted.id} if self._heals and memory.wanted else frozenset[str]()
        reason = Reason.of("files_changed", "the files on the disk are not what was written")
        return dict.fromkeys(self._disk.damaged - healed, reason)

    def awaited(self, memory: device.Memory) -> frozenset[str]:
        """Digests of the contents that travel by reference, until their deployment is in force, whole."""
        order, wanted = memory.order, memory.wanted
        if order is None or order.deployment is None or wanted is None or wanted.error is Error.FAILED:
            return frozenset()
        is_whole = wanted.id in self._disk.trees - self._disk.damaged
        if wanted.activity is not Activity.QUEUED and (wanted.activity is not Activity.DEPLOYED or is_whole):
            return frozenset()
        return frozenset(each.digest for each in order.deployment.instances if each.content is None)

    def brought(self, deployment: str) -> None:
        """It was brought into sight, whole."""
        trees, damaged = self._disk.trees | {deployment}, self._disk.damaged - {deployment}
        self._disk = dataclasses.replace(self._disk, current=deployment, trees=trees, damaged=damaged)

    def found_damaged(self, deployment: str) -> None:
        """Its tree is not whole."""
        self._disk = dataclasses.replace(self._disk, damaged=self._disk.damaged | {deployment})

    def could_not_remove(self, deployment: str) -> None:
        """Its tree waits for its next attempt, ever longer."""
        earlier = self._stuck.get(deployment)
        failures = earlier.failures + 1 if earlier else 1
        delay = self._retry.delay(failures, self._rng)
        at = messages.utc(self._clock.now() + datetime.timedelta(seconds=delay))
        self._stuck[deployment] = _Stuck(failures, self._clock.monotonic() + delay, at)

    def removed(self, deployment: str) -> None:
        """Its tree is gone."""
        self._stuck.pop(deployment, None)

    def retry_now(self) -> None:
        """All waits are over."""
        self._stuck = {}
