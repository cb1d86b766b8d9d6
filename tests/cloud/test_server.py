"""The server as a whole: what it makes at its first start, and why it may refuse to start."""

from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from postgres_world import Server
from shallop_cloud import errors, server
from shallop_cloud.bench import embedded
from shallop_cloud.link.connection import BrokerUrl
from shallop_protocol.topics import Topics

EMBEDDED = functools.partial(embedded.broker, config=None, listen=("127.0.0.1", 0), topics=Topics())


@pytest.fixture
def taken() -> Iterator[tuple[str, int]]:
    """An address that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()


def _settings(data: Path, listen: tuple[str, int] = ("127.0.0.1", 0)) -> server.Settings:
    return server.Settings(data=data, listen=listen)


def test_the_first_start_makes_what_it_needs_and_the_second_keeps_it(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    kept: list[bytes] = []
    for _ in range(2):
        with server.run(_settings(data), EMBEDDED) as running:
            token = running.token_file.read_text().strip()
            answer = httpx.get(f"{running.url}/v1/devices", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()) == (200, {"data": [], "next_cursor": None})
        secrets = [data / "admin.token", data / "signing.key", data / "mqtt" / "cloud.password"]
        kept.append(b"".join(path.read_bytes() for path in secrets))
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    assert kept[0] == kept[1]
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_a_directory_has_one_server(tmp_path: Path) -> None:
    with (
        server.run(_settings(tmp_path), EMBEDDED),
        pytest.raises(errors.StartupError, match="another server uses"),
        server.run(_settings(tmp_path), EMBEDDED),
    ):
        pass


def test_an_address_that_is_taken(tmp_path: Path, taken: tuple[str, int]) -> None:
    with (
        pytest.raises(errors.StartupError, match=f"cannot listen on 127.0.0.1:{taken[1]}"),
        server.run(_settings(tmp_path, taken), EMBEDDED),
    ):
        pass


def test_a_broker_address_that_is_taken(tmp_path: Path, taken: tuple[str, int]) -> None:
    start = functools.partial(embedded.broker, config=None, listen=taken, topics=Topics())
    with pytest.raises(errors.StartupError, match=str(taken[1])), server.run(_settings(tmp_path), start):
        pass


def test_without_a_broker_it_serves_and_says_so(tmp_path: Path) -> None:
    settings = server.Settings(tmp_path, ("127.0.0.1", 0), broker=BrokerUrl.parse("mqtt://127.0.0.1:9"))
    with server.run(settings) as running:
        health = httpx.get(f"{running.url}/v1/health").json()
        assert (health["status"], health["broker_connected"]) == ("degraded", False)


@contextlib.contextmanager
def _shared(data: Path, url: str) -> Iterator[server.Running]:
    settings = server.Settings(data, ("127.0.0.1", 0), database=url, broker=BrokerUrl.parse("mqtt://127.0.0.1:9"))
    with server.run(settings) as running:
        yield running


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    made = postgres.create()
    yield made
    postgres.drop(made)


def test_servers_of_one_database_have_one_key_and_one_first_token(tmp_path: Path, url: str) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    second.mkdir()
    with _shared(first, url) as one:
        with pytest.raises(errors.StartupError, match=r"is not there.*copy signing\.key"), _shared(second, url):
            pass
        assert not (second / "signing.key").exists()
        shutil.copy2(first / "signing.key", second / "signing.key")
        with _shared(second, url) as two:
            assert two.token_file is None
            assert not (second / "admin.token").exists()
            answer = httpx.get(f"{two.url}/v1/devices", headers={"Authorization": f"Bearer {one.token}"})
            assert answer.status_code == 200
            links = {httpx.get(f"{each.url}/v1/health").json()["link"] for each in (one, two)}
            assert links == {"holds", "stands_by"}
        (second / "signing.key").write_text("00" * 32)
        with pytest.raises(errors.StartupError, match=r"copy signing\.key"), _shared(second, url):
            pass


def test_a_data_directory_that_lost_its_key_does_not_make_another(tmp_path: Path) -> None:
    with server.run(_settings(tmp_path), EMBEDDED):
        pass
    (tmp_path / "signing.key").unlink()
    with pytest.raises(errors.StartupError, match=r"copy signing\.key"), server.run(_settings(tmp_path), EMBEDDED):
        pass


def test_a_token_file_that_the_database_does_not_know_changes_no_token(tmp_path: Path) -> None:
    with server.run(_settings(tmp_path), EMBEDDED) as running:
        token = running.token
    (tmp_path / "admin.token").write_text("shallop-admin-of-somewhere-else")
    with server.run(_settings(tmp_path), EMBEDDED) as running:
        answers = [
            httpx.get(f"{running.url}/v1/devices", headers={"Authorization": f"Bearer {each}"}).status_code
            for each in (token, running.token)
        ]
    assert answers == [200, 401]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mqtt://cloud:a%40b@mqtt.example.com:1884", BrokerUrl("mqtt.example.com", 1884, "cloud", "a@b")),
        ("mqtts://cloud:secret@mqtt.example.com", BrokerUrl("mqtt.example.com", 8883, "cloud", "secret", tls=True)),
        ("mqtt://[::1]", BrokerUrl("::1", 1883)),
    ],
)
def test_broker_urls(text: str, url: BrokerUrl) -> None:
    assert BrokerUrl.parse(text) == url
    assert "password" not in repr(url)


@pytest.mark.parametrize("text", ["http://x", "mqtt://", "localhost:1883", "mqtt://user@x", "mqtt://x:99999", ""])
def test_what_is_no_broker_url(text: str) -> None:
    with pytest.raises(errors.StartupError, match="mqtt://user:password@host:port"):
        BrokerUrl.parse(text)
