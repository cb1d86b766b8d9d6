"""The command line, as a person meets it."""

from __future__ import annotations

import json
import logging
import signal

import pytest
from shallop_device import cli, daemon, freshness, settings, testing


@pytest.fixture
def shallopd(capsys, monkeypatch):
    """Runs a command: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["shallopd", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    before = logging.root.handlers, logging.root.level
    yield run
    logging.root.handlers, level = before
    logging.root.setLevel(level)


@pytest.mark.parametrize("command", [[], ["enroll"], ["run"], ["status"]])
def test_help(command, shallopd):
    code, out, err = shallopd(*command, "--help")

    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: shallopd {' '.join(command)}".strip())
    assert not command or f"Example: shallopd {command[0]}" in out


def test_version(shallopd):
    assert shallopd("--version")[0] == 0


def test_usage_errors(shallopd):
    assert shallopd("status", "-o", "yaml")[0] == 2
    assert shallopd("nonsense")[0] == 2


def test_enroll_then_status(shallopd, cloud, shore, tmp_path):
    cloud.will_answer((201, shore.answer()))
    state, root = str(tmp_path / "state"), str(tmp_path / "root")

    code, out, err = shallopd("enroll", "--server", cloud.url, "--token", "t", "--state", state, "--root", root)

    assert (code, err) == (0, "")
    assert out == (f"amr-1 (DEV-0123456789ABCDEF) is enrolled at {cloud.url}\nnext: shallopd run --state {state}\n")
    code, out, err = shallopd("status", "--state", state)
    assert (code, err) == (0, "")
    assert out == (
        f"device      amr-1 (DEV-0123456789ABCDEF) of {cloud.url}\n"
        f"root        {root}\n"
        "in force    nothing\n"
        "last order  none yet\n"
    )


def test_options_from_the_environment(shallopd, cloud, shore, tmp_path, monkeypatch):
    cloud.will_answer((201, shore.answer()))
    for name, value in {"SERVER": cloud.url, "TOKEN": "t", "ROOT": tmp_path / "r"}.items():
        monkeypatch.setenv(f"SHALLOPD_ENROLL_{name}", str(value))

    monkeypatch.setenv("SHALLOPD_STATE", str(tmp_path / "s"))

    assert shallopd("enroll")[0] == 0
    assert shallopd("status")[0] == 0


def test_errors_are_one_line_and_an_exit_code(shallopd, cloud, tmp_path):
    cloud.will_answer((401, {"detail": "the token was used"}))
    state, root = str(tmp_path / "state"), str(tmp_path / "root")

    enrolled = shallopd("enroll", "--server", cloud.url, "--token", "t", "--state", state, "--root", root)
    misspelt = shallopd("enroll", "--server", "fleet", "--token", "t", "--state", state, "--root", root)
    advice = f"shallopd: {state} is not enrolled: run shallopd enroll first (shallopd enroll --help)\n"

    assert enrolled == (4, "", f"shallopd: {cloud.url}: the token was used\n")
    assert misspelt == (2, "", "shallopd: 'fleet' is not a server's address: expected http(s)://host[:port]\n")
    assert shallopd("run", "--state", state) == (1, "", advice)
    assert shallopd("status", "--state", state) == (1, "", advice)
    elsewhere = str(tmp_path / "none")
    assert shallopd("run", "--state", elsewhere) == (1, "", advice.replace(state, elsewhere))
    code, out, err = shallopd("status", "--state", elsewhere)
    assert (code, out) == (1, "")
    assert "enrol this device first" in err


def test_status_shows_what_became_of_each_deployment(shallopd, robot, shore):
    good, bad = shore.manifest({"f": "1"}), shore.manifest({"../f": "2"})
    robot.take(shore.order(good))
    robot.settle()
    robot.take(shore.order(bad, fallback=good.id))
    robot.settle()
    robot.worker.take(b"garbage")

    code, out, _ = shallopd("status", "--state", str(robot.state))

    why = "path '../f' has a segment that begins with '..'"
    assert code == 0
    assert out.splitlines()[2:] == [
        f"in force    {good.id}",
        "last order  epoch 1, generation 2",
        f"report      {robot.report.seq}, not sent yet",
        "refused     malformed: not JSON: Expecting value at character 0",
        "",
        "DEPLOYMENT            ACTIVITY  ERROR   ATTEMPTS  SINCE                 REASON",
        f"{good.id}  deployed  none    0         2026-01-01T00:00:00Z",
        f"{bad.id}  archived  failed  1         2026-01-01T00:00:00Z  bad_path: {why}",
    ]


def test_status_says_that_a_robot_is_stale(shallopd, tmp_path, shore):
    robot = testing.Robot(tmp_path / "stale", shore)
    robot.store.note_unproven(freshness.STALE_AFTER_S)
    robot.boot()
    robot.store.close()

    code, out, _ = shallopd("status", "--state", str(robot.state))

    assert code == 0
    assert "freshness   stale: nothing proves that this is the newest order; see: shallopd doctor" in out.splitlines()


def test_status_as_json(shallopd, robot, shore):
    manifest = shore.manifest({"f": "1"})
    robot.take(shore.order(manifest))
    robot.settle()
    robot.store.mark_sent(robot.report.seq)

    code, out, _ = shallopd("status", "--state", str(robot.state), "-o", "json")

    assert code == 0
    assert json.loads(out) == {
        "device": {
            "id": "DEV-0123456789ABCDEF",
            "name": "amr-1",
            "server": "http://127.0.0.1",
            "broker": "mqtt://127.0.0.1:1883",
        },
        "root": str(robot.root),
        "epoch": 1,
        "generation": 1,
        "current": manifest.id,
        "stale": False,
        "deployments": [entry.model_dump(mode="json") for entry in robot.report.deployments],
        "refused": None,
        "report": {"seq": robot.report.seq, "at": "2026-01-01T00:00:00Z", "sent": True},
    }


def test_the_fakes_are_the_same_for_the_same_seed():
    assert testing.Shore(7).manifest({"a": "1"}) == testing.Shore(7).manifest({"a": "1"})


def test_settings_are_checked_and_shown(shallopd, tmp_path):
    file = tmp_path / "shallopd.toml"
    file.write_text('state = "/var/lib/elsewhere"\n[link]\nkeepalive_s = 20\n')

    assert shallopd("config", "check", str(file)) == (
        0,
        "ok: 2 of the settings are set; the others have their defaults\n",
        "",
    )
    code, out, _ = shallopd("config", "show", "--config", str(file))
    assert code == 0
    assert f'state                          "/var/lib/elsewhere"  {file}:1' in out.splitlines()
    assert json.loads(shallopd("config", "show", "--config", str(file), "-o", "json")[1])["link.keepalive_s"] == {
        "value": 20,
        "from": f"{file}:3",
    }
    file.write_text("[link]\nkeepalife_s = 20\n")
    assert shallopd("config", "check", str(file)) == (
        2,
        "",
        f"shallopd: {file}:2: [link] keepalife_s is not a key of the settings; did you mean keepalive_s?\n",
    )


def test_an_option_goes_before_the_settings(shallopd, tmp_path, monkeypatch):
    file = tmp_path / "shallopd.toml"
    file.write_text("[retry]\nfirst_s = 5\ncap_s = 6\n")
    ran = []
    monkeypatch.setattr(daemon, "run", lambda chosen, _items: ran.append(chosen))

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    code, *_ = shallopd("run", "--config", str(file), "--state", str(tmp_path), "--retry-first", "2")

    retry = settings.Retry(first_s=2, cap_s=6)
    assert (code, ran) == (0, [settings.Settings(state=tmp_path, retry=retry)])
