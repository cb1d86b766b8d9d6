"""What happens, as it happens: one reader of the history for all who listen.

A listener is told out of the database what it missed, and from there on what the reader finds, which is also what
other replicas did. Who does not keep up is let go; it comes back and names the last thing that it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import threading
from collections.abc import AsyncGenerator

import sqlalchemy as sa
import sqlalchemy.exc
import structlog

from shallop_cloud import errors
from shallop_cloud.api import show
from shallop_cloud.store import history, tables
from shallop_cloud.store.database import Database

LOOKS_EVERY_S = 0.2
MOST_LISTENERS = 100
MOST_OF_ONE = 20
"""Listeners with the same token, so that one holder does not take the places of all."""
BUFFER = 1_000
"""Events that may wait for one listener."""
CHUNK = 500
"""Events that are read at once."""

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, ready to be sent.

    Attributes:
        revoked: the id of the token that is worthless since.
    """

    id: int
    action: str
    device: str | None
    deployment: str | None
    revoked: str | None
    data: str


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Whose events are wanted, by id; None for all."""

    device: str | None = None
    deployment: str | None = None

    def takes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return self.device in (None, event.device) and self.deployment in (None, event.deployment)


class Listener:
    """Someone who is told what happens after ``start``, until nothing more comes."""

    def __init__(self, token: str, expires_at: datetime.datetime | None, start: int) -> None:
        self.start = start
        self.has_ended = False
        self.token = token
        self._expires_at = expires_at
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def tell(self, event: Event) -> None:
        """Puts an event behind those that wait already."""
        if event.revoked == self.token or self._queue.qsize() >= BUFFER:
            self.end()
        if not self.has_ended:
            self._queue.put_nowait(event)

    def end(self) -> None:
        """Lets it go."""
        self.has_ended = True
        self._queue.put_nowait(None)

    async def next(self) -> Event | None:
        """The next event; None when there will be none: it was let go, or its token has expired."""
        left = None
        if self._expires_at is not None:
            left = (self._expires_at - datetime.datetime.now(datetime.UTC)).total_seconds()
        try:
            return await asyncio.wait_for(self._queue.get(), left)
        except TimeoutError:
            return None


class Feed:
    """The reader of one server, on the event loop of those who listen. It rests while nobody does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._stopped = threading.Event()
        self._last = 0

    def stop(self) -> None:
        """Lets all listeners go within a moment, and takes no more. From any thread."""
        self._stopped.set()

    @contextlib.asynccontextmanager
    async def listening(self, token: str, expires_at: datetime.datetime | None) -> AsyncGenerator[Listener]:
        """A listener for as long as the block lasts.

        Raises:
            errors.Problem: 503 ``events_busy``.
        """
        async with self._starting:
            if len(self._listeners) >= MOST_LISTENERS or self._stopped.is_set():
                words = f"{len(self._listeners)} listen already, or this server is stopping; come back in a moment"
                raise errors.Problem(503, "events_busy", words)
            if sum(listener.token == token for listener in self._listeners) >= MOST_OF_ONE:
                words = f"{MOST_OF_ONE} listen with this token already; end one of them first"
                raise errors.Problem(503, "events_busy", words)
            if self._reader is None:
                self._last = await asyncio.to_thread(self._newest)
                self._reader = asyncio.create_task(self._read())
            listener = Listener(token, expires_at, self._last)
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._rest()

    async def events(self, listener: Listener, wanted: Filter, after: int | None) -> AsyncGenerator[Event]:
        """What happened after the event ``after``, or happens from now on if that is None."""
        seen = listener.start if after is None else after
        while seen < listener.start and not listener.has_ended:
            missed = await asyncio.to_thread(self._between, wanted, seen, listener.start)
            for event in missed:
                yield event
            seen = missed[-1].id if len(missed) == CHUNK else listener.start
        while (event := await listener.next()) is not None:
            if event.id > seen and wanted.takes(event):
                yield event

    def _rest(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _read(self) -> None:
        while not self._stopped.is_set():
            found: list[Event] = []
            try:
                found = await asyncio.to_thread(self._between, Filter(), self._last)
            except sqlalchemy.exc.SQLAlchemyError as error:
                log.warning("cannot read what happened, and tries again", error=str(error))
            for event in found:
                for listener in self._listeners:
                    listener.tell(event)
                self._last = event.id
            if len(found) < CHUNK:
                await asyncio.sleep(LOOKS_EVERY_S)
        for listener in self._listeners:
            listener.end()

    def _newest(self) -> int:
        with self._database.read() as connection:
            return connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.history.c.id), 0))).scalar_one()

    def _between(self, wanted: Filter, after: int, until: int | None = None) -> list[Event]:
        column = tables.history.c
        query = history.query(device=wanted.device, deployment=wanted.deployment).where(column.id > after)
        if until is not None:
            query = query.where(column.id <= until)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(column.id).limit(CHUNK)).mappings().all()
        return [_event(row) for row in rows]


def _event(row: sa.RowMapping) -> Event:
    revoked = row["after"]["id"] if row["action"] == history.TOKEN_REVOKED else None
    data = show.history_entry(row).model_dump_json()
    return Event(row["id"], row["action"], row["device_id"], row["deployment_id"], revoked, data)
