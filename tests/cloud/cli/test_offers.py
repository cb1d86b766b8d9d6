"""What a shell is offered from the server."""

from __future__ import annotations

import socket

import pytest
from cli_world import deployment, device, release
from shallop_cloud.cli import client, offers

DPL, STAGED = "DPL-7K3QF0H2M9XW4RTC", "DPL-7STAGED000000000"


@pytest.fixture
def offered(run, monkeypatch, capsys):
    """What bash is offered for the last word of a line."""

    def offered(line: str) -> list[str]:
        typed = line.split(" ")
        monkeypatch.setenv("_SHALLOP_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(typed) - 1))
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == 0
        said = capsys.readouterr()
        assert said.err == ""
        return [each.removeprefix("plain,") for each in said.out.splitlines() if each]

    return offered


@pytest.fixture
def fleet(world):
    world.add(device("amr-07"), device("amr-08"), device("arm-1\x1b[2J"), release("1.4.0"), release("1.5.0"))
    world.add(deployment(DPL), deployment(STAGED, "staged", "staged"))
    return world


@pytest.mark.parametrize(
    ("line", "fitting"),
    [
        ("shallop device show amr", ["amr-07", "amr-08"]),
        ("shallop why arm", ["arm-1"]),
        ("shallop deploy amr-07 amr-0", ["amr-07", "amr-08"]),
        ("shallop rollback amr-07 --to dpl-7k", [DPL]),
        ("shallop deploy amr-07 --release 1.", ["1.4.0", "1.5.0"]),
        ("shallop deployment show DPL-7", [DPL, STAGED]),
        ("shallop deployment deploy DPL-7", [STAGED]),
        ("shallop device show nobody", []),
    ],
)
def test_names_versions_and_ids_that_fit(offered, fleet, line, fitting):
    assert offered(line) == fitting


def test_options_before_the_command_are_heeded(offered, fleet, monkeypatch):
    url = fleet.url
    monkeypatch.setenv("SHALLOP_URL", "http://127.0.0.1:9")

    assert offered(f"shallop --url {url} device show amr-07") == ["amr-07"]


@pytest.mark.parametrize("broken", ["url", "token", "no token", "not a url"])
def test_nothing_is_offered_and_nothing_is_said_without_an_answer(offered, fleet, monkeypatch, broken):
    match broken:
        case "url":
            monkeypatch.setenv("SHALLOP_URL", "http://127.0.0.1:9")
        case "token":
            monkeypatch.setenv("SHALLOP_TOKEN", "another")
        case "no token":
            monkeypatch.delenv("SHALLOP_TOKEN")
        case _:
            monkeypatch.setenv("SHALLOP_URL", "ftp://x")

    assert offered("shallop device show amr") == []


def test_a_server_that_is_slow_is_not_waited_for(offered, fleet, monkeypatch):
    monkeypatch.setattr(offers, "WITHIN", 0.05)
    given = []
    send = client.Api.page
    monkeypatch.setattr(client.Api, "page", lambda *args, **rest: given.append(rest["within"]) or send(*args, **rest))
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("SHALLOP_URL", f"http://127.0.0.1:{server.getsockname()[1]}")

        assert offered("shallop device show amr") == []

    assert given == [0.05]
