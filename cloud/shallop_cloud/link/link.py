"""The link of one server: it holds it, with connection, publisher and ingest at work, or it stands by."""

from __future__ import annotations

import dataclasses
import threading

import structlog
from shallop_protocol.topics import FROM_DEVICE, Topics

from shallop_cloud import errors
from shallop_cloud.keyring import Keyring
from shallop_cloud.link.connection import BrokerUrl, Connection, Protocol
from shallop_cloud.link.ingest import Ingest
from shallop_cloud.link.lease import Lease
from shallop_cloud.link.publisher import Publisher
from shallop_cloud.store.database import Database

POLL_S = 0.1
"""How often the holder looks for orders that other servers took, when there may be others."""

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a link works with.

    Attributes:
        envelope: the largest message, in bytes.
    """

    broker: BrokerUrl
    protocol: Protocol
    topics: Topics
    keyring: Keyring
    envelope: int


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Whether this server holds the link, and whether whoever holds it is connected to the broker."""

    holds: bool
    connected: bool


class Link:
    """A thread that takes the lease when it can, and lets a crew work for as long as it has it."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._lease = Lease(database)
        self._crew: _Crew | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def ordered(self) -> None:
        """Something new is desired. If this server does not hold the link, the one that does finds it in 0.1 s."""
        crew = self._crew
        if crew is not None:
            crew.publisher.ordered()

    @property
    def standing(self) -> Standing:
        """How it is now."""
        crew = self._crew
        if crew is not None and self._lease.is_held:
            return Standing(holds=True, connected=crew.connection.is_up)
        return Standing(holds=False, connected=self._lease.others_connected)

    @property
    def is_alive(self) -> bool:
        """Whether all threads run that should."""
        crew = self._crew
        return self._thread.is_alive() and (crew is None or crew.is_alive)

    def __enter__(self) -> Link:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        terms = self._lease.terms
        while not self._stopping.is_set():
            held = self._may_sign() and self._attempt()
            if held and self._crew is None:
                log.info("this server holds the link")
                crew = _Crew(self._database, self._settings, self._lease)
                crew.start()
                self._crew = crew
            elif not self._lease.is_held and self._crew is not None:
                log.warning("this server lost the link: its lease ran out, or another server took it")
                self._dismiss()
            self._stopping.wait(terms.renew_every if held else terms.try_every)
        self._dismiss()
        self._release()

    def _release(self) -> None:
        try:
            self._lease.release()
        except errors.Busy as error:
            log.warning("the lease of the link could not be given back; it runs out", why=error.detail)

    def _may_sign(self) -> bool:
        """Whether this server has a key that counts. One that has none leaves the link to another."""
        keyring = self._settings.keyring
        try:
            keyring.refresh()
            if not keyring.signers:
                if self._crew is not None:
                    self._dismiss()
                    self._release()
                self._lease.look()
        except errors.Busy as error:
            log.warning("the key list could not be looked at", why=error.detail)
        except Exception:
            log.exception("the key list could not be looked at")
        return bool(keyring.signers)

    def _attempt(self) -> bool:
        crew = self._crew
        try:
            return self._lease.attempt(connected=crew is not None and crew.connection.is_up)
        except errors.Busy as error:
            log.warning("the lease of the link could not be asked for", why=error.detail)
        except Exception:
            log.exception("the lease of the link could not be asked for")
        return False

    def _dismiss(self) -> None:
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.stop()


class _Crew:
    """Connection, publisher and ingest, which start and stop together."""

    def __init__(self, database: Database, settings: Settings, lease: Lease) -> None:
        topics = settings.topics
        self.connection = Connection(
            settings.broker,
            settings.protocol,
            [topics.every(kind) for kind in sorted(FROM_DEVICE)],
            self._received,
            self._came_up,
            lambda: lease.is_held,
        )
        poll = POLL_S if database.is_shared else None
        self.publisher = Publisher(database, settings.keyring, topics, self.connection, settings.envelope, poll)
        self.ingest = Ingest(database, topics, self.publisher)

    def _received(self, topic: str, payload: bytes) -> None:
        self.ingest.received(topic, payload)

    def _came_up(self) -> None:
        self.publisher.came_up()

    @property
    def is_alive(self) -> bool:
        return self.connection.is_alive and self.publisher.is_alive and self.ingest.is_alive

    def start(self) -> None:
        self.ingest.start()
        self.publisher.start()
        self.connection.start()

    def stop(self) -> None:
        self.publisher.stop()
        self.connection.stop()
        self.ingest.stop()
