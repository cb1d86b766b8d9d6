"""What devices say, on its way into the database: many messages to a transaction, parsed off the network thread.

A message that cannot be read, or speaks of an unknown device, is counted and dropped; it stops nothing else. When
the queue is full, messages are dropped too: every device repeats its report when the cloud says hello, and by timer.
"""

from __future__ import annotations

import collections
import datetime
import queue
import threading
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from shallop_protocol import cloud, ids, messages
from shallop_protocol import errors as protocol_errors
from shallop_protocol.topics import Kind, Topics

from shallop_cloud.store import devices
from shallop_cloud.store.database import Database

MAX_WAITING = 50_000
BATCH = 500

log = structlog.get_logger()


class Told(Protocol):
    """What ingest tells the publisher."""

    def ordered(self) -> None:
        """Something new is desired."""
        ...

    def assert_again(self, device: str) -> None:
        """This device may have lost what it was told."""
        ...


class Ingest:
    """A thread that records what devices say."""

    def __init__(self, database: Database, topics: Topics, publisher: Told) -> None:
        self._database = database
        self._topics = topics
        self._publisher = publisher
        self._queue: queue.Queue[tuple[str, bytes] | None] = queue.Queue(MAX_WAITING)
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
        self._queue.put(None)
        self._thread.join(timeout=10)

    def received(self, topic: str, payload: bytes) -> None:
        """Takes a message from the network thread; never blocks, never raises."""
        try:
            self._queue.put_nowait((topic, payload))
        except queue.Full:
            self.dropped["queue_full"] += 1

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._queue.get()]
            while len(batch) < BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            stopping = None in batch
            self._take([item for item in batch if item is not None])

    def _take(self, batch: list[tuple[str, bytes]]) -> None:
        """Records a batch; if that fails, each message by itself, so that one cannot take others with it."""
        try:
            self.record(batch)
        except Exception:
            if len(batch) > 1:
                for item in batch:
                    self._take([item])
            else:
                self.dropped["failed"] += 1
                log.exception("a message could not be recorded", topic=batch[0][0])

    def record(self, batch: list[tuple[str, bytes]]) -> None:
        """Records messages in the order in which they came, in one transaction."""
        parsed = [message for topic, payload in batch if (message := self._parse(topic, payload))]
        reports = [(device, message) for device, message in parsed if isinstance(message, messages.Report)]
        presences = [(device, message) for device, message in parsed if isinstance(message, messages.Presence)]
        if not reports and not presences:
            return
        at = datetime.datetime.now(datetime.UTC)
        with self._database.write() as connection:
            ordered, again = self._record_reports(connection, reports, at)
            self._record_presences(connection, presences, at)
        for device in again:
            self._publisher.assert_again(device)
        if ordered:
            self._publisher.ordered()

    def _parse(self, topic: str, payload: bytes) -> tuple[str, messages.Message] | None:
        place = self._topics.parse(topic)
        if place is None or not payload or place[1] not in _PARSERS:
            return None
        wire, kind = place
        try:
            return ids.from_wire(wire), _PARSERS[kind](payload, wire)
        except protocol_errors.ProtocolError as error:
            self.dropped[error.code] += 1
            log.warning("a message was refused", topic=topic, code=error.code, why=error.message)
            return None

    def _record_reports(
        self, connection: sa.Connection, reports: list[tuple[str, messages.Report]], at: datetime.datetime
    ) -> tuple[bool, list[str]]:
        if not reports:
            return False, []
        recorded = devices.load_many(connection, {device for device, _ in reports})
        changes: list[tuple[cloud.Device, cloud.Device, devices.Cause]] = []
        heard: dict[str, dict[str, Any]] = {}
        again: list[str] = []
        for device, report in reports:
            before = recorded.get(device)
            if before is None:
                self.dropped["unknown_device"] += 1
                continue
            result = cloud.ingest(before, report)
            for words in result.ignored:
                log.info("part of a report was passed over", device=device, why=words)
            after = result.device
            if after is before:
                continue
            recorded[device] = after
            changes.append((before, after, devices.Cause("device", at, report.at)))
            heard[device] = {
                "id": device,
                "report": report.model_dump(mode="json"),
                "reported_at": at,
                "last_heard_at": at,
            }
            if before.incarnation != after.incarnation and not after.in_sync:
                again.append(device)
        devices.save_many(connection, changes)
        devices.update_many(connection, list(heard.values()))
        return any(before.generation != after.generation for before, after, _ in changes), again

    def _record_presences(
        self, connection: sa.Connection, presences: list[tuple[str, messages.Presence]], at: datetime.datetime
    ) -> None:
        for device, presence in presences:
            row = devices.find(connection, key=device)
            if row is None:
                self.dropped["unknown_device"] += 1
                continue
            if not cloud.is_current(presence, row["presence_incarnation"], row["connection"]):
                continue
            if presence.status == "offline":
                devices.update(connection, device, online=False)
            else:
                devices.update(
                    connection,
                    device,
                    online=True,
                    presence_incarnation=presence.incarnation,
                    connection=presence.connection,
                    last_heard_at=at,
                )


_PARSERS = {
    Kind.REPORT: messages.parse_report,
    Kind.PRESENCE: messages.parse_presence,
    Kind.EVENT: messages.parse_event,
}
