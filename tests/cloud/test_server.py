"""The server as a whole: what it makes at its first start, and why it may refuse to start."""

from __future__ import annotations

import contextlib
import datetime
import functools
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import certificates_world
import httpx
import pytest
from cryptography import x509
from postgres_world import Server
from shallop_cloud import cli, errors, server
from shallop_cloud.bench import embedded
from shallop_cloud.cli import serve
from shallop_cloud.link.connection import BrokerUrl
from shallop_protocol.topics import Topics
from system_world import wait

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
        secrets = [data / "admin.token", data / "signing.key", data / "root.key", data / "mqtt" / "cloud.password"]
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
        with (
            pytest.raises(errors.StartupError, match=r"the private half of none.*copy signing"),
            _shared(second, url),
        ):
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
        with pytest.raises(errors.StartupError, match=r"copy signing"), _shared(second, url):
            pass


def test_a_data_directory_that_lost_its_key_does_not_make_another(tmp_path: Path) -> None:
    with server.run(_settings(tmp_path), EMBEDDED):
        pass
    (tmp_path / "signing.key").unlink()
    with pytest.raises(errors.StartupError, match=r"copy signing"), server.run(_settings(tmp_path), EMBEDDED):
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--broker-certificate", "own.pem"], "--broker-certificate and --broker-key belong together"),
        (["--broker-certificate", "own.pem", "--broker-key", "own.key"], "belongs to a broker with TLS"),
    ],
)
def test_a_certificate_for_the_broker_needs_its_key_and_tls(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    certificates_world.Authority(tmp_path, "ca").sign("own")

    code = cli.main(["serve", "--data", "data", "--broker", "mqtt://host", *options])

    assert (code, said in capsys.readouterr().err) == (2, True)


def test_a_certificate_for_the_broker_that_is_not_its_keys(tmp_path):
    certificate, _ = certificates_world.Authority(tmp_path, "ca").sign("own")

    with pytest.raises(errors.StartupError, match=r"own\.pem cannot be used for the broker"):
        serve._broker("mqtts://host", certificate, certificate)


def test_what_a_broker_reads_is_kept_and_it_is_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    certificates = server.Certificates("builtin", days=30)
    settings = server.Settings(
        data=tmp_path / "data",
        listen=("127.0.0.1", 0),
        broker=BrokerUrl.parse("mqtt://127.0.0.1:9"),
        broker_ca=certificates_world.Authority(tmp_path, "broker-ca").file,
        certificates=certificates,
        on_credentials=("sh", "-c", f"echo told >> {told}"),
    )
    with server.run(settings) as running:
        wait("it is told at the start", lambda: told.read_text() == "told\n", 15)
        made = httpx.post(f"{running.url}/v1/devices", json={"name": "a"}, headers=_bearer(running.token)).json()
        body = {"token": made["token"], "secret": "s" * 32, "csr": certificates_world.request()}
        answer = httpx.post(f"{running.url}/v1/enrolments", json=body).json()["mqtt"]
        wait("it is told of an enrolment", lambda: told.read_text().count("told") == 2, 15)
    own = x509.load_pem_x509_certificate(answer["certificate"].encode())
    own.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "data/ca/ca.crt").read_bytes()))
    assert own.not_valid_after_utc - own.not_valid_before_utc == datetime.timedelta(days=31)
    assert answer["ca"] == settings.broker_ca.read_text()
    assert list(x509.load_pem_x509_crl((tmp_path / "data/ca/crl.pem").read_bytes())) == []
    token = tmp_path / "data" / "mqtt" / "broker.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "words"),
    [("no certificate", "has no certificate that can be read"), (None, "cannot read .*: No such file")],
)
def test_a_file_of_authorities_that_is_none(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    settings = server.Settings(tmp_path / "data", ("127.0.0.1", 0), broker_ca=path)
    with pytest.raises(errors.StartupError, match=words), server.run(settings, EMBEDDED):
        pass


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
