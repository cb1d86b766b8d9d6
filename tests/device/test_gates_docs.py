"""What docs/gates.md says is so: its settings are settings, its JSON is what hooks get, its hooks do what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from shallop_device import errands, gates, hooks, settings, testing

TEXT = (Path(__file__).parents[2] / "docs" / "gates.md").read_text()
SCRIPTS = {
    Path(path).name: script for script, path in re.findall(r"```sh\n(#!/bin/sh\n# (\S+):.*?)```", TEXT, re.DOTALL)
}
DOCUMENTS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
RULES = gates.Rules(check=True, applied=True, health=gates.Health(window=10.0, passes=1))


def test_the_settings_are_settings(tmp_path):
    file = tmp_path / "shallopd.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0])
    chosen = settings.load(file, environment={}).settings
    assert chosen.hooks.applied == ("/usr/local/lib/robot/applied", "nav2")
    assert chosen.health.acks == {"nav2"}
    assert (chosen.confirm.within_s, chosen.integrity.mode) == (120.0, "heal")


def shape(value: object) -> object:
    """The fields of a JSON value, and nothing of what is in them."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def test_the_documents_are_what_hooks_get(tmp_path, shore):
    robot = testing.Robot(tmp_path, shore, RULES)
    robot.boot()
    first, second = (shore.manifest({"nav2/params.yaml": text}) for text in ("1", "2"))
    robot.take(shore.order(first))
    robot.settle()
    robot.errands.begun.clear()
    robot.take(shore.order(second, fallback=first.id))
    while robot.errands.name != "health":
        robot.worker.work()
        if robot.errands.name != "health":
            robot.end()
    robot.worker.passage.acknowledge("nav2", second.id, "it does not drive")
    robot.worker.work()
    robot.settle()
    got = [json.loads(errand.document) for errand in robot.errands.begun if isinstance(errand, errands.RunHook)]
    check, deployed, health, returned = got

    assert [shape(each) for each in (check, returned, health)] == [shape(each) for each in DOCUMENTS]
    assert [each["change"] for each in (deployed, returned)] == ["deployed", "returned"]
    robot.store.close()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a hook of the document on a robot whose programs are pretended."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setattr(hooks, "PATH", f"{tools}:{hooks.PATH}")

    def run(name: str, document: dict[str, object], *arguments: str, **tool: str):
        for program, script in tool.items():
            (tools / program).write_text(f"#!/bin/sh\n{script}\n")
            (tools / program).chmod(0o755)
        path = tmp_path / name
        path.write_text(SCRIPTS[name].replace("/run/robot/", f"{tmp_path}/"))
        path.chmod(0o755)
        all_of_them = hooks.Hooks({"check": [str(path), *arguments]}, root=tmp_path)
        ended = all_of_them.run(errands.RunHook(1, "check", json.dumps(document).encode()))
        return ended.code, ended.output

    return run


def test_the_hooks_are_sound_shell():
    assert sorted(SCRIPTS) == ["applied", "check", "health"]
    for script in SCRIPTS.values():
        assert subprocess.run(["sh", "-n"], input=script.encode(), check=False).returncode == 0


def test_the_hook_check(run, tmp_path):
    document = {**DOCUMENTS[0], "tree": "tree"}
    (tmp_path / "tree" / "nav2").mkdir(parents=True)
    params = tmp_path / "tree" / "nav2" / "params.yaml"
    params.write_text("controller_server:\n  ros__parameters: {}\n")
    assert run("check", document) == (0, "")
    params.write_text("planner_server: {}\n")
    assert run("check", document) == (1, "nav2/params.yaml has no controller_server")
    (tmp_path / "arm-moves").touch()
    assert run("check", document) == (75, "the arm moves")


def test_the_hook_applied(run):
    assert run("applied", DOCUMENTS[1], "nav2", systemctl='echo "$@"') == (0, "restart nav2.service")


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("echo 'active [3]'", (0, "")),
        ("echo 'inactive [2]'", (1, "controller_server is inactive [2]")),
        ("echo 'Node not found' >&2; exit 1", (1, "Node not found")),
    ],
)
def test_the_hook_health(tool, expected, run):
    assert run("health", DOCUMENTS[2], ros2=tool) == expected


def test_every_code_that_it_names_is_one():
    source = "".join(path.read_text() for path in Path(gates.__file__).parent.glob("*.py"))
    for code in ("trial_interrupted", "cut_off", "not_safe_now", "hook_timeout", "hook_cannot_start", "files_changed"):
        assert f"`{code}`" in TEXT
        assert f'"{code}"' in source
