"""The commands of ``shallopd`` that talk to the agent which runs."""

from __future__ import annotations

import json
import sys

import door_world
import pytest
from shallop_device import cli


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command at a socket: exit code, stdout, stderr."""

    def run(path: object, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("SHALLOPD_SOCKET", str(path))
        monkeypatch.setattr("sys.argv", ["shallopd", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


@pytest.mark.parametrize("command", ["hold", "release", "ack", "retry", "events"])
def test_help(command, run):
    code, out, err = run("", command, "--help")
    assert (code, err) == (0, "")
    assert f"Example: shallopd {command}" in out


def test_hold_and_release(local, run):
    held = run(local.path, "hold", "dock", "--reason", "parking", "--for", "2m")
    assert held == (0, "held by dock until 2026-01-01T00:02:00Z\n", "")
    assert local.ask("GET", "/v1/holds").json["holds"][0]["reason"] == "parking"
    assert run(local.path, "release", "dock") == (0, "released dock\n", "")
    assert run(local.path, "release", "dock") == (5, "", "shallopd: nothing is held by dock\n")
    assert run(local.path, "hold", "Dock")[0] == 7


def test_a_time_that_is_none(local, run):
    code, _, err = run(local.path, "hold", "dock", "--for", "soon")
    assert (code, "'soon' is no time: expected something like 90s, 5m or 1h" in err) == (2, True)


def test_a_hold_lasts_as_long_as_its_command(local, run):
    """Like flock(1): the exit code is the command's."""
    script = (
        "import json, os, socket, sys\n"
        "door = socket.socket(socket.AF_UNIX)\n"
        "door.connect(os.environ['SHALLOPD_SOCKET'])\n"
        "door.sendall(b'GET /v1/holds HTTP/1.0\\r\\n\\r\\n')\n"
        "held = json.loads(door.makefile('rb').read().partition(b'\\r\\n\\r\\n')[2])['holds']\n"
        "assert [(each['name'], each['while_pid']) for each in held] == [('mission', os.getppid())]\n"
        "sys.exit(3)"
    )
    assert run(local.path, "hold", "mission", "--reason", "busy", "--", sys.executable, "-c", script) == (3, "", "")
    assert local.ask("GET", "/v1/holds").json == {"holds": []}


@pytest.mark.parametrize(
    ("command", "code"),
    [(["/nowhere/x"], 127), (["/dev/null"], 126), (["sh", "-c", "kill -TERM $$"], 128 + 15), (["true"], 0)],
)
def test_the_exit_code_of_a_command(local, run, command, code):
    assert run(local.path, "hold", "mission", "--", *command)[0] == code
    assert local.ask("GET", "/v1/holds").json == {"holds": []}


def test_acknowledgements(run):
    with door_world.local(door_world.ACKED) as local:
        manifest = local.order({"f": "1"})
        tree = f"{manifest.id}.1"
        assert run(local.path, "ack", "nav2", "--deployment", tree) == (
            0,
            f"{manifest.id} is acknowledged by nav2\n",
            "",
        )
        assert run(local.path, "ack", "nav2") == (0, f"{manifest.id} is in force already\n", "")
        code, _, err = run(local.path, "ack", "nav2", "--failed", "no map")
        assert (code, "comes too late" in err) == (6, True)


def test_a_veto(run):
    with door_world.local(door_world.ACKED) as local:
        manifest = local.order({"f": "1"})
        assert run(local.path, "ack", "nav2", "--failed", "no map")[1] == f"{manifest.id} is not well, says nav2\n"
        report = local.ask("GET", "/v1/status").json["report"]
        assert report["deployments"][0]["reason"]["message"] == "nav2: no map"


def test_nothing_to_acknowledge(local, run):
    assert run(local.path, "ack", "nav2") == (5, "", "shallopd: no deployment is in force on this robot\n")


def test_retry(local, run):
    assert run(local.path, "retry") == (0, "the agent tries again\n", "")


def test_events(local, run):
    code, out, _ = run(local.path, "events")
    event = json.loads(out)
    assert (code, event["kind"], event["data"]["current"]) == (0, "snapshot", None)
    local.order({"f": "1"})
    code, out, _ = run(local.path, "events", "--after", event["id"])
    assert (code, json.loads(out)["kind"]) == (0, "report")


def test_no_agent(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["retry"], ["release", "x"], ["hold", "x"], ["hold", "x", "--", "true"], ["ack", "x"], ["events"]):
        code, out, err = run("door.sock", *command)
        assert (code, out) == (1, "")
        assert err.startswith("shallopd: there is no agent at door.sock: is shallopd running?")
