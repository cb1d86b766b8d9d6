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
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Literal

import fastapi
import structlog
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from shallop_protocol import ids
from shallop_protocol.topics import CLOUD, Topics

from shallop_cloud import authorities, errors, files
from shallop_cloud.api.app import create_app
from shallop_cloud.api.patience import AS_SERVED
from shallop_cloud.credentials import Credentials
from shallop_cloud.keyring import Keyring
from shallop_cloud.link.connection import BrokerUrl, Protocol
from shallop_cloud.link.link import Link
from shallop_cloud.link.link import Settings as LinkSettings
from shallop_cloud.reload import Reload
from shallop_cloud.services.shore import BrokerAddress, Limits, Shore
from shallop_cloud.store import tokens
from shallop_cloud.store.database import Database

WATCH_EVERY_S = 5.0
FOLLOW_EVERY_S = 1.0
KEEP_EVERY_S = 3_600.0
"""How often it is looked whether the revocation list is old."""
MAX_BROKER_CA = 16_384
"""Bytes of the file of the broker's authorities: robots take answers of four times as many."""
ADMIN_TOKEN = "admin.token"  # noqa: S105  the name of a file

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told.

    Attributes:
        data: the data directory; made if it is not there.
        database: the address of a PostgreSQL database; None for SQLite in the data directory.
        listen: host and port of the API; port 0 takes a free one.
        broker: where the broker is; None for the embedded one. Without an account in it, and without a certificate, the
            cloud's own account is used, which is in the data directory's password file.
        broker_protocol: which MQTT that broker speaks.
        advertise_broker: the broker's address as robots reach it, if it is another.
        broker_ca: a file of authorities in PEM that sign the broker's certificate, for this server and for robots.
        certificates: who signs robots' client certificates.
        on_credentials: a program to run after what the broker reads has changed.
    """

    data: Path
    listen: tuple[str, int]
    database: str | None = None
    broker: BrokerUrl | None = None
    broker_protocol: Protocol = "3.1.1"
    advertise_broker: str | None = None
    broker_ca: Path | None = None
    certificates: Certificates = dataclasses.field(default_factory=lambda: Certificates())
    on_credentials: Sequence[str] = ()
    topics: Topics = dataclasses.field(default_factory=Topics)
    limits: Limits = dataclasses.field(default_factory=Limits)


@dataclasses.dataclass(frozen=True, slots=True)
class Certificates:
    """Who signs robots' client certificates.

    Attributes:
        days: how long one counts that the built-in authority signs.
        command: the program that signs, in ``command`` mode.
    """

    by: Literal["none", "builtin", "command"] = "none"
    days: int = authorities.DAYS
    command: Sequence[str] = ()


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
        keyring = Keyring(settings.data, database)
        authority = _authority(settings, database)
        broker_ca = _broker_ca(settings.broker_ca) if settings.broker_ca else None
        reload = stack.enter_context(Reload(settings.on_credentials)) if settings.on_credentials else None
        changed = reload.changed if reload else lambda: None
        credentials = Credentials(settings.data, database, authority, changed)
        token = _admin_token(settings.data, database)
        broker = settings.broker
        if broker is None:
            assert start_broker is not None
            host, port = stack.enter_context(start_broker(credentials.path))
            broker = BrokerUrl(host, port)
        if not broker.username and not broker.certificate:
            broker = dataclasses.replace(broker, username=CLOUD, password=credentials.cloud)
        broker = dataclasses.replace(broker, ca=broker_ca)
        limits = settings.limits
        link = Link(database, LinkSettings(broker, settings.broker_protocol, settings.topics, keyring, limits.envelope))
        shore = Shore(
            database=database,
            keyring=keyring,
            credentials=credentials,
            broker=BrokerAddress(settings.advertise_broker or broker.address, settings.broker_protocol, broker_ca),
            topics=settings.topics,
            ordered=link.ordered,
            limits=limits,
            authority=authority,
        )
        stack.enter_context(link)
        url = stack.enter_context(_http(create_app(shore, lambda: link.standing), *settings.listen))
        _spare_the_collector()
        failed = threading.Event()
        stack.enter_context(_watched(link, failed))
        stack.enter_context(_kept(credentials, is_shared=database.is_shared))
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


def _authority(settings: Settings, database: Database) -> authorities.Authority:
    wanted = settings.certificates
    if wanted.by == "builtin":
        return authorities.BuiltIn.at(settings.data / "ca", database, wanted.days)
    return authorities.Command(wanted.command) if wanted.by == "command" else authorities.NOBODY


def _broker_ca(path: Path) -> str:
    """Certificates in PEM, and nothing else that the file may have."""
    hint = "name a file of certificates in PEM with --broker-ca"
    try:
        with path.open("rb") as file:
            found = x509.load_pem_x509_certificates(file.read(MAX_BROKER_CA))
    except OSError as error:
        raise errors.StartupError(f"cannot read {path}: {error.strerror}", hint) from None
    except ValueError:
        raise errors.StartupError(f"{path} has no certificate that can be read", hint) from None
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in found)


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


@contextlib.contextmanager
def _http(app: fastapi.FastAPI, host: str, port: int) -> Generator[str]:
    """Serves the API in a thread; the value is its URL."""
    config = uvicorn.Config(app, host, port, timeout_graceful_shutdown=5, **AS_SERVED)
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
def _kept(credentials: Credentials, *, is_shared: bool) -> Generator[None]:
    """Keeps what the broker reads in step with what other servers do, if there may be others, and with the time."""
    done = threading.Event()

    def keep() -> None:
        looked = time.monotonic()
        while not done.wait(FOLLOW_EVERY_S):
            try:
                if is_shared:
                    credentials.follow()
                if credentials.is_behind or time.monotonic() - looked > KEEP_EVERY_S:
                    looked = time.monotonic()
                    credentials.keep()
            except errors.Busy as error:
                log.warning("the MQTT password file waits for the database", why=error.detail)
            except Exception:
                log.exception("the MQTT password file could not be brought up to date")

    thread = threading.Thread(target=keep, name="credentials", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
