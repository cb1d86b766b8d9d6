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
from shallop_protocol import dsse, ids
from shallop_protocol.topics import CLOUD, Topics

from shallop_cloud import errors, files
from shallop_cloud.api.app import create_app
from shallop_cloud.credentials import Credentials
from shallop_cloud.link.connection import BrokerUrl, Protocol
from shallop_cloud.link.link import Link
from shallop_cloud.link.link import Settings as LinkSettings
from shallop_cloud.services.shore import BrokerAddress, Limits, Shore
from shallop_cloud.store import signing_key, tokens
from shallop_cloud.store.database import Database

WATCH_EVERY_S = 5.0
FOLLOW_EVERY_S = 1.0
ADMIN_TOKEN = "admin.token"  # noqa: S105  the name of a file
SIGNING_KEY = "signing.key"

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told.

    Attributes:
        data: the data directory; made if it is not there.
        database: the address of a PostgreSQL database; None for SQLite in the data directory.
        listen: host and port of the API; port 0 takes a free one.
        broker: where the broker is; None for the embedded one. Without an account in it, the cloud's own is used,
            which is in the data directory's password file.
        broker_protocol: which MQTT that broker speaks.
        advertise_broker: the broker's address as robots reach it, if it is another.
    """

    data: Path
    listen: tuple[str, int]
    database: str | None = None
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
        token, token_file: an admin's; an empty text and None if this directory has none, because another server of
            the same database made it.
        failed: set when a part that everything rests on has died.
    """

    url: str
    broker: str
    token: str = dataclasses.field(repr=False)
    token_file: Path | None
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
        stack.enter_context(locked(settings.data))
        database = Database.at(settings.database) if settings.database else Database.in_directory(settings.data)
        stack.callback(database.close)
        signer = _signer(settings.data, database)
        credentials = Credentials(settings.data, database)
        token = _admin_token(settings.data, database)
        broker = settings.broker
        if broker is None:
            assert start_broker is not None
            host, port = stack.enter_context(start_broker(credentials.path))
            broker = BrokerUrl(host, port)
        if not broker.username:
            broker = dataclasses.replace(broker, username=CLOUD, password=credentials.cloud)
        limits = settings.limits
        link = Link(database, LinkSettings(broker, settings.broker_protocol, settings.topics, signer, limits.envelope))
        shore = Shore(
            database=database,
            signer=signer,
            credentials=credentials,
            broker=BrokerAddress(settings.advertise_broker or broker.address, settings.broker_protocol),
            topics=settings.topics,
            ordered=link.ordered,
            limits=limits,
        )
        stack.enter_context(link)
        url = stack.enter_context(_http(create_app(shore, lambda: link.standing), *settings.listen))
        _spare_the_collector()
        failed = threading.Event()
        stack.enter_context(_watched(link, failed))
        if database.is_shared:
            stack.enter_context(_followed(credentials))
        yield Running(url, broker.address, token, settings.data / ADMIN_TOKEN if token else None, failed)


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
def locked(data: Path) -> Generator[None]:
    """One server to a data directory. The lock goes with the process, however that ends.

    Raises:
        errors.StartupError: another server uses it.
    """
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


def _signer(data: Path, database: Database) -> dsse.Signer:
    """By whose key robots know their orders. It is in the data directory; the database has its name."""
    path = data / SIGNING_KEY
    with database.write() as connection:
        database.take_turns(connection)
        recorded = signing_key.find(connection)
        if recorded is not None and not path.exists():
            words = (
                f"{path} is not there, and the robots of this database take orders signed by key {recorded[:16]}… alone"
            )
            raise errors.StartupError(words, COPY)
        signer = dsse.signer_from_seed(bytes.fromhex(files.secret(path, _new_seed)))
        if recorded is None:
            signing_key.record(connection, signer.key.keyid)
        elif recorded != signer.key.keyid:
            words = f"{path} is key {signer.key.keyid[:16]}…, and the robots of this database take orders signed by key"
            raise errors.StartupError(f"{words} {recorded[:16]}… alone", COPY)
    return signer


COPY = (
    f"copy {SIGNING_KEY} from the first server's data directory, and mqtt/cloud.password with it "
    "if the broker reads that server's password file"
)


def _admin_token(data: Path, database: Database) -> str:
    """The admin's token of this directory, or an empty text. It is made with the first server of a database."""
    path = data / ADMIN_TOKEN
    at = datetime.datetime.now(datetime.UTC)
    with database.write() as connection:
        database.take_turns(connection)
        if not tokens.has_admin(connection):
            token = files.secret(path, lambda: f"shallop-admin-{secrets.token_urlsafe(24)}")
            key = ids.make(ids.Prefix.TOKEN, secrets.token_bytes(ids.RANDOM_BYTES))
            tokens.ensure(connection, key, "admin", token, at)
        elif not path.exists():
            log.info("the admin's token was made elsewhere; this directory has none", database=database.address)
            token = ""
        else:
            token = path.read_text().strip()
            if tokens.holder(connection, token, at) is None:
                log.warning("the token in this file is unknown to the database, or revoked", file=str(path))
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
        app.state.feed.stop()  # whoever follows events would keep the server waiting
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@contextlib.contextmanager
def _watched(link: Link, failed: threading.Event) -> Generator[None]:
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


@contextlib.contextmanager
def _followed(credentials: Credentials) -> Generator[None]:
    """Keeps the password file in step with what other servers do."""
    done = threading.Event()

    def follow() -> None:
        while not done.wait(FOLLOW_EVERY_S):
            try:
                credentials.follow()
            except errors.Busy as error:
                log.warning("the MQTT password file waits for the database", why=error.detail)
            except Exception:
                log.exception("the MQTT password file could not be brought up to date")

    thread = threading.Thread(target=follow, name="credentials", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
