"""``shallop bench …`` as people type it, as far as it needs no running bench."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from shallop_cloud.bench.fleet import asking
from shallop_cloud.cli import bench, main

COMMANDS = [
    *(["bench", name] for name in ("up", "status", "fault", "down", "record", "replay")),
    *(["bench", "broker", name] for name in ("kill", "wipe", "restart")),
    *(["bench", "cloud", name] for name in ("kill", "restart", "backup", "restore-backup")),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a bench is asked, which does all of it."""
    requests: list[dict[str, Any]] = []

    def ask(_directory: Path, request: dict[str, Any]) -> Any:
        requests.append(request)
        return {"robots": request.get("robots", ["amr-5"]), "said": []}

    monkeypatch.setattr(asking, "ask", ask)
    return requests


def test_the_table_of_commands_is_whole() -> None:
    groups = {name: command for name, command in bench.bench.commands.items() if isinstance(command, click.Group)}
    names = [["bench", name] for name in bench.bench.commands if name not in groups]
    names += [["bench", name, each] for name, group in groups.items() for each in group.commands]
    assert sorted(names) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert f"shallop {' '.join(command)}" in capsys.readouterr().out.partition("Example:")[2]


@pytest.mark.parametrize(
    ("words", "robots", "fault"),
    [
        (["amr-1", "offline", "30s"], ["amr-1"], "offline 30s"),
        (["amr-1", "amr-2", "power-cut"], ["amr-1", "amr-2"], "power-cut"),
        (["amr-1", "clock", "-50y"], ["amr-1"], "clock -50y"),
        (["amr-1", "clock", "-3h"], ["amr-1"], "clock -3h"),
        (["amr-1", "clock", "+3h", "--directory", "/bench"], ["amr-1"], "clock +3h"),
        (["--", "amr-1", "heal"], ["amr-1"], "heal"),
    ],
)
def test_a_fault_is_what_stands_last(
    asked: list[dict[str, Any]], words: list[str], robots: list[str], fault: str
) -> None:
    assert main(["bench", "fault", "--directory", "/bench", *words]) == 0
    assert asked == [{"do": "fault", "robots": robots, "fault": fault}]


def test_a_share_of_the_robots(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "fault", "--directory", "/bench", "--percent", "12.5", "slow", "200ms"]) == 0
    assert asked == [{"do": "fault", "percent": 12.5, "fault": "slow 200ms"}]
    assert capsys.readouterr().out == "amr-5: slow 200ms\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fault"], "Missing argument"),
        (["fault", "heal"], "name robots, or say how many"),
        (["fault", "amr-1", "--percent", "5", "heal"], "one of the two"),
        (["fault", "amr-1", "explode"], "'explode' is no fault"),
        (["fault", "amr-1", "offline", "soon"], "'soon' is no amount of time"),
        (["up", "--keep"], "--keep belongs to --once"),
        (["up", "--config", "a=b"], "--config belongs to --once"),
        (["up", "--once", "--release", __file__], "say with --config what is to be deployed"),
        (["up", "--once", "--config", "a=b", "--config", "a=c"], "'a' is given twice"),
        (["up", "--broker", "http://x"], "--broker: the broker's address is not an MQTT URL"),
        (["up", "--broker", "mqtt://x", "--broker-listen", "127.0.0.1:1"], "the bench's own broker"),
        (["up", "--connections", "shared"], "--connections belongs to --simulated"),
        (["up", "--broker-protocol", "5"], "--broker-protocol belongs to --broker"),
        (["up", "--robots", "61"], "too many for one machine"),
        (["replay", __file__, "--topic-root", "a/b c"], "topic root"),
        (["replay", __file__, "--broker", "mqtt://x", "--directory", "/bench"], "one of the two"),
    ],
)
def test_what_is_written_wrong(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert main(["bench", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True), err


def test_without_a_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for words in (["status"], ["down"], ["fault", "amr-1", "heal"], ["broker", "kill"], ["record", "-"]):
        assert main(["bench", *words]) == 5
        assert "no bench of yours runs; start one with `shallop bench up`" in capsys.readouterr().err
    assert main(["bench", "status", "--directory", str(tmp_path)]) == 5
    assert f"no bench runs in {tmp_path}" in capsys.readouterr().err


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option, part in (("--listen", "cloud"), ("--broker-listen", "broker")):
            where = str(tmp_path / part)
            assert main(["bench", "up", "--directory", where, option, f"127.0.0.1:{port}"]) == 1
            assert f"the {part} cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_a_broker_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "up", "--directory", str(tmp_path / "bench"), "--broker", "mqtt://127.0.0.1:9"]) == 1
    assert "nothing listens at mqtt://127.0.0.1:9: start that broker" in capsys.readouterr().err


def test_help_and_the_plugin_load_no_part_of_the_bench() -> None:
    """In a process of its own: this one has loaded everything."""
    program = (
        "import sys, shallop_cloud.testing.plugin; from shallop_cloud.cli import bench; "
        "print([name for name in sys.modules if name.startswith(('shallop_cloud.bench', 'shallop_device', 'paho'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
