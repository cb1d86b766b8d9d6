"""What a robot says is text to every command that shows it: no terminal obeys it, and no line of it is two.

The real API, with a robot that is under somebody else's control.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

import pytest
import structlog
from api_world import served
from cloud_world import RELEASE, World
from shallop_cloud.cli import catalogue, serve
from shallop_cloud.testing.ashore import TOKEN
from shallop_protocol.terminal import UNSAFE
from shallop_protocol.topics import Kind

EVIL = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\r\nINJECTED: line\u2028e<script>x</script>\x00\x7f\u061c"
OURS = re.compile(r"\x1b\[\d*(;\d+)*m")
"""Colours that the commands make themselves, on a terminal."""
COMMANDS = [
    "device list", "device show amr-1", "device history amr-1", "deployment list", "deployment show {dpl}",
    "deployment history {dpl}", "deployment review {dpl}", "deployment merge {dpl}", "why amr-1", "audit list",
    "audit verify", "events --after 0 --limit 4", "release list", "release show 1.0.0", "diff device:amr-1 {dpl}",
    "staging list 1.0.0", "token list", "whoami", "device label amr-1 site=lyon", "deployment archive {dpl}",
    "rollback amr-1", "device archive amr-1", "device restore amr-1", "device revoke amr-1",
]  # fmt: skip
"""The last ones change something, and show what it is then."""
OTHERS = {
    "release create", "device create", "device set", "device rename", "device renew-token", "deploy",
    "deployment deploy", "deployment restage", "deployment patch", "staging deploy", "staging archive", "token create",
    "token revoke",
}  # fmt: skip
"""They show what they made by the functions that those above show it by."""
OF_NO_ROBOT = {
    "broker check", "broker config", "broker run", "bundle", "completion", "config cat", "copy-database", "demo",
    "export", "init", "key epoch", "key init", "key list", "key publish", "key retire", "key revoke", "key rotate",
    "key sign", "login", "logout", "report", "serve", "simulate", "token recover", "validate",
}  # fmt: skip
"""And all of the bench. ``config cat`` gives a file as its author wrote it."""
FORMATS = ("table", "json", "yaml", "name")


@pytest.fixture(scope="module")
def shore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of an API whose robot says evil things, and a deployment of it."""
    world = World(tmp_path_factory.mktemp("shore"))
    world.must("POST", "/v1/releases", RELEASE)
    robot = world.device()
    deployment = world.order("max: 1\n", description=f"for {EVIL[:60]}")
    robot.obey()
    report = json.loads(robot.report().to_bytes())
    reason = {"code": "check_rejected", "message": EVIL}
    report["agent"]["version"] = EVIL[:60]
    report["refused"] = {**reason, "generation": 1}
    report["deployments"] = [{**each, "activity": "queued", "error": "failed", "reason": reason}
                             for each in report["deployments"]]  # fmt: skip
    world.hear(robot.id, Kind.REPORT, json.dumps(report).encode())
    shown = world.must("GET", f"/v1/deployments/{deployment}")
    assert shown["reason"] is None or shown["reason"]["message"] == EVIL
    assert world.must("GET", "/v1/devices/amr-1")["last_known"]["refused"]["message"] == EVIL
    with served(world) as url:
        yield url, deployment
    world.close()


@pytest.fixture
def shown(shore, run, monkeypatch):
    """Runs a command on that shore: all that it shows."""
    url, deployment = shore
    monkeypatch.setenv("SHALLOP_URL", url)
    monkeypatch.setenv("SHALLOP_TOKEN", TOKEN)

    def show(command: str, *options: str) -> str:
        ran = run(*command.format(dpl=deployment).split(), *options)
        return ran.out + ran.err

    return show


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_passes_on_what_a_terminal_obeys(shown, command):
    said = {form: shown(command, "-o", form) for form in FORMATS}

    for form, text in said.items():
        assert text, form
        assert not UNSAFE.search(text), (form, text)
        assert not [line for line in text.splitlines() if line.startswith("INJECTED")], (form, text)


def test_on_a_terminal_there_are_only_our_own_colours(shown, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = 0
    for command in COMMANDS:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        text = shown(command)
        coloured += bool(OURS.search(text))
        assert not UNSAFE.search(OURS.sub("", text)), (command, text)
    assert coloured > len(COMMANDS) / 2


def test_the_words_themselves_are_still_told(shown):
    assert "abcd INJECTED: line" in shown("device show amr-1")
    assert json.loads(shown("device show amr-1", "-o", "json"))["last_known"]["refused"]["message"] == EVIL


def test_the_log_of_the_server_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    before = structlog.get_config()
    try:
        serve._log_to_stderr("debug")
        structlog.get_logger().warning("a message was dropped", why=EVIL.replace(" ", ""), topic=EVIL)
        try:
            int(EVIL)
        except ValueError:
            structlog.get_logger().exception("it failed", why=EVIL)
    finally:
        structlog.configure(**before)
    text = OURS.sub("", capsys.readouterr().err)
    assert "a message was dropped" in text
    assert "Traceback" in text
    assert not UNSAFE.search(text), text


def test_every_command_stands_in_one_of_the_lists():
    listed = {path.removeprefix("shallop ") for path, _ in catalogue.commands()}
    asked = {each for each in listed if any(f"{command} ".startswith(f"{each} ") for command in COMMANDS)}
    assert asked | OTHERS | OF_NO_ROBOT == {each for each in listed if not each.startswith("bench ")}
