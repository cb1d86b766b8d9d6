"""The agent: gives the worker its turns, keeps a connection open, and sees that the newest report arrives.

One thread owns all of it. Other threads and signal handlers only put items into the inbox.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import random
from typing import Protocol

from shallop_protocol import errors as protocol_errors
from shallop_protocol import messages
from shallop_protocol.topics import Kind

from shallop_device import backoff, clock, errors, identity, inbox, link, store, worker

PRESENCE_S = 3600.0
"""So often the device says that it is there."""
HEARTBEAT_S = 21_600.0
"""So often the report is sent again though nothing changed: rare, for what the cloud misses it asks for."""
SOON_S = 900.0
"""After news, the report is sent again so soon, then after twice as long, and so on up to the heartbeat: a broker may
have lost what it acknowledged, and that is noticed the sooner the younger it is."""
CHECK_S = 900.0
"""So often the files are read back."""
ACKNOWLEDGE_S = 60.0
"""A connection on which a publish was not acknowledged for so long leads nowhere; another one is made."""
REFUSED_S = 900.0
"""Before something that the broker refused is sent again."""
SETTLED_S = 60.0
"""A connection that stood so long was a good one; the waits before the next ones begin anew."""
CUT_SHORT = 5
"""So many connections in a row that ended before they were settled are told of: a network does that, or somebody who
connects as this device. MQTT 3.1.1 does not say which."""
UNSHARED_S = 3600.0
"""The same for one that another client took over: two robots with one identity leave each other alone that way."""
LOSS_KNOWN_S = 1.0
"""Between a publish that found the connection gone and the word of its loss."""
FAREWELL_S = 2.0
NOISE = 128
"""So many messages that are no good are borne at once, and one more every ``NOISE_EVERY_S``: each is logged, and most
are written down."""
NOISE_EVERY_S = 10.0
HELLO_GAP_CAP_S = 10.0
"""Hellos that follow each other are answered ever more rarely, at the least so often. Each answer is written down."""

logger = logging.getLogger(__name__)


class Heart(Protocol):
    """Who is told that the agent works: a service manager."""

    def ready(self) -> None:
        """The agent has taken up what an earlier run left, and begins."""
        ...

    def beat(self, status: str) -> float:
        """The agent had a turn, and its connection is worked on or waited for. ``status`` says for a person how it is.

        Returns:
            Seconds until it has to be told again; infinite if never.
        """
        ...

    def stopping(self) -> None:
        """The agent is about to end."""
        ...


class Unwatched:
    """Nobody is told."""

    def ready(self) -> None:
        """As the port says."""

    def beat(self, status: str) -> float:  # noqa: ARG002  as the port has it
        """As the port says."""
        return math.inf

    def stopping(self) -> None:
        """As the port says."""


UNWATCHED = Unwatched()


@dataclasses.dataclass(slots=True)
class _Timer:
    """Something that is done every so many seconds, for the first time somewhere between half of them and all."""

    every: float
    at: float

    @classmethod
    def begin(cls, every: float, now: float, rng: random.Random) -> _Timer:
        return cls(every, now + rng.uniform(0.5, 1.0) * every)

    def is_due(self, now: float) -> bool:
        """Whether it is to be done now; then it is due again so much later."""
        if now < self.at:
            return False
        self.at = now + self.every
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class _InFlight:
    number: int
    kind: Kind
    subject: int
    """Sequence number of a report, number of an event."""
    since: float


class Agent:
    """One device, online or not. ``handle`` items and give it ``turn``s; ``run`` does both until it is stopped.

    Args:
        heartbeat: seconds after which the report is sent again though nothing changed.
        presence: seconds after which the device says again that it is there; no more than ``heartbeat``.
        check_every: seconds after which the files are read back.
        heart: is told in ``run`` that the agent works.
        reconnect: the waits before the next connection; ``unwelcome`` those after the broker refused one.
    """

    def __init__(
        self,
        who: identity.Identity,
        memory: store.Store,
        hands: worker.Worker,
        line: link.Link,
        *,
        time: clock.Clock,
        rng: random.Random,
        heartbeat: float = HEARTBEAT_S,
        presence: float = PRESENCE_S,
        check_every: float = CHECK_S,
        reconnect: backoff.Backoff = backoff.RECONNECT,
        unwelcome: backoff.Backoff = backoff.UNWELCOME,
        heart: Heart = UNWATCHED,
    ) -> None:
        self._who = who
        self._store = memory
        self._worker = hands
        self._link = line
        self._clock = time
        self._rng = rng
        self._reconnect = reconnect
        self._unwelcome = unwelcome
        self._heart = heart
        self._connection: int | None = None
        self._is_online = False
        self._online_since = 0.0
        self._failures = 0
        self._cut_short = 0
        self._open_at: float | None = time.monotonic()
        begun = time.monotonic()
        self._heartbeat = heartbeat
        self._known_seq = 0
        self._report_again = _Timer.begin(min(SOON_S, heartbeat), begun, rng)
        self._present_again = _Timer.begin(min(presence, heartbeat), begun, rng)
        self._check_again = _Timer.begin(check_every, begun, rng)
        self._was_on_trial = False
        self._hello_at: float | None = None
        self._hello_gap = 0.0
        self._answered_at = -math.inf
        self._told_of_broker = False
        self._noise = 0.0
        self._noise_at = begun
        self._refusals = 0
        self._say_again = False
        self._expects_kept = False
        self._in_flight: _InFlight | None = None
        self._quiet_until = 0.0

    def start(self) -> None:
        """Takes up what an earlier run left."""
        self._worker.start()

    def run(self, items: inbox.Inbox) -> None:
        """Works until ``inbox.Stop``, then says good-bye.

        Raises:
            errors.AgentError: the connection's thread is gone without a word.
        """
        self.start()
        self._heart.ready()
        while True:
            seconds = self.turn()
            item = items.get(min(seconds, self._heart.beat(self._status())))
            if isinstance(item, inbox.Stop):
                break
            if item is not None:
                self.handle(item)
            elif self._connection is not None and not self._link.is_alive():
                last = items.get(0.0)
                if last is None:
                    raise errors.AgentError("the MQTT connection's thread is gone; the agent ends, to be started anew")
                self.handle(last)
        self._worker.freshness.note()
        self._heart.stopping()
        self._say_goodbye(items)

    def handle(self, item: inbox.Item) -> None:
        """Takes in what happened."""
        match item:
            case inbox.Connected(connection) if connection == self._connection:
                self._greet(connection)
            case inbox.Lost(connection) if connection == self._connection:
                self._lose(item)
            case inbox.Acknowledged(connection) if connection == self._connection:
                self._settle(item)
            case inbox.Ordered(payload):
                self._take(payload)
            case inbox.Greeted(payload):
                self._plan_answer(payload)
            case inbox.Echoed(payload):
                self._worker.hear(payload)
            case inbox.Keyed(payload):
                self._worker.renew(payload)
            case inbox.Ended():
                self._worker.ended(item)
            case inbox.Touched(is_inside):
                if is_inside:
                    self._worker.check()
            case inbox.Call():
                _answer(item)
            case _:
                logger.debug("of an earlier connection: %s", item)
        if isinstance(item, inbox.Message):
            self._weigh()

    def turn(self) -> float:
        """Does all that is due, and gives the seconds until something is due again."""
        now = self._clock.monotonic()
        if self._check_again.is_due(now):
            self._worker.check()
        if self._report_again.is_due(now):
            later = min(2 * self._report_again.every, self._heartbeat)
            self._report_again = _Timer(later, now + later)
            self._repeat(asks=True)
        if self._present_again.is_due(now):
            self._say_online()
        self._worker.work(until_news=True)
        now = self._clock.monotonic()
        self._follow_trial(now)
        self._worker.look_at_freshness()
        if self._is_online and now >= self._worker.freshness.ask_at:
            self._repeat(asks=True)
        if self._open_at is not None and now >= self._open_at:
            self._open()
        if self._hello_at is not None and now >= self._hello_at:
            self._hello_at = None
            self._answered_at = now
            self._say_online()
            self._repeat()
            self._say_again = True  # the report that there is, if the disk did not take a newer one
        if self._in_flight is not None and now >= self._in_flight.since + ACKNOWLEDGE_S:
            self._give_up()
        self._publish(now)
        timers = (self._report_again.at, self._present_again.at, self._check_again.at)
        freshness = self._worker.freshness
        asks_at = freshness.ask_at if self._is_online else None
        own = (self._open_at, self._hello_at, self._publish_at())
        due = (*timers, *own, self._worker.wake_at, freshness.look_at, asks_at)
        return max(0.0, min(moment for moment in due if moment is not None) - self._clock.monotonic())

    def _take(self, payload: bytes) -> None:
        """An order that changes nothing is answered by the report: somebody missed that. But the first on a connection
        is the one that the broker keeps, which is answered by what was said when the connection was made.
        """
        said = self._store.report
        self._worker.take(payload)
        self._say_again |= self._store.report is said and not self._expects_kept
        self._expects_kept = False

    def _open(self) -> None:
        self._open_at = None
        try:
            self._connection = self._store.next_connection()
        except errors.HeldUp as error:
            logger.warning("held up: %s: %s", error.reason.code, error)
            self._wait_to_open(self._reconnect)
            return
        self._link.open(self._connection)

    def _follow_trial(self, now: float) -> None:
        """Connects anew where a trial needs it: only a connection that was made since a deployment was taken up tells
        whether the cloud can still be reached. After a trial, one that does not stand is tried at once, too: what was
        on trial may have been what it could not be made with."""
        is_on_trial = self._worker.passage.trial is not None
        is_over = self._was_on_trial and not is_on_trial
        self._was_on_trial = is_on_trial
        if self._is_online and self._worker.passage.wants_fresh_line:
            logger.info("connecting anew, to see whether the cloud can still be reached")
            self._link.close()
            self._connection = None
            self._is_online = False
            self._in_flight = None
            self._worker.passage.online(None)
            self._open_soon(now)
        elif is_over and self._open_at is not None:
            self._open_soon(now)

    def _open_soon(self, now: float) -> None:
        self._failures = 0
        self._open_at = now

    def _repeat(self, *, asks: bool = False) -> None:
        """The same report under a new number. It is no news unless the one before it is, and did not get through."""
        said = self._store.report
        if asks:
            self._worker.ask()
        else:
            self._worker.repeat()
        report = self._store.report
        if said and report and said.seq <= self._known_seq:
            self._known_seq = report.seq

    def _expect_loss(self, seq: int) -> None:
        """The broker has a report; if it was news, it is sent again soon."""
        if seq > self._known_seq:
            self._known_seq = seq
            soon = min(SOON_S, self._heartbeat)
            self._report_again = _Timer.begin(soon, self._clock.monotonic(), self._rng)

    def _give_up(self) -> None:
        """A broker that takes and does not answer, or a network that swallows all: what was sent may not have come."""
        assert self._in_flight is not None
        words = f"the broker did not acknowledge a {self._in_flight.kind.value} within {ACKNOWLEDGE_S:g} s"
        lost = inbox.Lost(self._connection or 0, words)
        self._link.close()
        self._lose(lost)

    def _status(self) -> str:
        report = self._store.report
        if self._is_online:
            return f"connected to {self._who.mqtt_url}" + ("" if report and report.sent else ", a report is on its way")
        return f"not connected to {self._who.mqtt_url}, failures in a row: {self._failures}"

    def _greet(self, connection: int) -> None:
        logger.info("connected to %s", self._who.mqtt_url, extra={"connection": connection})
        self._is_online = True
        self._quiet_until = 0.0
        self._online_since = self._clock.monotonic()
        self._worker.passage.online(self._online_since)
        self._repeat(asks=True)
        self._say_again = True  # the report that there is, if the disk did not take a newer one
        self._expects_kept = True
        self._say_online()

    def _say_online(self) -> None:
        """Again when the cloud asks, and now and then: it goes by when it heard this, and an old connection's will may
        have come late and stand on the broker."""
        if self._is_online and self._connection is not None:
            birth = link.presence(self._who, self._store.incarnation, self._connection, online=True)
            self._link.publish(Kind.PRESENCE, birth)

    def _lose(self, lost: inbox.Lost) -> None:
        if self._is_online:
            self._end_of_connection(self._clock.monotonic() - self._online_since, lost.trouble)
        self._connection = None
        self._is_online = False
        self._in_flight = None
        self._worker.passage.online(None)
        is_unwelcome = lost.trouble in ("refused", "taken_over")
        self._wait_to_open(self._unwelcome if is_unwelcome else self._reconnect)
        logger.warning("not connected: %s", lost.why, extra={"connection": lost.connection})
        if lost.trouble == "taken_over":
            words = "another client took this device's MQTT session over: is its identity used twice?"
            self._worker.tell("conflicting_identity", words)
        elif lost.trouble == "unsolicited" and not self._told_of_broker:
            self._told_of_broker = True
            self._worker.tell("broker_misbehaves", lost.why)

    def _end_of_connection(self, lasted: float, trouble: inbox.Trouble) -> None:
        if lasted >= SETTLED_S:
            self._cut_short = 0
            self._told_of_broker = False
            if trouble != "taken_over" or lasted >= UNSHARED_S:
                self._failures = 0
            return
        self._cut_short += 1
        if self._cut_short == CUT_SHORT:
            words = f"{CUT_SHORT} connections in a row were cut within {SETTLED_S:g} s each"
            self._worker.tell("connections_cut_short", f"{words}: is this device's identity used twice?")

    def _wait_to_open(self, schedule: backoff.Backoff) -> None:
        self._failures += 1
        self._open_at = self._clock.monotonic() + schedule.delay(self._failures, self._rng)

    def _settle(self, answer: inbox.Acknowledged) -> None:
        flight = self._in_flight
        if flight is None or flight.number != answer.number:
            return
        self._in_flight = None
        if answer.refusal is not None:
            logger.error("the broker refused a %s: %s", flight.kind.value, answer.refusal)
            self._be_quiet(REFUSED_S)
            return
        try:
            if flight.kind is Kind.REPORT:
                self._store.mark_sent(flight.subject)
                self._expect_loss(flight.subject)
            else:
                self._store.drop_event(flight.subject)
        except errors.HeldUp as error:
            logger.warning("held up: %s: %s", error.reason.code, error)
            self._be_quiet(ACKNOWLEDGE_S)

    def _plan_answer(self, payload: bytes) -> None:
        try:
            hello = messages.parse_hello(payload)
        except protocol_errors.ProtocolError as error:
            logger.warning("a hello that is none: %s", error.message)
            self._noise += 1
            return
        if self._hello_at is not None:
            return
        now = self._clock.monotonic()
        since = now - self._answered_at
        self._hello_gap = min(max(1.0, 2 * self._hello_gap), HELLO_GAP_CAP_S) if since < HELLO_GAP_CAP_S else 0.0
        self._hello_at = max(now + self._rng.uniform(0.0, hello.spread_s), self._answered_at + self._hello_gap)

    def _weigh(self) -> None:
        """A connection over which too much comes that is no good is ended, and not made anew at once."""
        now, refusals = self._clock.monotonic(), self._worker.refusals
        self._noise = max(0.0, self._noise - (now - self._noise_at) / NOISE_EVERY_S) + refusals - self._refusals
        self._noise_at, self._refusals = now, refusals
        if self._noise <= NOISE or self._connection is None:
            return
        self._noise = 0.0
        words = f"more than {NOISE} messages in a row were no good: is the broker broken, or hostile?"
        self._worker.tell("noisy_broker", words)
        lost = inbox.Lost(self._connection, words, "refused")
        self._link.close()
        self._lose(lost)

    def _publish(self, now: float) -> None:
        """Sends the newest report if it is news, or was asked for; else an event. At most one is in flight."""
        due = self._publish_at()
        if due is None or now < due:
            return
        report = self._store.report
        if report and (self._say_again or not report.sent):
            self._send(Kind.REPORT, report.seq, report.body, now)
        elif event := self._store.first_event():
            self._send(Kind.EVENT, *event, now)

    def _send(self, kind: Kind, subject: int, body: bytes, now: float) -> None:
        number = self._link.publish(kind, body)
        if number is None:
            self._be_quiet(LOSS_KNOWN_S)
            return
        self._in_flight = _InFlight(number, kind, subject, now)
        if kind is Kind.REPORT:
            self._say_again = False

    def _be_quiet(self, seconds: float) -> None:
        self._quiet_until = self._clock.monotonic() + seconds

    def _publish_at(self) -> float | None:
        """When something is to be sent, as things stand; None if there is nothing."""
        if not self._is_online:
            return None
        if self._in_flight is not None:
            return self._in_flight.since + ACKNOWLEDGE_S
        report = self._store.report
        has_news = report is not None and (self._say_again or not report.sent)
        return self._quiet_until if has_news or self._store.first_event() is not None else None

    def _say_goodbye(self, items: inbox.Inbox) -> None:
        if self._is_online and self._connection is not None:
            offline = link.presence(self._who, self._store.incarnation, self._connection, online=False)
            number = self._link.publish(Kind.PRESENCE, offline)
            deadline = self._clock.monotonic() + FAREWELL_S
            while number is not None and (left := deadline - self._clock.monotonic()) > 0:
                match items.get(left):
                    case inbox.Acknowledged(_, acknowledged) if acknowledged == number:
                        break
                    case inbox.Lost():
                        break
                    case _:
                        continue
        self._link.close()


def _answer(call: inbox.Call) -> None:
    """Does what another thread asked for; what goes wrong is that thread's trouble."""
    if not call.answer.set_running_or_notify_cancel():
        return
    try:
        call.answer.set_result(call.act())
    except Exception as error:  # noqa: BLE001  it is raised again where the answer is waited for
        call.answer.set_exception(error)
