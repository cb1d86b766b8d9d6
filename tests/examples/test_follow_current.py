"""``examples/follow-current``: it runs as its README says, beside an agent."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
from pathlib import Path

import door_world
import pytest
from door_world import eventually

HERE = Path(__file__).parents[2] / "examples" / "follow-current"
SCRIPT = HERE / "follow_current.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("follow_current", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_force(local: door_world.Local) -> tuple[str, str]:
    shown = local.ask("GET", "/v1/status").json["current"]
    return shown["id"], shown["activity"]


def test_it_follows_and_acknowledges():
    with door_world.local(door_world.ACKED) as local:
        first = local.order({"motion.json": '{"max_speed": 1.8}', "nav2/params.yaml": "a: 1\n"})
        command = [sys.executable, "-S", SCRIPT, "--root", local.robot.root, "--door", local.path, "--ack", "nav2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert [process.stdout.readline() for _ in range(3)] == [
                    f"{first.id}: 2 files\n",
                    "  motion.json  18 bytes\n",
                    "  nav2/params.yaml  5 bytes\n",
                ]
                eventually(lambda: in_force(local) == (first.id, "deployed"))
                second = local.order({"motion.json": "{"}, fallback=first.id)
                assert process.stdout.readline() == f"{second.id}: 1 files\n"
                eventually(lambda: in_force(local) == (first.id, "deployed"))
            finally:
                process.terminate()
        failed = local.ask("GET", "/v1/status").json["report"]["deployments"]
    [reason] = [each["reason"] for each in failed if each["id"] == second.id]
    assert reason["code"] == "vetoed"
    assert reason["message"].startswith("nav2: motion.json: ")


def test_all_files_are_of_one_deployment_while_it_changes(example, tmp_path):
    """Each tree has one number in all its files; a reader that takes them by path sees two sooner or later."""
    number = 0

    def put() -> None:
        nonlocal number
        number += 1
        tree = tmp_path / "deployments" / f"DPL-{number}"
        (tree / "d").mkdir(parents=True)
        for name in ("a", "d/b", "d/c"):
            (tree / name).write_text(str(number))
        (tmp_path / "new").symlink_to(f"deployments/DPL-{number}")
        (tmp_path / "new").rename(tmp_path / "current")

    put()
    stop = threading.Event()
    switching = threading.Thread(target=lambda: [put() for _ in range(60) if not stop.is_set()])
    switching.start()
    seen = set()
    while switching.is_alive():
        found = example.read(tmp_path)
        assert set(found.files.values()) == {found.id.removeprefix("DPL-").encode()}
        seen.add(found.id)
    switching.join()
    assert len(seen) > 1


def test_a_tree_that_goes_while_it_is_read_is_not_taken(example, tmp_path, monkeypatch):
    for name in ("DPL-1", "DPL-2"):
        (tmp_path / "deployments" / name).mkdir(parents=True)
        (tmp_path / "deployments" / name / "f").write_text(name)
    (tmp_path / "current").symlink_to("deployments/DPL-1")
    listed = example._files

    def lose_it(directory, prefix):
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to("deployments/DPL-2")
        (tmp_path / "deployments" / "DPL-1").rename(tmp_path / "deployments" / ".trash-1")
        (tmp_path / "deployments" / ".trash-1" / "f").unlink()
        monkeypatch.setattr(example, "_files", listed)
        return listed(directory, prefix)

    monkeypatch.setattr(example, "_files", lose_it)
    found = example.read(tmp_path)
    assert (found.id, found.files) == ("DPL-2", {"f": b"DPL-2"})


def test_nothing_is_in_force(example, tmp_path, capsys):
    assert example.read(tmp_path) is None
    example.show(None)
    assert capsys.readouterr().out == "nothing is in force\n"


def test_without_an_agent_the_link_is_looked_at(example, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "POLL_S", 0.0)
    looks = example.changes(tmp_path, str(tmp_path / "nobody"))
    next(looks)
    (tmp_path / "current").symlink_to("deployments/DPL-1")
    next(looks)
    (tmp_path / "current").unlink()
    next(looks)
    assert not example.acknowledge(str(tmp_path / "nobody"), "nav2", "DPL-1")


def test_the_readme_has_the_options(capsys, monkeypatch, example):
    monkeypatch.setattr("sys.argv", ["follow_current.py", "--help"])
    with pytest.raises(SystemExit):
        example.main()
    helped = capsys.readouterr().out
    for option in set(re.findall(r"--\w+", (HERE / "README.md").read_text())):
        assert option in helped
