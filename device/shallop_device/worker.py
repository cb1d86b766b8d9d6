"""Does what the protocol's core decides: every decision durable before the act, every outcome durable after it.

Owns the store and the disk, knows nothing of threads or MQTT, and never waits: ``take`` an order, ``work`` until
nothing can be done now, look at ``wake_at``. One thread does all of it.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import random
from collections.abc import Sequence
from typing import Literal

from shallop_protocol import desired, device, messages
from shallop_protocol.messages import Reason
from shallop_protocol.statuses import Activity, Error
from shallop_protocol.trust import Trust

from shallop_device import (
    announcer,
    applier,
    backoff,
    clock,
    errands,
    errors,
    freshness,
    gates,
    identity,
    inbox,
    logbook,
    orders,
    passage,
    sight,
    store,
)

MAX_STEPS = 100
"""Steps in one go; then whoever drives the worker has a turn."""

logger = logging.getLogger(__name__)


NO_RULES = gates.Rules()


class Worker:
    """One device at work.

    Args:
        rules: the gates before a deployment is in force; ``doing`` runs their hooks and fetches contents.
        integrity: what to do about files in force that are not what was written.
        limits: when this device is stale.
        notice: is called with each event and each new report, once it is durable.

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
        rules: gates.Rules = NO_RULES,
        doing: errands.Errands = errands.NOBODY,
        integrity: Literal["heal", "report"] = "heal",
        limits: freshness.Limits = freshness.STANDARD,
        notice: logbook.Notice | None = None,
    ) -> None:
        self._store = memory
        self._freshness = freshness.Freshness(memory, limits, time, rng)
        self._judge = orders.Judge(memory.trust(who.anchor))
        self._applier = disk
        self._clock = time
        self._rng = rng
        self._retry = retry
        self._sight = sight.Sight(disk, retry, time, rng, heals=integrity == "heal")
        self._logbook = logbook.Logbook(who, memory, time=time, agent=agent, notice=notice)
        self._passage = passage.Passage(rules, doing, memory, time=time, rng=rng)
        self._announcer = announcer.Announcer(self._passage, memory, retry, time, rng)
        self._memory = memory.memory
        self._pending: bytes | None = None
        self._pending_list: bytes | None = None
        self._begun: str | None = None
        self._failures = 0
        self._retry_at: float | None = None
        self._next_attempts: dict[str, datetime.datetime] = {}
        self._untidy = True
        self._tidy_failures = 0
        self._tidy_at: float | None = None
        self._check_failures = 0
        self._check_at: float | None = None
        self._is_tired = False

    @property
    def passage(self) -> passage.Passage:
        """What robot software and the cloud can say to a deployment on its way."""
        return self._passage

    @property
    def freshness(self) -> freshness.Freshness:
        """Whether this device has the newest order, as far as that is proven."""
        return self._freshness

    @property
    def trust(self) -> Trust:
        """Whose orders and echoes count now."""
        return self._judge.trust

    @property
    def refusals(self) -> int:
        """How many messages from the cloud's topics were no good."""
        return self._judge.refusals

    @property
    def wake_at(self) -> float | None:
        """The monotonic moment at which there is something to do again; None if only an order brings it."""
        if self._is_tired:
            return self._clock.monotonic()
        if self._retry_at is not None:
            steps = [self._retry_at, self._tidy_at, self._check_at, self._announcer.wake_at]
        else:
            steps = [self._sight.wake_at, self._tidy_at, self._check_at, self._announcer.wake_at, self._passage.wake_at]
        return min((step for step in steps if step is not None), default=None)

    @property
    def _awaited(self) -> frozenset[str]:
        return self._sight.awaited(self._memory)

    @property
    def _wanted_id(self) -> str | None:
        return self._memory.wanted.id if self._memory.wanted else None

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
            logbook.log_held_up(error, None)

    def check(self) -> None:
        """Reads the trees back from the disk; what is found damaged is healed by ``work``. If the disk does not let
        them be read, that is tried again after a while."""
        try:
            found = self._sight.check(self._memory)
        except errors.HeldUp as error:
            logbook.log_held_up(error, None)
            self._check_failures += 1
            self._check_at = self._clock.monotonic() + self._retry.delay(self._check_failures, self._rng)
            return
        self._check_failures, self._check_at = 0, None
        for deployment in found:
            logger.warning("the files of %s are not what was written", deployment)
            self.tell("files_changed", f"the files of {deployment} are not what was written", deployment)

    def retry_now(self) -> None:
        """Ends every wait that a failure brought about."""
        self._failures = self._tidy_failures = 0
        self._retry_at = self._tidy_at = None
        self._next_attempts = {}
        self._sight.retry_now()
        self._announcer.start_over()

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
            is_safe = deaths < orders.MAX_DEATHS
            if is_safe:
                received = self._judge.judge(self._memory, data, self._clock.now())
            else:
                received = self._judge.quarantine(self._memory, digest, deaths)
            is_new = received.outcome == "accepted"
            memory, attempt = self._begin(received.memory) if is_new else (received.memory, None)
            is_other = is_new and (memory.wanted is None or memory.wanted.id != self._wanted_id)
            if is_new:
                self.retry_now()
                self._ask_if_behind()
                self._untidy = self._untidy or bool(self._awaited)
            envelope, is_attempt = data if is_new else None, attempt is not None
            self._remember(memory, envelope=envelope, applying=is_attempt, judged=is_safe, is_over=is_other)
            self._begun = attempt
            if is_other:
                self._passage.forget()
        except errors.HeldUp as error:
            self._pending = data
            self._hold(None, error)
            return
        if is_new or self._pending == data:
            self._pending = None
        if is_new:
            epoch, generation = received.memory.position
            logger.info("accepted order %d/%d", epoch, generation)

    def renew(self, data: bytes) -> None:
        """Takes or refuses what came as the key list; it is durable before it counts. An order that was refused and may
        have needed it is judged again."""
        if not data:
            logger.debug("an empty key list: absence is not a command")
            return
        match self._judge.renewal(data):
            case None:
                return
            case Reason() as reason:
                self.tell("key_list_refused", f"refused a key list: {reason.code}: {reason.message}")
                return
            case orders.Renewal() as renewal:
                pass
        self._ask_if_behind()
        try:
            self._remember(self._memory, renewal=renewal)
        except errors.HeldUp as error:
            self._pending_list = data
            self._hold(None, error)
            return
        self._pending_list = None
        again = self._judge.adopt(renewal)
        listed = renewal.trust.listed
        logger.info("key list %d counts from now on, epoch %d", listed.version, listed.epoch)
        if again is not None:
            self.take(again)

    def _ask_if_behind(self) -> None:
        """What was missing may have come; the report that says so asks whether it was that."""
        if self._freshness.is_behind:
            self._freshness.ask()

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
            logbook.log_held_up(error, None)

    def ask(self) -> None:
        """As ``repeat``, and asks the cloud whether this is the newest order."""
        self._freshness.ask()
        self.repeat()

    def look_at_freshness(self) -> None:
        """Says so if this device became stale, or is not any more."""
        change = self._freshness.look()
        if change is None:
            return
        reason = self._freshness.reason
        words = f"{reason.code}: {reason.message}" if reason else "the cloud answered: this robot has its newest order"
        logger.log(logging.WARNING if reason else logging.INFO, "%s: %s", change, words)
        self.tell(change, words)
        try:
            self._remember(self._memory)
        except errors.HeldUp as error:
            logbook.log_held_up(error, None)

    def tell(self, code: str, words: str, deployment: str | None = None) -> None:
        """Queues an event for the cloud."""
        self._logbook.tell(code, words, deployment)

    def hear(self, data: bytes) -> None:
        """Takes what came as the cloud's echo; what is none, or answers another question, says nothing."""
        heard = self._judge.echo(data)
        if heard is None:
            return
        self._passage.hear(heard.nonce)
        if self._pending is None and self._pending_list is None:
            self._freshness.hear(heard, self._memory, self._judge.trust.listed.version)

    def ended(self, result: inbox.Ended) -> None:
        """Takes the end of an errand."""
        try:
            finding = self._passage.ended(result)
        except errors.HeldUp as error:
            self._hold(None, error)
            return
        if finding is None:
            return
        if finding.news:
            self.tell(finding.news.code, finding.news.message, finding.deployment)
        wanted = self._memory.wanted
        is_on_its_way = wanted is not None and wanted.id == finding.deployment and wanted.error is not Error.FAILED
        is_trial_over = wanted is None or wanted.activity is not Activity.QUEUED
        try:
            if finding.kind == "applied" and (is_trial_over or not is_on_its_way):
                self._end_announcement(finding)
            elif is_on_its_way and wanted:
                self._go_on(wanted, finding)
        except errors.HeldUp as error:
            self._hold(finding.deployment, error)

    def _end_announcement(self, finding: passage.Finding) -> None:
        if finding.held_up and finding.deployment == self._sight.disk.current:
            self._announcer.later(errors.HeldUp(finding.held_up), self._sight.disk.current)
        else:
            self._announcer.start_over()

    def _go_on(self, wanted: device.Holding, finding: passage.Finding) -> None:
        """Takes what an errand for the wanted deployment came to."""
        held_up = finding.held_up
        if finding.kind == "fetch" and held_up is None and self._missing():
            held_up = Reason.of("cannot_fetch", f"what was fetched for {wanted.id} is not what it should be")
        if finding.rejected:
            self._reject(wanted.id, finding.rejected)
        elif held_up:
            # Attempts to apply are counted when they begin.
            self._hold(wanted.id, errors.HeldUp(held_up), is_attempt=finding.kind in ("fetch", "check"))
        else:
            self._failures = 0

    def _begin(self, memory: device.Memory) -> tuple[device.Memory, str | None]:
        """A memory with a new order in it; if applying is what it asks for next, with the attempt counted, so that the
        order and the beginning of the attempt become durable at once."""
        step = device.plan(memory, self._sight.disk, self._clock.now())
        if not isinstance(step, device.Apply) or memory.order is None or not self._passage.is_free(memory.order):
            return memory, None
        return device.begun(memory, step.manifest.id), step.manifest.id

    def _one_step(self) -> bool:
        """Takes one step; False if there is none to take now."""
        now = self._clock.monotonic()
        if self._untidy and (self._tidy_at is None or now >= self._tidy_at):
            self._tidy(now)
        if self._check_at is not None and now >= self._check_at:
            self.check()
        if self._retry_at is not None and now < self._retry_at:
            self._announcer.announce(self._memory, self._sight.disk.current)
            return False
        self._retry_at = None
        self._next_attempts = {}
        if self._pending_list is not None:
            self.renew(self._pending_list)
            return True
        if self._pending is not None:
            self.take(self._pending)
            return True
        subject = self._wanted_id
        try:
            self._sight.look()
            self._announcer.announce(self._memory, self._sight.disk.current)
            step = device.plan(self._memory, self._sight.plan_by(self._memory), self._clock.now())
            if step is None:
                self._passage.go_on()
                self._remember(self._memory)
                return False
            subject = _subject(step)
            return self._do(step)
        except errors.HeldUp as error:
            self._hold(subject, error)
        except Exception as error:  # a defect of ours must not keep the device from hearing a better order
            logger.exception("a step brought out a defect of the agent")
            words = f"the agent failed: {type(error).__name__}; report this as a defect of shallopd"
            self._hold(subject, errors.HeldUp(Reason.of("internal_error", words)))
        return True

    def _do(self, step: device.Step) -> bool:
        """Does it; False if it has to wait."""
        match step:
            case device.Remember():
                self._remember(step.memory)
                return True
            case device.Apply():
                return self._apply(step.manifest)
            case device.Point():
                if self._passage.wait(step.leaving, self._wanted_id or step.leaving):
                    self._remember(self._memory)
                    return False
                self._passage.go_on()
                self._point(step.deployment)
            case device.Remove():
                self._remove(step.deployment)
        self._failures = 0
        return True

    def _apply(self, manifest: desired.Manifest) -> bool:
        """Takes a deployment one step further on its way into force; False if it has to wait."""
        order, holding = self._memory.order, self._memory.holding(manifest.id)
        assert order is not None
        assert holding is not None
        situation = gates.Situation(
            manifest,
            is_confirmed=holding.activity is Activity.DEPLOYED,
            is_current=self._sight.disk.current == manifest.id,
            is_whole=manifest.id not in self._sight.disk.damaged,
            missing=self._missing(),
        )
        act = self._passage.next_act(order, manifest, situation)
        try:
            return self._act(manifest, order, act)
        except errors.Rejected as error:
            self._reject(manifest.id, error.reason)
            return True

    def _act(self, manifest: desired.Manifest, order: desired.Desired, act: gates.Act) -> bool:
        match act:
            case gates.Await():
                self._remember(self._memory)
                return False
            case gates.Stage():
                self._untidy = True
                self._passage.staged(manifest.id, self._applier.stage(manifest))
            case gates.Bring():
                self._passage.go_on()
                self._bring(manifest, order)
            case gates.Confirm():
                self._confirm(manifest.id)
            case gates.Reject(reason):
                self._reject(manifest.id, reason)
            case gates.Ask():
                self._passage.asked()
                self._remember(self._memory, again=True)
            case _:
                self._begin_errand(manifest, act)
        return True

    def _missing(self) -> Sequence[desired.Instance]:
        """The contents of the wanted deployment that are not on this robot."""
        known, order = self._passage.missing, self._memory.order
        if known is None and order and order.deployment:
            known = self._applier.missing(order.deployment)
            self._passage.misses(known)
        return known or ()

    def _begin_errand(self, manifest: desired.Manifest, act: gates.Act) -> None:
        match act:
            case gates.Fetch(missing):
                applier.check(manifest)
                self._passage.fetch(manifest.id, missing)
            case gates.Check():
                self._passage.check(manifest, self._sight.disk.current)
            case gates.Announce():
                self._passage.announce(manifest.id, "deployed", manifest)
            case _:
                self._passage.probe(manifest)

    def _bring(self, manifest: desired.Manifest, order: desired.Desired) -> None:
        """Brings it into sight. What was never confirmed is not yet in force then, if there are gates behind that."""
        holding, trials = self._memory.holding(manifest.id), self._store.trials(manifest.id)
        is_new = holding is not None and holding.activity is Activity.QUEUED
        is_trial = is_new and self._passage.has_trial(order) and self._passage.trial is None
        if self._begun != manifest.id:
            begun = (manifest.id, trials + 1) if is_trial else None
            self._remember(device.begun(self._memory, manifest.id), applying=True, trials=begun)
        self._begun = None
        leaves_something = self._untidy or manifest.id in self._sight.disk.trees or bool(self._awaited)
        self._untidy = True
        try:
            self._applier.apply(manifest)
        except errors.HeldUp:
            if is_trial:  # only what ends a trial without our doing counts against the deployment
                self._remember(self._memory, trials=(manifest.id, trials))
            raise
        self._untidy = leaves_something
        self._sight.brought(manifest.id)
        self._failures = 0
        if is_new and (self._passage.has_trial(order) or self._passage.announces):
            self._passage.begin_trial(order, manifest.id)
            logger.info("%s is in sight, and on trial", manifest.id)
            self._remember(self._memory)
        else:
            self._confirm(manifest.id)

    def _confirm(self, deployment: str) -> None:
        self._untidy = self._untidy or bool(self._awaited)
        self._remember(device.applied(self._memory, deployment, self._clock.now()), is_over=True)
        self._passage.forget()
        self._failures = 0
        logger.info("%s is in force", deployment)

    def _reject(self, deployment: str, reason: Reason) -> None:
        logger.error("%s can never be applied: %s", deployment, reason.message)
        self._untidy = self._untidy or bool(self._awaited)
        self._remember(device.rejected(self._memory, deployment, reason, self._clock.now()), is_over=True)
        self._passage.forget()

    def _point(self, deployment: str | None) -> None:
        if deployment is None:
            self._applier.point_nowhere()
            return
        holding = self._memory.holding(deployment)
        if self._applier.point(deployment, holding.digest if holding else None):
            logger.info("returned to %s", deployment)
        else:
            self._sight.found_damaged(deployment)

    def _remove(self, deployment: str) -> None:
        """Takes a tree off. If the disk does not let it go, that tree waits for its next attempt, and nothing else."""
        self._untidy = True
        try:
            self._applier.remove(deployment)
        except errors.HeldUp as error:
            logbook.log_held_up(error, deployment)
            self._sight.could_not_remove(deployment)
            self._sight.look()
            self._remember(device.held_up(self._memory, deployment, error.reason, self._clock.now()))
        else:
            self._sight.removed(deployment)

    def _tidy(self, now: float) -> None:
        try:
            self._applier.tidy(self._sight.disk.damaged, self._awaited)
        except errors.HeldUp as error:
            self._tidy_failures += 1
            self._tidy_at = now + self._retry.delay(self._tidy_failures, self._rng)
            logbook.log_held_up(error, None)
        else:
            self._untidy, self._tidy_failures, self._tidy_at = False, 0, None

    def _hold(self, subject: str | None, error: errors.HeldUp, *, is_attempt: bool = False) -> None:
        """Notes that a step on a deployment did not succeed, and waits.

        Args:
            is_attempt: it counts as one, and was not counted yet.
        """
        logbook.log_held_up(error, subject)
        self._passage.doubt()
        self._failures += 1
        memory = self._memory
        if subject:
            memory = device.begun(memory, subject) if is_attempt else memory
            memory = device.held_up(memory, subject, error.reason, self._clock.now())
        self._wait(subject)
        try:
            self._sight.look()
        except errors.HeldUp as blind:
            logger.debug("reporting what was last seen: %s", blind)
        try:
            self._remember(memory)
        except errors.HeldUp as lost:
            logbook.log_held_up(lost, subject)

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
        trials: tuple[str, int] | None = None,
        renewal: orders.Renewal | None = None,
        is_over: bool = False,
    ) -> None:
        """As the logbook does. ``is_over``: what the passage knows is of a deployment that is through, or given up."""
        known = renewal.trust if renewal else self._judge.trust
        nonce = None if is_over else self._passage.nonce
        if nonce is None:
            nonce = self._freshness.nonce
        else:
            self._freshness.asked(nonce)
        account = logbook.Account(
            disk=self._sight.disk,
            next_attempts={**self._sight.next_attempts, **self._next_attempts},
            waiting={} if is_over else self._passage.waiting,
            integrity=self._sight.left_so(self._memory),
            nonce=nonce,
            keys=known.listed.version,
            stale=self._freshness.is_stale,
        )
        self._logbook.remember(
            memory,
            account,
            envelope=envelope,
            applying=applying,
            judged=judged,
            again=again,
            trials=trials,
            key_list=renewal.envelope if renewal else None,
        )
        self._memory = memory
        if not applying:
            self._begun = None


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
