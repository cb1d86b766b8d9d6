"""The server, put together: data directory, store, keys, link and API, in the order in which they need each other."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import gc
import os
import secrets
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import fastapi
import structlog
import uvicorn
from shallop_protocol import dsse
from shallop_protocol.topics import CLOUD, FROM_DEVICE, Topics

from shallop_cloud import errors, files
from shallop_cloud.api.app import create_app
from shallop_cloud.credentials import Credentials
from shallop_cloud.link.connection import BrokerUrl, Connection, Protocol
from shallop_cloud.link.ingest import Ingest
from shallop_cloud.link.publisher import Publisher
from shallop_cloud.services.shore import BrokerAddress, Limits, Shore
from shallop_cloud.store import tokens
from shallop_cloud.store.database import Database

WATCH_EVERY_S = 5.0

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told.

    Attributes:
        data: the data directory; made if it is not there.
        listen: host and port of the API; port 0 takes a free one.
        broker: where the broker is; None for the embedded one. Without an account in it, the cloud's own is used,
            which is in the data directory's password file.
        broker_protocol: which MQTT that broker speaks.
        advertise_broker: the broker's address as robots reach it, if it is another.
    """

    data: Path
    listen: tuple[str, int]
    broker: BrokerUrl | None = None
    broker_protocol: Protocol = "3.1.1"
    advertise_broker: str | None = None
    topics: Topics = dataclasses.field(default_factory=Topics)
    limits: Limits = dataclasses.field(default_factory=Limits)


StartBroker = Callable[[Path], contextlib.AbstractContextManager[tuple[str, int]]]
"""Starts an embedded broker on the password file given; the value is its host and port."""


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A server that answers.

    Attributes:
        url: of the API.
        broker: the broker's address, without an account.
        failed: set when a part that everything rests on has died.
    """

    url: str
    broker: str
    token: str = dataclasses.field(repr=False)
    token_file: Path
    failed: threading.Event


@contextlib.contextmanager
def run(settings: Settings, start_broker: StartBroker | None = None) -> Generator[Running]:
    """Runs a server while the block lasts.

    Args:
        start_broker: called when ``settings`` names no broker.

    Raises:
        errors.StartupError: the data directory is in use, a port is taken, or the database cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        _prepare(settings.data)
        stack.enter_context(_locked(settings.data))
        database = Database.in_directory(settings.data)
        stack.callback(database.close)
        credentials = Credentials(settings.data, database)
        broker = settings.broker
        if broker is None:
            assert start_broker is not None
            host, port = stack.enter_context(start_broker(credentials.path))
            broker = BrokerUrl(host, port)
        if not broker.username:
            broker = dataclasses.replace(broker, username=CLOUD, password=credentials.cloud)
        token = _admin_token(settings.data, database)
        signer = dsse.signer_from_seed(bytes.fromhex(files.secret(settings.data / "signing.key", _new_seed)))
        link = _Link(database, signer, settings, broker)
        shore = Shore(
            database=database,
            signer=signer,
            credentials=credentials,
            broker=BrokerAddress(settings.advertise_broker or broker.address, settings.broker_protocol),
            topics=settings.topics,
            ordered=link.publisher.ordered,
            limits=settings.limits,
        )
        stack.enter_context(link)
        url = stack.enter_context(_http(create_app(shore, lambda: link.connection.is_up), *settings.listen))
        _spare_the_collector()
        failed = threading.Event()
        stack.enter_context(_watched(link, failed))
        yield Running(url, broker.address, token, settings.data / "admin.token", failed)


class _Link:
    """Connection, publisher and ingest, which start and stop together."""

    def __init__(self, database: Database, signer: dsse.Signer, settings: Settings, broker: BrokerUrl) -> None:
        topics = settings.topics
        self.connection = Connection(
            broker,
            settings.broker_protocol,
            [topics.every(kind) for kind in sorted(FROM_DEVICE)],
            self._received,
            self._came_up,
        )
        self.publisher = Publisher(database, signer, topics, self.connection, settings.limits.envelope)
        self.ingest = Ingest(database, topics, self.publisher)

    def _received(self, topic: str, payload: bytes) -> None:
        self.ingest.received(topic, payload)

    def _came_up(self) -> None:
        self.publisher.came_up()

    @property
    def is_alive(self) -> bool:
        return self.connection.is_alive and self.publisher.is_alive and self.ingest.is_alive

    def __enter__(self) -> _Link:
        self.ingest.start()
        self.publisher.start()
        self.connection.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.publisher.stop()
        self.connection.stop()
        self.ingest.stop()


def _spare_the_collector() -> None:
    """Looks for cycles of garbage seldom. Nearly all that a batch makes is freed by counting references, and each look
    at it takes longer than the batch's own work on a fleet of thousands. What exists at the start stays anyway.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def _prepare(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        words = f"cannot make the data directory {data}: {error.strerror}"
        raise errors.StartupError(words, "name another with --data") from None


@contextlib.contextmanager
def _locked(data: Path) -> Generator[None]:
    """One server to a data directory. The lock goes with the process, however that ends."""
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = f"another server uses the data directory {data}"
            raise errors.StartupError(words, "stop it first, or name another directory with --data") from None
        yield
    finally:
        os.close(handle)


def _admin_token(data: Path, database: Database) -> str:
    token = files.secret(data / "admin.token", lambda: f"shallop-admin-{secrets.token_urlsafe(24)}")
    with database.write() as connection:
        tokens.ensure(connection, "admin", token, datetime.datetime.now(datetime.UTC))
    return token


def _new_seed() -> str:
    return secrets.token_bytes(32).hex()


@contextlib.contextmanager
def _http(app: fastapi.FastAPI, host: str, port: int) -> Generator[str]:
    """Serves the API in a thread; the value is its URL."""
    config = uvicorn.Config(app, host, port, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2_048)
    except OSError as error:
        words = f"cannot listen on {host}:{port}: {error.strerror}"
        raise errors.StartupError(words, "name another with --listen") from None
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="api", daemon=True)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}"
    thread.start()
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@contextlib.contextmanager
def _watched(link: _Link, failed: threading.Event) -> Generator[None]:
    """Sets ``failed`` if a thread of the link is gone although nobody stopped it."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_EVERY_S):
            if not link.is_alive:
                log.error("the link to the broker is dead; the server ends so that it is started again")
                failed.set()
                return

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
