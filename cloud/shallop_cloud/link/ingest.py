"""What devices say, on its way into the database: many messages to a transaction, parsed off the network thread.

A report that asks for an echo is answered when it is committed, not before: the answer is proof that it was heard.

A message that cannot be read, or is of a device that is unknown or revoked, is counted and dropped; it stops nothing
else. When the queue is full, messages are dropped too: every device repeats its report when the cloud says hello, and
by timer.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from shallop_protocol import cloud, echo, ids, messages
from shallop_protocol import errors as protocol_errors
from shallop_protocol.topics import Kind, Topics

from shallop_cloud import errors
from shallop_cloud.store import devices, history, lagging, outgoing
from shallop_cloud.store import presences as store
from shallop_cloud.store.database import Database

MAX_WAITING = 50_000
BATCH = 500
GATHER_S = 0.05
GATHER_S_PER_MESSAGE = 0.001
"""A transaction costs as much as a dozen messages. So the more messages have just been recorded, the longer others may
gather, up to 50 ms, before the next transaction; one that comes alone does not wait.
"""
RETRY_S = 0.5
"""How long messages wait for a database that is away or in a tangle."""

log = structlog.get_logger()


class Told(Protocol):
    """What ingest tells the publisher."""

    def ordered(self) -> None:
        """Something new is desired."""
        ...

    def assert_again(self, device: str) -> None:
        """This device may have lost what it was told."""
        ...

    def purge(self, device: str) -> None:
        """Something was heard of this device, which is revoked: the broker may keep it."""
        ...

    def answer(self, echoes: Sequence[echo.Echo]) -> None:
        """These devices asked for an echo, in reports that are recorded by now."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the reports of a batch.

    Attributes:
        ordered: something new is desired.
        again: devices that are to be told again.
        echoes: for those that asked.
        moved: what is for the history.
        changed: something in them was news.
        unknown: so many were of devices that there are not.
    """

    ordered: bool = False
    again: Sequence[str] = ()
    echoes: Sequence[echo.Echo] = ()
    moved: Sequence[dict[str, Any]] = ()
    changed: bool = False
    unknown: int = 0


class Ingest:
    """A thread that records what devices say."""

    def __init__(self, database: Database, topics: Topics, publisher: Told) -> None:
        self._database = database
        self._topics = topics
        self._publisher = publisher
        self._waiting: collections.deque[tuple[str, bytes]] = collections.deque()
        self._arrived = threading.Event()
        self._stopping = False
        self.dropped: collections.Counter[str] = collections.Counter()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begins to record."""
        self._thread.start()

    def stop(self) -> None:
        """Records what waits, and ends the thread."""
        self._stopping = True
        self._arrived.set()
        self._thread.join(timeout=10)

    def received(self, topic: str, payload: bytes) -> None:
        """Takes a message from the network thread; never blocks, never raises."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped["queue_full"] += 1
            return
        self._waiting.append((topic, payload))
        if not self._arrived.is_set():
            self._arrived.set()

    def _run(self) -> None:
        while not self._stopping or self._waiting:
            self._arrived.wait()
            self._arrived.clear()
            began = time.monotonic()
            taken = 0
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                taken += len(batch)
                self._take(batch)
            pause = began + min(GATHER_S, GATHER_S_PER_MESSAGE * taken) - time.monotonic()
            if pause > 0 and not self._stopping:
                time.sleep(pause)

    def _take(self, batch: list[tuple[str, bytes]]) -> None:
        """Records a batch; if that fails, each message by itself, so that one cannot take others with it. While the
        database is away they wait.
        """
        try:
            self._record_in_time(batch)
        except Exception:
            if len(batch) > 1:
                for item in batch:
                    self._take([item])
            else:
                self.dropped["failed"] += 1
                log.exception("a message could not be recorded", topic=batch[0][0])

    def _record_in_time(self, batch: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                self.record(batch)
            except errors.Busy as error:
                if self._stopping:
                    raise
                log.warning("reports wait for the database", why=error.detail)
                time.sleep(RETRY_S)
            else:
                return

    def record(self, batch: list[tuple[str, bytes]]) -> None:
        """Records messages in the order in which they came, in one transaction."""
        parsed = [message for topic, payload in batch if (message := self._parse(topic, payload))]
        reports = [(device, said, data) for device, said, data in parsed if isinstance(said, messages.Report)]
        presences = [(device, said) for device, said, _ in parsed if isinstance(said, messages.Presence)]
        if not reports and not presences:
            return
        at = datetime.datetime.now(datetime.UTC)
        heard = {device for device, *_ in (*reports, *presences)}
        with self._database.write() as connection:
            devices.hold(connection, heard)
            revoked = outgoing.revoked_among(connection, heard)
            if revoked:
                self.dropped["revoked_device"] += sum(device in revoked for device, *_ in (*reports, *presences))
                reports = [each for each in reports if each[0] not in revoked]
                presences = [each for each in presences if each[0] not in revoked]
            recorded = record_reports(connection, reports, at)
            self._record_presences(connection, presences, at)
            history.append(connection, recorded.moved)
        if recorded.unknown:
            self.dropped["unknown_device"] += recorded.unknown
        if recorded.echoes:
            self._publisher.answer(recorded.echoes)
        for device in revoked:
            self._publisher.purge(device)
        for device in recorded.again:
            self._publisher.assert_again(device)
        if recorded.ordered:
            self._publisher.ordered()

    def _parse(self, topic: str, payload: bytes) -> tuple[str, messages.Message, bytes] | None:
        """Which device says what, and the bytes by which it does; None for what is dropped."""
        place = self._topics.parse(topic)
        if place is None or not payload or place[1] not in _PARSERS:
            return None
        wire, kind = place
        try:
            return ids.from_wire(wire), _PARSERS[kind](payload, wire), payload
        except protocol_errors.ProtocolError as error:
            self.dropped[error.code] += 1
            log.warning("a message was refused", topic=topic, code=error.code, why=error.message)
            return None

    def _record_presences(
        self, connection: sa.Connection, presences: list[tuple[str, messages.Presence]], at: datetime.datetime
    ) -> None:
        if not presences:
            return
        recorded = store.load(connection, {device for device, _ in presences})
        changed: dict[str, store.Presence] = {}
        for device, heard in presences:
            known = changed.get(device) or recorded.get(device)
            if known is None:
                self.dropped["unknown_device"] += 1
            elif cloud.is_current(heard, known.incarnation, known.connection):
                online = heard.status == "online"
                changed[device] = store.Presence(online, heard.incarnation, heard.connection, at if online else None)
        store.save(connection, changed)


def record_reports(
    connection: sa.Connection, reports: Sequence[tuple[str, messages.Report, bytes]], at: datetime.datetime
) -> Recorded:
    """Records what is news, in a transaction that holds the devices. What is not, a report that comes a second time
    among it, asks for nothing.

    Args:
        reports: each with the id of its device and the bytes by which it came.
    """
    if not reports:
        return Recorded()
    recorded = devices.load_many(connection, {device for device, _, _ in reports})
    changes: list[devices.Change] = []
    again: list[str] = []
    echoes: list[echo.Echo] = []
    unknown = 0
    for device, report, data in reports:
        before = recorded.get(device)
        if before is None:
            unknown += 1
            continue
        result = cloud.ingest(before, report)
        for words in result.ignored:
            log.info("part of a report was passed over", device=device, why=words)
        after = result.device
        if after is before:
            continue
        recorded[device] = after
        cause = devices.Cause("device", at, report.at)
        changes.append(devices.Change(before, after, cause, heard=data, said=_said(before, after, report)))
        if report.nonce is not None:
            echoes.append(
                echo.Echo(device=report.device, nonce=report.nonce, epoch=after.epoch, generation=after.generation)
            )
        if before.incarnation != after.incarnation and not after.in_sync:
            again.append(device)
    moved = devices.save_many(connection, changes)
    ordered = any(change.before.generation != change.after.generation for change in changes)
    return Recorded(ordered, again, echoes, moved, changed=bool(changes), unknown=unknown)


def _said(before: cloud.Device, after: cloud.Device, report: messages.Report) -> lagging.Said:
    """What a report says of what reaches its device: held against the order that was out before it came."""
    return lagging.Said(
        keys=report.keys,
        stale=report.stale,
        behind=after.reported < before.published,
        moved=after.reported > before.reported,
    )


_PARSERS = {
    Kind.REPORT: messages.parse_report,
    Kind.PRESENCE: messages.parse_presence,
    Kind.EVENT: messages.parse_event,
}
