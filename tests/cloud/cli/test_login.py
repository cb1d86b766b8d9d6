"""``shallop login``, ``token`` and ``events``, against the real API."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import tomllib
from api_world import served
from cloud_world import World
from shallop_cloud.cli import client, logins
from shallop_cloud.testing.ashore import TOKEN


@pytest.fixture
def shore(tmp_path: Path) -> Iterator[World]:
    """An empty shore."""
    directory = tmp_path / "data"
    directory.mkdir()
    running = World(directory)
    yield running
    running.close()


@pytest.fixture
def url(shore: World) -> Iterator[str]:
    with served(shore) as url:
        yield url


def _login(run, url: str, token: str = TOKEN):
    return run("login", url, "--token-stdin", stdin=f"{token}\n".encode())


def test_a_login_is_kept_for_all_commands(run, url):
    ran = _login(run, url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"logged in to {url} as admin (admin); it is kept in {logins.path()}\n"
    assert TOKEN not in ran.out
    assert stat.S_IMODE(logins.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(logins.path().parent.stat().st_mode) == 0o700
    assert tomllib.loads(logins.path().read_text()) == {"server": url, "servers": {url: {"token": TOKEN}}}
    assert run("device", "list").code == 0
    assert json.loads(run("whoami", "-o", "json").out)["role"] == "admin"


def test_a_token_goes_only_to_its_own_server(run, url):
    _login(run, url)
    ran = run("--url", "http://127.0.0.1:9", "whoami")
    assert ran.code == 4
    assert "no token" in ran.err


def test_what_is_not_accepted_is_not_kept(run, url):
    assert _login(run, url, "wrong").code == 4
    assert not logins.path().exists()


def test_options_go_before_the_environment_and_that_before_a_login(run, shore, url, monkeypatch):
    viewer = shore.must("POST", "/v1/tokens", {"name": "viewer-1", "role": "viewer"})["token"]
    operator = shore.must("POST", "/v1/tokens", {"name": "operator-1", "role": "operator"})["token"]

    def name(*options: str) -> str:
        return (
            run(*options, "whoami", "-o", "name").out and json.loads(run(*options, "whoami", "-o", "json").out)["name"]
        )

    _login(run, url)
    assert name() == "admin"
    monkeypatch.setenv("SHALLOP_TOKEN", viewer)
    assert name() == "viewer-1"
    assert name("--token", operator) == "operator-1"
    monkeypatch.setenv("SHALLOP_URL", "http://127.0.0.1:9")
    assert run("whoami").code == 1


def test_without_a_terminal_nobody_is_asked(run, url):
    ran = run("login", url)
    assert (ran.code, "--token-stdin" in ran.err) == (2, True)


def test_logout_forgets_one_server(run, url):
    _login(run, url)
    logins.write(logins.read().with_token("http://other:1", "x"))
    assert run("logout", url).code == 0
    assert logins.read() == logins.Logins({"http://other:1": "x"}, "http://other:1")
    assert run("logout", url).code == 5


def test_a_file_that_cannot_be_read_says_so(run, url):
    _login(run, url)
    logins.path().write_text("server = [")
    ran = run("whoami")
    assert (ran.code, str(logins.path()) in ran.err) == (1, True)


@pytest.mark.parametrize("token", ['a"b', "back\\slash", "tab\tnew\nline", "é\x7f"])
def test_whatever_a_token_is_it_is_read_as_it_was_written(run, token):
    logins.write(logins.Logins().with_token("http://[::1]:8080/", token))
    assert logins.read().tokens == {"http://[::1]:8080": token}


def test_tokens_are_made_listed_and_revoked(run, shore, url):
    _login(run, url)
    made = json.loads(run("token", "create", "ci", "--role", "operator", "--expires", "30d", "-o", "json").out)
    assert made["token"].startswith("shallop-operator-")
    listed = run("token", "list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "ci", "admin"]
    assert "(in 30d)" in listed[1]
    assert made["token"] not in run("token", "list", "-o", "json").out
    assert "revoked" in run("token", "revoke", "ci").out
    assert run("--token", made["token"], "whoami").code == 4
    assert run("token", "revoke", "ci").code == 6
    last = run("token", "revoke", "admin")
    assert (last.code, "last admin token" in last.err) == (6, True)


@pytest.mark.parametrize("span", ["", "0d", "3", "d", "1y", "-1d", "999999d", "1.5h"])
def test_what_is_no_span_of_time(run, span):
    assert run("token", "create", "x", "--role", "viewer", "--expires", span).code == 2


def test_who_lost_all_tokens_makes_one_on_the_server(run, shore, url, tmp_path):
    ran = run("token", "recover", "--data", str(tmp_path / "data"))
    token = ran.out.strip()
    assert (ran.code, _login(run, url, token).code) == (0, 0)
    again = run("token", "recover", "--data", str(tmp_path / "data")).out.strip()
    assert run("whoami").code == 4
    assert _login(run, url, again).code == 0
    actions = [(each["actor"], each["action"]) for each in shore.must("GET", "/v1/history")["data"]]
    assert actions == [("recovery", "token_created"), ("recovery", "token_revoked"), ("recovery", "token_created")]


def test_recovery_makes_no_database_where_none_is(run, tmp_path):
    assert run("token", "recover", "--data", str(tmp_path)).code == 5
    assert list(tmp_path.glob("*.db")) == []
    assert run("token", "recover").code == 2


def test_events_are_printed_a_line_each(run, shore, url):
    _login(run, url)
    shore.device("amr-1")
    shore.must("POST", "/v1/tokens", {"name": "ci", "role": "viewer"})
    lines = run("events", "--after", "0", "--limit", "2", "-o", "json").out.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["device_created", "token_created"]
    one = run("events", "--after", "0", "--limit", "1", "--device", "amr-1")
    assert "  admin  device_created  DEV-" in one.out
    assert run("events", "--device", "nobody").code == 5


@pytest.mark.parametrize("lost", [httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError])
def test_a_line_that_breaks_doubles_nothing(run, shore, url, monkeypatch, lost):
    """The first answer is lost on the way; the command asks again with the same key."""
    _login(run, url)
    send, sent = httpx.Client.send, []

    def breaking(self, request, **options):
        answer = send(self, request, **options)
        if request.method == "POST":
            sent.append(request.headers["Idempotency-Key"])
            if len(sent) == 1:
                raise lost("the line broke")
        return answer

    monkeypatch.setattr(httpx.Client, "send", breaking)
    ran = run("device", "create", "amr-1", "-o", "json")
    assert ran.code == 0
    assert json.loads(ran.out)["token"].startswith("shallop-enrol-")
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert len(shore.must("GET", "/v1/devices")["data"]) == 1


def test_a_server_that_is_not_there_is_not_asked_again(run, monkeypatch):
    attempts = []

    def refused(self, request, **options):
        attempts.append(request)
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(client.httpx.Client, "send", refused)
    assert run("--token", "x", "device", "create", "amr-1").code == 1
    assert len(attempts) == 1
