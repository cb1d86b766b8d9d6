"""Does what the protocol's core decides: every decision durable before the act, every outcome durable after it.

Owns the store and the disk, knows nothing of threads or MQTT, and never waits: ``take`` an order, ``work`` until
nothing can be done now, look at ``wake_at``. One thread does all of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import logging
import random

from shallop_protocol import desired, device, messages
from shallop_protocol import errors as protocol_errors
from shallop_protocol.messages import Reason

from shallop_device import applier, backoff, clock, errors, identity, store

MAX_DEATHS = 3
"""So often the agent may die of one message; then it refuses it unread."""
MAX_STEPS = 100
"""Steps in one go; then whoever drives the worker has a turn."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Stuck:
    """A tree that could not be taken off.

    Attributes:
        until: the monotonic moment of the next attempt; ``at`` is the same by the wall clock.
    """

    failures: int
    until: float
    at: datetime.datetime


class Worker:
    """One device at work.

    What goes wrong in ``take`` and ``work`` is remembered, logged and reported, a defect of the agent included.
    """

    def __init__(
        self,
        who: identity.Identity,
        memory: store.Store,
        disk: applier.Applier,
        *,
        time: clock.Clock,
        rng: random.Random,
        agent: messages.Agent,
        retry: backoff.Backoff = backoff.RETRY,
    ) -> None:
        self._who = who
        self._store = memory
        self._applier = disk
        self._clock = time
        self._rng = rng
        self._agent = agent
        self._retry = retry
        self._memory = memory.memory
        self._disk = device.Disk()
        self._pending: bytes | None = None
        self._begun: str | None = None
        self._failures = 0
        self._retry_at: float | None = None
        self._next_attempts: dict[str, datetime.datetime] = {}
        self._stuck: dict[str, _Stuck] = {}
        self._untidy = True
        self._tidy_failures = 0
        self._tidy_at: float | None = None
        self._is_tired = False

    @property
    def wake_at(self) -> float | None:
        """The monotonic moment at which there is something to do again; None if only an order brings it."""
        if self._is_tired:
            return self._clock.monotonic()
        steps = [self._retry_at] if self._retry_at is not None else [wait.until for wait in self._stuck.values()]
        return min(steps if self._tidy_at is None else [*steps, self._tidy_at], default=None)

    def start(self) -> None:
        """Takes up what an earlier run left: reads the trees back, and waits if that run died applying."""
        if self._store.died_applying and (wanted := self._memory.wanted):
            self._failures = max(wanted.attempts, 1)
            self._wait(wanted.id)
            logger.warning("the last attempt to apply %s never ended; attempt %d", wanted.id, wanted.attempts)
        self.check()
        try:
            self._remember(self._memory, applying=self._store.died_applying)
        except errors.HeldUp as error:
            self._log_held_up(error, None)

    def check(self) -> None:
        """Reads the trees back from the disk; what is found damaged is healed by ``work``."""
        known = self._disk.damaged
        try:
            self._disk = self._applier.observe(
                {holding.id: holding.digest for holding in self._memory.holdings if not holding.is_leaving}
            )
        except errors.HeldUp as error:
            self._log_held_up(error, None)
            return
        for deployment in sorted(self._disk.damaged - known):
            logger.warning("the files of %s are not what was written", deployment)
            self.tell("files_changed", f"the files of {deployment} are not what was written", deployment)

    def retry_now(self) -> None:
        """Ends every wait."""
        self._failures = self._tidy_failures = 0
        self._retry_at = self._tidy_at = None
        self._next_attempts = {}
        self._stuck = {}

    def take(self, data: bytes) -> None:
        """Takes or refuses what came as desired state. An order that is already in force changes nothing."""
        if not data:
            logger.debug("an empty desired state: absence is not a command")
            return
        digest = hashlib.sha256(data).hexdigest()
        if digest == self._store.accepted_digest:
            return
        try:
            deaths = self._store.begin_message(digest)
            is_safe = deaths < MAX_DEATHS
            received = self._judge(data) if is_safe else self._quarantine(digest, deaths)
            is_new = received.outcome == "accepted"
            memory, attempt = self._begin(received.memory) if is_new else (received.memory, None)
            if is_new:
                self.retry_now()
            self._remember(memory, envelope=data if is_new else None, applying=attempt is not None, judged=is_safe)
            self._begun = attempt
        except errors.HeldUp as error:
            self._pending = data
            self._hold(None, error)
            return
        if is_new or self._pending == data:
            self._pending = None
        if is_new:
            epoch, generation = received.memory.position
            logger.info("accepted order %d/%d", epoch, generation)

    def work(self, *, until_news: bool = False) -> None:
        """Does all that can be done now, or only up to the next thing that the cloud should hear of."""
        told = self._store.report
        for _ in range(MAX_STEPS):
            if not self._one_step():
                self._is_tired = False
                return
            if until_news and self._store.report is not told:
                break
        self._is_tired = True

    def repeat(self) -> None:
        """Tells the cloud all of it again, under a new number, so that it knows when this was true."""
        try:
            self._remember(self._memory, again=True)
        except errors.HeldUp as error:
            self._log_held_up(error, None)

    def tell(self, code: str, words: str, deployment: str | None = None) -> None:
        """Queues an event for the cloud."""
        now = messages.utc(self._clock.now())
        event = messages.Event(device=self._who.wire_id, at=now, code=code, deployment=deployment, message=words)
        try:
            self._store.add_event(event)
        except errors.HeldUp as error:
            self._log_held_up(error, deployment)

    def _judge(self, data: bytes) -> device.Received:
        memory = self._memory
        try:
            order = desired.open_desired(data, self._who.keys, self._who.wire_id)
            received = device.receive(memory, order, self._clock.now())
        except protocol_errors.ProtocolError as error:
            received = device.refuse_error(memory, error)
        except Exception as error:  # a defect of ours that one message brings out must not stop the others
            logger.exception("a desired state brought out a defect of the agent")
            words = f"the agent could not read this: {type(error).__name__}; report this as a defect of shallopd"
            received = device.refuse(memory, Reason.of("internal_error", words))
        refused = received.memory.refused
        if received.outcome == "refused" and refused and refused != memory.refused:
            logger.warning("refused a desired state: %s: %s", refused.code, refused.message)
        return received

    def _begin(self, memory: device.Memory) -> tuple[device.Memory, str | None]:
        """A memory with a new order in it; if applying is what it asks for next, with the attempt counted, so that the
        order and the beginning of the attempt become durable at once."""
        step = device.plan(memory, self._disk, self._clock.now())
        if not isinstance(step, device.Apply):
            return memory, None
        return device.begun(memory, step.manifest.id), step.manifest.id

    def _quarantine(self, digest: str, deaths: int) -> device.Received:
        words = f"the agent died {deaths} times of the message with SHA-256 {digest}; it is not looked at again"
        logger.error(words)
        return device.refuse(self._memory, Reason.of("quarantined", words))

    def _one_step(self) -> bool:
        """Takes one step; False if there is none to take now."""
        now = self._clock.monotonic()
        if self._untidy and (self._tidy_at is None or now >= self._tidy_at):
            self._tidy(now)
        if self._retry_at is not None and now < self._retry_at:
            return False
        self._retry_at = None
        self._next_attempts = {}
        if self._pending is not None:
            self.take(self._pending)
            return True
        subject = self._memory.wanted.id if self._memory.wanted else None
        try:
            self._look()
            step = device.plan(self._memory, self._disk, self._clock.now())
            if step is None:
                self._remember(self._memory)
                return False
            subject = _subject(step)
            self._do(step)
        except errors.HeldUp as error:
            self._hold(subject, error)
        except Exception as error:  # a defect of ours must not keep the device from hearing a better order
            logger.exception("a step brought out a defect of the agent")
            words = f"the agent failed: {type(error).__name__}; report this as a defect of shallopd"
            self._hold(subject, errors.HeldUp(Reason.of("internal_error", words)))
        return True

    def _do(self, step: device.Step) -> None:
        match step:
            case device.Remember():
                self._remember(step.memory)
                return
            case device.Apply():
                self._apply(step.manifest)
            case device.Point():
                self._point(step.deployment)
            case device.Remove():
                self._remove(step.deployment)
        self._failures = 0

    def _apply(self, manifest: desired.Manifest) -> None:
        if self._begun != manifest.id:
            self._remember(device.begun(self._memory, manifest.id), applying=True)
        self._begun = None
        leaves_something = self._untidy or manifest.id in self._disk.trees
        self._untidy = True
        try:
            self._applier.apply(manifest)
        except errors.Rejected as error:
            logger.error("%s can never be applied: %s", manifest.id, error)  # noqa: TRY400  the reason says it all
            self._remember(device.rejected(self._memory, manifest.id, error.reason, self._clock.now()))
            return
        self._untidy = leaves_something
        trees, damaged = self._disk.trees | {manifest.id}, self._disk.damaged - {manifest.id}
        self._disk = dataclasses.replace(self._disk, current=manifest.id, trees=trees, damaged=damaged)
        self._remember(device.applied(self._memory, manifest.id, self._clock.now()))
        logger.info("%s is in force", manifest.id)

    def _point(self, deployment: str | None) -> None:
        if deployment is None:
            self._applier.point_nowhere()
            return
        holding = self._memory.holding(deployment)
        if self._applier.point(deployment, holding.digest if holding else None):
            logger.info("returned to %s", deployment)
        else:
            self._disk = dataclasses.replace(self._disk, damaged=self._disk.damaged | {deployment})

    def _remove(self, deployment: str) -> None:
        """Takes a tree off. If the disk does not let it go, that tree waits for its next attempt, and nothing else."""
        self._untidy = True
        try:
            self._applier.remove(deployment)
        except errors.HeldUp as error:
            self._log_held_up(error, deployment)
            earlier = self._stuck.get(deployment)
            failures = earlier.failures + 1 if earlier else 1
            delay = self._retry.delay(failures, self._rng)
            self._stuck[deployment] = _Stuck(failures, self._clock.monotonic() + delay, self._in(delay))
            self._look()
            self._remember(device.held_up(self._memory, deployment, error.reason, self._clock.now()))
        else:
            self._stuck.pop(deployment, None)

    def _tidy(self, now: float) -> None:
        try:
            self._applier.tidy(self._disk.damaged)
        except errors.HeldUp as error:
            self._tidy_failures += 1
            self._tidy_at = now + self._retry.delay(self._tidy_failures, self._rng)
            self._log_held_up(error, None)
        else:
            self._untidy, self._tidy_failures, self._tidy_at = False, 0, None

    def _look(self) -> None:
        """Sees the disk as it is now. What was found damaged stays so until it was applied again, or is gone."""
        seen = self._applier.observe()
        now = self._clock.monotonic()
        self._stuck = {tree: wait for tree, wait in self._stuck.items() if tree in seen.trees}
        stuck = frozenset(tree for tree, wait in self._stuck.items() if now < wait.until)
        self._disk = dataclasses.replace(seen, damaged=self._disk.damaged & seen.trees, stuck=stuck)

    def _hold(self, subject: str | None, error: errors.HeldUp) -> None:
        """Notes that a step on a deployment did not succeed, and waits."""
        self._log_held_up(error, subject)
        self._failures += 1
        memory = self._memory
        if subject:
            memory = device.held_up(memory, subject, error.reason, self._clock.now())
        self._wait(subject)
        try:
            self._look()
        except errors.HeldUp as blind:
            logger.debug("reporting what was last seen: %s", blind)
        try:
            self._remember(memory)
        except errors.HeldUp as lost:
            self._log_held_up(lost, subject)

    def _wait(self, subject: str | None) -> None:
        holding = self._memory.holding(subject) if subject else None
        failures = max(self._failures, holding.attempts if holding else 0)
        delay = self._retry.delay(failures, self._rng)
        self._retry_at = self._clock.monotonic() + delay
        if holding and not holding.is_finished:
            self._next_attempts = {holding.id: self._in(delay)}

    def _in(self, seconds: float) -> datetime.datetime:
        """The wall clock then, for people."""
        return messages.utc(self._clock.now() + datetime.timedelta(seconds=seconds))

    def _remember(
        self,
        memory: device.Memory,
        *,
        envelope: bytes | None = None,
        applying: bool = False,
        judged: bool = False,
        again: bool = False,
    ) -> None:
        def compose(seq: int) -> messages.Report:
            return device.report(
                memory,
                self._disk,
                device=self._who.wire_id,
                incarnation=self._store.incarnation,
                seq=seq,
                now=self._clock.now(),
                clock_synced=self._clock.synced(),
                agent=self._agent,
                next_attempts={**{tree: wait.at for tree, wait in self._stuck.items()}, **self._next_attempts},
            )

        self._store.remember(memory, compose, envelope=envelope, applying=applying, judged=judged, again=again)
        self._memory = memory
        if not applying:
            self._begun = None

    def _log_held_up(self, error: errors.HeldUp, subject: str | None) -> None:
        logger.warning("held up: %s: %s", error.reason.code, error, extra={"deployment": subject})


def _subject(step: device.Step) -> str | None:
    match step:
        case device.Apply():
            return step.manifest.id
        case device.Point():
            return step.leaving
        case device.Remove():
            return step.deployment
        case device.Remember():
            return None
