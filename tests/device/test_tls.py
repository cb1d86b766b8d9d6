"""Certificates: which ones a connection is made with, and what is said of those that will not do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from certificates_world import DAY, NOW, Authority
from shallop_device import identity, inbox, link, tls
from shallop_protocol import strict_json

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # paho leaves refused sockets to GC
]


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "ca")


@pytest.fixture
def serve(broker, shore, tmp_path):
    """Starts a broker with a certificate, and connects to it."""
    lines = []

    def connect(own: tuple[Path, Path], *more: str, **trust) -> inbox.Item | None:
        broker.stop()
        broker.start("allow_anonymous true", f"certfile {own[0]}", f"keyfile {own[1]}", *more)
        return attempt(**trust)

    def attempt(**trust) -> inbox.Item | None:
        line, items = opened(shore, f"mqtts://127.0.0.1:{broker.port}", tmp_path, tls.Trust(**trust))
        lines.append(line)
        return items.get(15)

    connect.again = attempt
    yield connect
    for each in lines:
        each.close()


def opened(shore, url: str, root: Path, trust: tls.Trust | None = None) -> tuple[link.MqttLink, inbox.Inbox]:
    """A link that begins to connect."""
    who = identity.of(strict_json.dumps(shore.answer(url)), "http://127.0.0.1", root, "secret")
    items = inbox.Inbox()
    line = link.MqttLink(who, "incarnation", items, trust=trust)
    line.open(1)
    return line, items


def told(item: inbox.Item | None) -> tuple[str, str]:
    assert isinstance(item, inbox.Lost)
    return item.trouble, item.why.partition(": ")[2]


def test_an_authority_of_the_settings_and_a_client_certificate(serve, authority):
    own = authority.sign("robot")
    required = ("require_certificate true", f"cafile {authority.file}")

    connected = serve(authority.sign("broker"), *required, ca_file=authority.file, certificate=own[0], key=own[1])

    assert connected == inbox.Connected(1)
    trouble, why = told(serve.again(ca_file=authority.file))
    assert (trouble, why) == (
        "refused",
        "the server asks for a client certificate: set [link] client_certificate and client_key",
    )


def test_a_client_certificate_of_a_strange_authority(serve, authority, tmp_path):
    own = Authority(tmp_path, "strange").sign("robot")
    required = ("require_certificate true", f"cafile {authority.file}")

    lost = serve(authority.sign("broker"), *required, ca_file=authority.file, certificate=own[0], key=own[1])

    assert told(lost) == ("refused", "the server does not know the authority of this robot's client certificate")


def test_an_unknown_authority(serve, authority, tmp_path):
    strange = Authority(tmp_path, "strange")

    trouble, why = told(serve(authority.sign("broker"), ca_file=strange.file))

    assert trouble == "network"
    assert "an authority that this robot does not know" in why


def test_an_expired_certificate(serve, authority):
    lost = serve(authority.sign("broker", until=NOW - DAY), ca_file=authority.file)

    assert told(lost) == ("network", "the server's certificate has expired, or this robot's clock is wrong")


def test_a_certificate_for_another_address(serve, authority):
    lost = serve(authority.sign("broker", address="127.0.0.2"), ca_file=authority.file)

    assert told(lost) == ("network", "the server's certificate is for another address")


def test_a_broker_without_tls(authority, shore, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        line, items = opened(shore, f"mqtts://127.0.0.1:{server.getsockname()[1]}", tmp_path)
        peer, _ = server.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(b"HTTP/1.1 400 Bad Request")

            assert told(items.get(15)) == ("network", "the server does not speak TLS at this port")
    line.close()


def test_files_are_read_anew_for_each_connection(serve, authority, tmp_path):
    trouble, why = told(serve(authority.sign("broker"), ca_file=tmp_path / "later.pem"))
    assert (trouble, why.startswith("cannot use the authorities in ")) == ("network", True)

    (tmp_path / "later.pem").write_bytes(authority.file.read_bytes())

    assert serve.again(ca_file=tmp_path / "later.pem") == inbox.Connected(1)


def test_a_key_that_is_none(serve, authority):
    lost = serve.again(ca_file=authority.file, certificate=authority.file, key=authority.file)

    assert told(lost)[1].startswith(f"cannot use the client certificate {authority.file}")


def test_a_broker_that_does_not_answer_is_given_up(shore, tmp_path, monkeypatch):
    monkeypatch.setattr(link, "CONNECT_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        line, items = opened(shore, f"mqtt://127.0.0.1:{server.getsockname()[1]}", tmp_path)

        trouble, why = told(items.get(15))
    line.close()
    assert (trouble, why) == ("network", "the broker did not answer within 0.1 s; does it speak this MQTT?")
