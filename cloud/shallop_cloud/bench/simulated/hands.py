"""What a robot does with its orders: the steps of ``shallop_device.worker``, on a disk in memory.

The decisions are the protocol's, as there. What differs: nothing here fails but what a fault says, and a report is
composed when it is sent, not at each change. On the wire that is the same, because a report that was not sent yet is
superseded by a newer one.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import random
from collections.abc import Mapping

from shallop_device import backoff, errors
from shallop_protocol import desired, device, keys, messages, trust
from shallop_protocol import errors as protocol_errors

from shallop_cloud.bench.simulated.disk import Disk

MAX_STEPS = 100
"""Steps in one go; no order takes so many."""


class Hands:
    """Memory and disk of one robot, and the way from one order to the next.

    Attributes:
        news: counts up with each thing that the cloud should hear of.
        is_done: whether nothing is left to do.
        retry_at: the monotonic moment of the next attempt, if one waits.
        next_attempts: the same by the wall clock, by deployment.
        trust: by whose word it goes.
    """

    __slots__ = (
        "_accepted",
        "_failures",
        "_set_aside",
        "disk",
        "is_done",
        "memory",
        "news",
        "next_attempts",
        "retry_at",
        "trust",
    )

    def __init__(self, trusted: trust.Trust, disk: Disk) -> None:
        self.trust = trusted
        self._set_aside = b""
        self.disk = disk
        self.news = 0
        self.forget()
        self.restart()

    def restart(self) -> None:
        """What an agent does not remember is gone: there is no wait any more."""
        self._failures = 0
        self.is_done = False
        self.retry_at: float | None = None
        self.next_attempts: Mapping[str, datetime.datetime] = {}

    def forget(self) -> None:
        """The database is lost; the disk is not."""
        self.memory = device.Memory()
        self._accepted = b""
        self.news += 1

    def take(self, data: bytes, wall: datetime.datetime) -> None:
        """Takes or refuses what came as desired state. An order that is already in force changes nothing."""
        digest = hashlib.sha256(data).digest()
        if not data or digest == self._accepted:
            return
        try:
            received = device.receive(self.memory, self.trust.order(data), wall)
        except protocol_errors.ProtocolError as error:
            if isinstance(error, protocol_errors.BadSignature | protocol_errors.WrongEpoch):
                self._set_aside = data
            received = device.refuse_error(self.memory, error)
        if received.outcome == "accepted":
            self.restart()
            self._accepted = digest
        self._remember(received.memory)

    def renew(self, listed: keys.KeyList, wall: datetime.datetime) -> None:
        """Takes a key list that the roots signed, and looks again at the order that the one before it did not allow."""
        try:
            keys.check_successor(self.trust.listed, listed)
        except protocol_errors.ProtocolError:
            return
        if listed != self.trust.listed:
            self.trust = dataclasses.replace(self.trust, listed=listed)
            self.news += 1
            order, self._set_aside = self._set_aside, b""
            self.take(order, wall)

    def work(self, now: float, wall: datetime.datetime, rng: random.Random) -> bool:
        """Does what can be done now, up to the next thing that the cloud should hear of; whether there was one."""
        if self.retry_at is not None:
            if now < self.retry_at:
                return False
            self.retry_at, self.next_attempts = None, {}
        told = self.news
        for _ in range(MAX_STEPS):
            step = device.plan(self.memory, self.disk.observe(), wall)
            if step is None:
                self.is_done = True
                return False
            self._do(step, now, wall, rng)
            if self.news != told:
                return True
        raise AssertionError(f"{self.trust.device} took {MAX_STEPS} steps and is not done: {self.memory}")

    def _do(self, step: device.Step, now: float, wall: datetime.datetime, rng: random.Random) -> None:
        match step:
            case device.Remember():
                self._remember(step.memory)
            case device.Apply():
                self._apply(step.manifest, now, wall, rng)
            case device.Point():
                self.disk.point(step.deployment)
                self.news += 1
            case device.Remove():
                self.disk.remove(step.deployment)

    def _apply(self, manifest: desired.Manifest, now: float, wall: datetime.datetime, rng: random.Random) -> None:
        memory = device.begun(self.memory, manifest.id)
        try:
            self.disk.apply(manifest)
        except errors.Rejected as error:
            self._remember(device.rejected(memory, manifest.id, error.reason, wall))
        except errors.HeldUp as error:
            held = device.held_up(memory, manifest.id, error.reason, wall)
            holding = held.holding(manifest.id)
            self._failures += 1
            delay = backoff.RETRY.delay(max(self._failures, holding.attempts if holding else 0), rng)
            self.retry_at = now + delay
            self.next_attempts = {manifest.id: messages.utc(wall + datetime.timedelta(seconds=delay))}
            self._remember(held)
        else:
            self._failures = 0
            self._remember(device.applied(memory, manifest.id, wall))

    def _remember(self, memory: device.Memory) -> None:
        if memory != self.memory:
            self.news += 1
        self.memory = memory
