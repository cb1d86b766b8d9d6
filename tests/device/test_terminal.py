"""Nothing that the agent's commands and its log show is obeyed by a terminal, whoever said it."""

from __future__ import annotations

import json
import logging

import pytest
from shallop_device import cli, logs

EVIL = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\u200be\u2066f\x00g\x7fh"
CLEAN = "abcdefgh"
OBEYED = set("\x1b\x07\x9b\u202e\u200b\u2066\x00\x7f")


def test_a_line_of_the_log():
    record = logging.LogRecord("x", logging.INFO, "", 0, "the hook said %s", (EVIL,), None)
    record.why = EVIL

    line = logs.JsonLines().format(record)

    assert json.loads(line)["message"] == f"the hook said {EVIL}"
    assert not OBEYED & set(line)
    assert "\n" not in line


@pytest.fixture
def shallopd(capsys, monkeypatch):
    """Runs a command: all that it shows."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["shallopd", *arguments])
        with pytest.raises(SystemExit):
            cli.main()
        out, err = capsys.readouterr()
        return out + err

    before = logging.root.handlers, logging.root.level
    yield run
    logging.root.handlers, level = before
    logging.root.setLevel(level)


def test_a_cloud_that_names_a_robot_badly(shallopd, cloud, shore, tmp_path):
    answer = shore.answer()
    answer["device"]["name"] = EVIL
    cloud.will_answer((201, answer))
    state = str(tmp_path / "state")

    shown = [shallopd("enroll", "--server", cloud.url, "--token", "t", "--state", state, "--root", str(tmp_path / "r"))]
    shown += [shallopd("status", "--state", state), shallopd("status", "--state", state, "-o", "json")]

    assert f"{CLEAN} (" in shown[0]
    assert f"device      {CLEAN} (" in shown[1]
    assert json.loads(shown[2])["device"]["name"] == EVIL
    assert not [each for each in shown if OBEYED & set(each)]


def test_a_cloud_that_refuses_in_bad_words(shallopd, cloud, tmp_path):
    cloud.will_answer((401, {"detail": f"no {EVIL}"}))
    state, root = str(tmp_path / "state"), str(tmp_path / "root")

    shown = shallopd("enroll", "--server", cloud.url, "--token", "t", "--state", state, "--root", root)

    assert f"no {CLEAN}" in shown
    assert not OBEYED & set(shown)
