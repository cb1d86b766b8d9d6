"""The bench's broker and its cloud, as processes that can be killed, restarted and robbed of what they knew."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import sqlite3
import urllib.parse
from pathlib import Path

from shallop_protocol.topics import CLOUD

from shallop_cloud import files, passwords
from shallop_cloud.bench.fleet import ports, processes
from shallop_cloud.bench.fleet.api import Api
from shallop_cloud.bench.fleet.errors import BenchError, Refused
from shallop_cloud.bench.fleet.processes import SHALLOP, Process
from shallop_cloud.link.connection import BrokerUrl, Protocol

START_WITHIN_S = 60.0

Address = tuple[str, int]


def claim(listen: Address, what: str) -> Address:
    """An address that is free now; for port 0, some free port.

    Raises:
        BenchError: another program uses it.
    """
    host, port = listen
    try:
        if not port:
            return host, ports.free(host)
        ports.hold(host, port)
    except OSError as error:
        words = f"the {what} cannot listen on {host}:{port}: {error.strerror}; end what uses it, or name another port"
        raise BenchError(words) from None
    return listen


def spelt(address: Address) -> str:
    """``host:port``, an IPv6 host in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Broker:
    """The broker. Its own is the embedded one, as a process; another's can only be used."""

    def __init__(self, directory: Path, listen: Address, foreign: BrokerUrl | None) -> None:
        self.foreign = foreign
        if foreign is not None:
            _expect(foreign)
            self.url = foreign.address
            self._process = None
            return
        listen = claim(listen, "broker")
        self.url = f"mqtt://{spelt(listen)}"
        password_file = directory / "cloud" / "mqtt" / "passwords"
        if not password_file.exists():  # the cloud makes it, and is only starting; nobody is let in before
            password_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            passwords.write_passwords(password_file, {})
        options = ["--listen", spelt(listen), "--passwords", str(password_file), "--log-level", "warning"]
        self._process = Process("broker", [*SHALLOP, "broker", "run", *options], directory / "broker.log")

    @property
    def told(self) -> str:
        """Its address as the cloud is told it: with the account there, if it is another's and has one."""
        if self.foreign is None or not self.foreign.username:
            return self.url
        user, password = (urllib.parse.quote(text, safe="") for text in (self.foreign.username, self.foreign.password))
        scheme, _, where = self.url.partition("://")
        return f"{scheme}://{user}:{password}@{where}"

    @property
    def process(self) -> Process:
        """Its process.

        Raises:
            Refused: it is not the bench's.
        """
        if self._process is None:
            raise Refused(f"the broker at {self.url} is not the bench's; do it there")
        return self._process

    def needed(self) -> list[Process]:
        """Its process, if it has one."""
        return [self._process] if self._process else []

    def start(self) -> None:
        """Starts it, and returns before it can be reached."""
        for each in self.needed():
            each.start()

    def stop(self) -> None:
        """Ends it in good order."""
        for each in self.needed():
            each.stop()

    def kill(self) -> None:
        """Ends it without a warning. It stays away until ``restart``."""
        self.process.kill()

    def restart(self) -> None:
        """Ends it in good order if it runs, and starts it again; it can be reached when this returns."""
        self.process.stop()
        self._come_back()

    def wipe(self) -> None:
        """Ends it without a warning and starts it again; every retained message and session is gone."""
        self.process.kill()  # the embedded broker keeps all it has in its memory
        self._come_back()

    def _come_back(self) -> None:
        self.process.start()
        address = BrokerUrl.parse(self.url)
        processes.wait("the broker can be reached", START_WITHIN_S, lambda: _answers(address), self.process)


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What the cloud is told when it starts."""

    broker: str
    protocol: Protocol
    advertise: str | None = None


class Cloud:
    """The cloud, on a data directory and an address that it keeps over every restart."""

    def __init__(self, directory: Path, listen: Address, told: Told) -> None:
        listen = claim(listen, "cloud")
        self.data = directory / "cloud"
        self.backup_file = directory / "backup.db"
        self.url = f"http://{spelt(listen)}"
        options = ["--data", str(self.data), "--listen", spelt(listen), "--log-level", "warning"]
        options += ["--broker", told.broker, "--broker-protocol", told.protocol]
        options += ["--advertise-broker", told.advertise] if told.advertise else []
        self.process = Process("cloud", [*SHALLOP, "serve", *options], directory / "cloud.log")

    @property
    def token_file(self) -> Path:
        """Where the administrator's token is."""
        return self.data / "admin.token"

    @property
    def token(self) -> str:
        """The administrator's token."""
        return self.token_file.read_text().strip()

    @property
    def mqtt_password(self) -> str:
        """The password of its own account on the bench's broker."""
        return (self.data / "mqtt" / f"{CLOUD}.password").read_text().strip()

    def start(self) -> None:
        """Starts it, and returns before it answers."""
        self.process.start()

    def await_service(self, *needed: Process) -> None:
        """Waits until it answers and has its connection to the broker; ``needed`` is what that rests on besides.

        Raises:
            BenchError: something ended that it rests on, or it took too long.
        """
        everything = (self.process, *needed)
        processes.wait("the cloud has its token", START_WITHIN_S, self.token_file.exists, *everything)
        with Api(self.url, self.token) as api:
            processes.wait("the cloud serves and has its broker", START_WITHIN_S, api.is_up, *everything)

    def stop(self) -> None:
        """Ends it in good order."""
        self.process.stop()

    def kill(self) -> None:
        """Ends it without a warning. It stays away until ``restart``."""
        self.process.kill()

    def restart(self) -> None:
        """Ends it in good order if it runs, and starts it again; it answers when this returns."""
        self.process.stop()
        self._come_back()

    def backup(self) -> None:
        """Copies the database as it is now; it may go on working meanwhile."""
        partial = self.backup_file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(self.data / files.DATABASE)) as source,
            contextlib.closing(sqlite3.connect(partial)) as target,
        ):
            source.backup(target)
        partial.replace(self.backup_file)

    def restore_backup(self) -> None:
        """Kills it, puts the database back as it was at the last backup, and starts it again.

        Raises:
            Refused: there is no backup.
        """
        if not self.backup_file.exists():
            raise Refused("there is no backup to restore: make one with `shallop bench cloud backup`")
        self.process.kill()
        for suffix in ("-wal", "-shm"):
            (self.data / f"{files.DATABASE}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(self.backup_file, self.data / files.DATABASE)
        self._come_back()

    def _come_back(self) -> None:
        self.process.start()
        with Api(self.url, self.token) as api:
            processes.wait("the cloud serves", START_WITHIN_S, api.answers, self.process)


def _expect(broker: BrokerUrl) -> None:
    if not _answers(broker):
        raise BenchError(f"nothing listens at {broker.address}: start that broker, or leave out --broker")


def _answers(broker: BrokerUrl) -> bool:
    try:
        with socket.create_connection((broker.host, broker.port), timeout=5):
            return True
    except OSError:
        return False
