"""A robot that is revoked is kept out by a real mosquitto, with each kind of credential, within a bound."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx
import pytest
import system_world
from certificates_world import Authority
from shallop_cloud import server
from shallop_cloud.link.connection import BrokerUrl
from shallop_device import backoff, enrol, identity, inbox, link

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # paho leaves refused sockets to GC
]

BOUND_S = 5.0
"""From the answer to ``:revoke`` to the end of a live connection; the debounce of 0.2 s, and a loaded machine."""
ACL = "pattern read shallop/v1/%u/desired\npattern write shallop/v1/%u/presence\n"
BY_PASSWORD = ("password_file {data}/mqtt/passwords", "allow_anonymous false")
BY_CERTIFICATE = (
    "cafile {data}/ca/ca.crt",
    "crlfile {data}/ca/crl.pem",
    "certfile {directory}/broker.pem",
    "keyfile {directory}/broker.key",
    "require_certificate true",
)
INSTEAD_OF_A_PASSWORD = ("use_identity_as_username true", "allow_anonymous false")


class Broker:
    """A mosquitto with the configuration in its directory."""

    def __init__(self, program: str, directory: Path, port: int) -> None:
        self._program = program
        self._directory = directory
        self._port = port
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with (self._directory / "mosquitto.log").open("ab") as log:
            started = subprocess.Popen(
                [self._program, "-c", self._directory / "mosquitto.conf"], stdout=log, stderr=log
            )
        end = time.monotonic() + 15
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                (self._directory / "mosquitto.pid").write_text(str(started.pid))
                return started
            time.sleep(0.05)
        started.kill()
        raise AssertionError("mosquitto did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def restart(self) -> None:
        self.stop()
        self._process = self._started()


@dataclasses.dataclass
class Shore:
    """A server and a mosquitto that it keeps in step."""

    directory: Path
    http: httpx.Client
    broker: Broker
    lines: list[link.MqttLink] = dataclasses.field(default_factory=list)

    def robot(self, name: str) -> identity.Identity:
        made = self.http.post("/v1/devices", json={"name": name}).json()
        at_once = backoff.Backoff(first=0.1, cap=0.1)
        place = self.directory / name
        return enrol.enrol(str(self.http.base_url), made["token"], place / "state", place / "root", patience=at_once)

    def connect(self, who: identity.Identity) -> tuple[inbox.Item | None, inbox.Inbox]:
        items = inbox.Inbox()
        line = link.MqttLink(who, "incarnation", items)
        self.lines.append(line)
        line.open(1)
        return items.get(15), items

    def connected(self, who: identity.Identity) -> inbox.Inbox:
        """Connects, when the broker has been told of it."""
        end = time.monotonic() + 20
        while True:
            first, items = self.connect(who)
            if first == inbox.Connected(1):
                return items
            assert time.monotonic() < end, first
            time.sleep(0.2)

    def revoke(self, name: str) -> float:
        """Gives the monotonic moment of the answer."""
        self.http.post(f"/v1/devices/{name}:revoke").raise_for_status()
        return time.monotonic()


def lost(items: inbox.Inbox, within: float) -> bool:
    """Whether a connection ends."""
    end = time.monotonic() + within
    while (left := end - time.monotonic()) > 0:
        if isinstance(items.get(left), inbox.Lost):
            return True
    return False


@contextlib.contextmanager
def running(directory: Path, listener: tuple[str, ...], *, tls: bool) -> Generator[Shore]:
    program = system_world.find_mosquitto()
    if program is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    authority = Authority(directory, "authority")
    authority.sign("broker")
    data, plain, port = directory / "data", system_world.free_port(), system_world.free_port()
    settings = server.Settings(
        data=data,
        listen=("127.0.0.1", 0),
        broker=BrokerUrl("127.0.0.1", plain),
        broker_protocol="5",
        advertise_broker=f"{'mqtts' if tls else 'mqtt'}://127.0.0.1:{port}",
        broker_ca=authority.file,
        certificates=server.Certificates("builtin"),
        on_credentials=("sh", "-c", f"kill -HUP $(cat {directory}/mosquitto.pid)"),
    )
    with server.run(settings) as run:
        lines = [
            f"user {os.environ.get('USER', 'root')}",
            "per_listener_settings true",
            f"listener {plain} 127.0.0.1",
            *BY_PASSWORD,
            f"listener {port} 127.0.0.1",
            *listener,
            f"acl_file {directory}/acl",
            "use_username_as_clientid true",
        ]
        (directory / "acl").write_text(ACL)
        (directory / "acl").chmod(0o700)
        text = "\n".join(lines).format(data=data, directory=directory)
        (directory / "mosquitto.conf").write_text(f"{text}\n")
        http = httpx.Client(base_url=run.url, headers={"Authorization": f"Bearer {run.token}"})
        shore = Shore(directory, http, Broker(program, directory, port))
        try:
            yield shore
        finally:
            for line in shore.lines:
                line.close()
            shore.broker.stop()
            http.close()


@pytest.fixture(params=["password", "password and certificate"])
def by_password(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shore]:
    tls = request.param != "password"
    with running(tmp_path, (*BY_PASSWORD, *(BY_CERTIFICATE if tls else ())), tls=tls) as shore:
        yield shore


def test_with_a_password_the_live_connection_ends_and_none_follows(by_password: Shore) -> None:
    shore = by_password
    revoked, other = shore.robot("amr-1"), shore.robot("amr-2")
    ends, stays = shore.connected(revoked), shore.connected(other)
    answered = shore.revoke("amr-1")
    assert lost(ends, answered + BOUND_S - time.monotonic())
    again, _ = shore.connect(revoked)
    assert isinstance(again, inbox.Lost)
    assert again.trouble == "refused"
    assert not lost(stays, 1.0)
    assert shore.connect(other)[0] == inbox.Connected(1)


def test_with_a_certificate_alone_no_connection_follows(tmp_path: Path) -> None:
    """mosquitto 2.0 looks at certificates when a connection is made: one that stands ends with the broker's restart."""
    with running(tmp_path, (*BY_CERTIFICATE, *INSTEAD_OF_A_PASSWORD), tls=True) as shore:
        revoked, other = shore.robot("amr-1"), shore.robot("amr-2")
        shore.connected(revoked)
        shore.connected(other)
        answered = shore.revoke("amr-1")
        while isinstance(shore.connect(revoked)[0], inbox.Connected):
            assert time.monotonic() < answered + BOUND_S, "a revoked certificate is still taken"
        assert shore.connect(other)[0] == inbox.Connected(1)
        stands = shore.connected(other)
        shore.broker.restart()
        assert lost(stands, BOUND_S)
        assert isinstance(shore.connect(revoked)[0], inbox.Lost)
        shore.connected(other)
