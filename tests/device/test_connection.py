"""One connection at a time, against a real mosquitto: how it begins, what it carries, and how its end is told."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from shallop_device import identity, inbox, link, testing
from shallop_protocol import desired, strict_json
from shallop_protocol.topics import Kind

pytestmark = pytest.mark.mosquitto


def who(shore: testing.Shore, url: str, protocol: str) -> identity.Identity:
    return identity.of(strict_json.dumps(shore.answer(url, protocol)), "http://127.0.0.1", Path("/none"), "secret")


class Line:
    """A link, its inbox, and the things that came."""

    def __init__(self, device: identity.Identity) -> None:
        self.inbox = inbox.Inbox()
        self.link = link.MqttLink(device, "incarnation", self.inbox)
        self.connections = 0

    def open(self) -> None:
        self.connections += 1
        self.link.open(self.connections)

    def get(self) -> inbox.Item | None:
        return self.inbox.get(15)

    def subscribe(self) -> None:
        """Opens it, and waits until the broker has handled what was sent so far, the subscription first."""
        self.open()
        assert self.get() == inbox.Connected(self.connections)
        assert self.link.publish(Kind.EVENT, b"x") is not None
        assert isinstance(self.get(), inbox.Acknowledged)


@pytest.fixture(params=["3.1.1", "5"])
def line(request, shore, broker):
    line = Line(who(shore, broker.url, request.param))
    yield line
    line.link.close()


def test_a_connection_is_told_and_closed_without_its_will(line, watch, eventually):
    assert not line.link.is_alive()
    assert line.link.publish(Kind.REPORT, b"x") is None
    line.open()

    assert line.get() == inbox.Connected(1)
    number = line.link.publish(Kind.REPORT, b"x")
    assert line.get() == inbox.Acknowledged(1, number)
    line.link.close()

    lost = line.get()
    assert isinstance(lost, inbox.Lost)
    assert not line.link.is_alive()
    line.link.close()
    eventually(lambda: watch.of("shallop/v1/dev-0123456789abcdef/report") == [b"x"])
    assert watch.of("shallop/v1/dev-0123456789abcdef/presence") == []


def test_a_broker_that_goes_is_told_and_nothing_is_queued(line, broker):
    line.open()
    line.get()

    broker.stop()

    lost = line.get()
    assert isinstance(lost, inbox.Lost)
    assert (lost.connection, lost.trouble) == (1, "network")
    assert line.link.publish(Kind.REPORT, b"old") is None
    line.open()
    refused = line.get()
    assert isinstance(refused, inbox.Lost)
    assert (refused.connection, refused.trouble) == (2, "network")
    assert "refused" in refused.why


def test_only_its_own_topics_arrive_and_no_more_than_can_be_used(line, watch):
    line.subscribe()

    watch.publish("shallop/v1/dev-other/desired", b"for another")
    watch.publish("shallop/v1/dev-0123456789abcdef/desired", b"x" * (desired.MAX_ENVELOPE_BYTES + 500))
    watch.publish("shallop/v1/cloud/hello", b"y" * 10_000)

    first, second = line.get(), line.get()
    assert isinstance(first, inbox.Ordered)
    assert len(first.payload) == desired.MAX_ENVELOPE_BYTES + 1
    assert isinstance(second, inbox.Greeted)
    assert len(second.payload) == 8193


def test_a_flood_ends_the_connection_and_is_told(line, watch, eventually):
    line.subscribe()

    def is_over() -> bool:
        watch.publish("shallop/v1/dev-0123456789abcdef/desired", b"x")
        return not line.link.is_alive()

    eventually(is_over)
    items = [line.get() for _ in range(inbox.MAX_WAITING + 1)]
    assert items[-1] == inbox.Lost(1, "messages came faster than they could be handled")


def test_a_session_that_is_taken_over_is_told(shore):
    """mosquitto 2.0.11 closes the old connection without a word, so a socket plays a broker that says why."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Line(who(shore, f"mqtt://127.0.0.1:{server.getsockname()[1]}", "5"))
        line.open()
        peer, _ = server.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(bytes.fromhex("20 03 00 00 00"))
            peer.sendall(bytes.fromhex("e0 02 8e 00"))

            assert line.get() == inbox.Connected(1)
            assert line.get() == inbox.Lost(1, "the connection ended: Session taken over", "taken_over")
    line.link.close()


def test_what_a_broker_refuses_is_told(shore, caplog):
    """A publish without permission (MQTT 5, section 3.4.2.1) and a refused subscription (section 3.9.3)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Line(who(shore, f"mqtt://127.0.0.1:{server.getsockname()[1]}", "5"))
        line.open()
        peer, _ = server.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(bytes.fromhex("20 03 00 00 00"))
            peer.sendall(bytes.fromhex("90 05 00 01 00 87 87"))
            assert line.get() == inbox.Connected(1)
            number = line.link.publish(Kind.REPORT, b"x")
            peer.sendall(bytes.fromhex("40 04 00 02 87 00"))

            assert line.get() == inbox.Acknowledged(1, number, "Not authorized")
        line.get()
    line.link.close()
    assert "the broker refused a subscription: Not authorized" in caplog.text


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_wrong_password_is_told(protocol, shore, broker, tmp_path):
    broker.stop()
    (tmp_path / "passwords").write_text("")
    broker.start("allow_anonymous false", f"password_file {tmp_path / 'passwords'}")
    line = Line(who(shore, broker.url, protocol))

    line.open()

    lost = line.get()
    assert isinstance(lost, inbox.Lost)
    assert lost.trouble == "refused"
    line.link.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the refused socket to GC
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate, and is not installed")
def test_tls_with_a_certificate_of_the_clouds_choice(shore, broker, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    key.chmod(0o644)
    broker.stop()
    broker.start("allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    answer = shore.answer(f"mqtts://127.0.0.1:{broker.port}")
    strange = Line(identity.of(strict_json.dumps(answer), "http://127.0.0.1", tmp_path, "secret"))
    answer["mqtt"]["ca"] = certificate.read_text()
    known = Line(identity.of(strict_json.dumps(answer), "http://127.0.0.1", tmp_path, "secret"))

    strange.open()
    known.open()

    lost = strange.get()
    assert isinstance(lost, inbox.Lost)
    assert "signed by itself" in lost.why
    assert known.get() == inbox.Connected(1)
    known.link.close()


def test_a_defect_in_the_client_is_told(line, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(link.topics.Topics, "hello", property(broken))
    line.open()

    assert line.get() == inbox.Lost(1, "ZeroDivisionError in the MQTT client")


def test_many_connections_leave_nothing_open(line, broker):
    broker.stop()
    gc.collect()
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(50):
        line.open()
        assert isinstance(line.get(), inbox.Lost)
    line.link.close()

    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before


@pytest.mark.parametrize("sends", [True, False])
def test_a_broker_that_goes_by_certificates_alone_is_not_told_the_password(shore: testing.Shore, sends: bool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        device = who(shore, f"mqtt://127.0.0.1:{server.getsockname()[1]}", "3.1.1")
        line = link.MqttLink(device, "incarnation", inbox.Inbox(), sends_password=sends)
        line.open(1)
        opened, _ = server.accept()
        with opened:
            opened.settimeout(10)
            connect = opened.recv(65_536)
        line.close()

    assert (device.username.encode() in connect, b"secret" in connect) == (True, sends)
