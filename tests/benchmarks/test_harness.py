"""What all benchmarks share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import harness
import pytest


def sleeper(tmp_path: Path, code: str = "import time; time.sleep(60)") -> harness.Program:
    return harness.Program("sleeper", [sys.executable, "-c", code], tmp_path / "sleeper.log")


@pytest.mark.parametrize(("percent", "expected"), [(50, 5), (99, 10), (100, 10), (1, 1)])
def test_percentiles_are_values_that_occurred(percent, expected):
    assert harness.percentile([10, 1, 9, 2, 8, 3, 7, 4, 6, 5], percent) == expected


def test_json_is_one_object_with_the_environment(capsys):
    harness.emit("made-up", {"seconds": 1.5, "robots": 3}, as_json=True)

    said = json.loads(capsys.readouterr().out)
    assert (said["benchmark"], said["seconds"], said["robots"]) == ("made-up", 1.5, 3)
    assert {"date", "cpu", "cpus", "kernel", "python", "filesystem", "load_before", "versions"} <= set(
        said["environment"]
    )


def test_people_get_a_table(capsys):
    harness.emit("made-up", {"seconds": 1.5, "parts": {"a": 1}}, as_json=False)

    said = capsys.readouterr().out
    assert said.startswith("made-up\n")
    assert "seconds" in said
    assert "1.500" in said


def test_a_program_that_is_missing_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(harness.shutil, "which", lambda *_args, **_more: None)

    with pytest.raises(harness.BenchmarkError, match="apt install etcd-server"):
        harness.find("etcd")


def test_a_program_that_ends_too_soon_says_its_last_words(tmp_path: Path):
    program = sleeper(tmp_path, "import sys; sys.exit('no such luck')")

    with pytest.raises(harness.BenchmarkError, match="no such luck"), harness.running(program, lambda: False):
        pass


def test_a_program_is_ended_with_its_block_and_its_cost_can_be_read(tmp_path: Path):
    program = sleeper(tmp_path)
    with harness.running(program, lambda: harness.rss_bytes(program.pid) > 1_000_000):
        assert harness.cpu_seconds(program.pid) >= 0
        assert harness.family(program.pid)[0] == program.pid
        pid = program.pid
    assert not program.is_running
    assert harness.rss_bytes(pid) == 0


def test_waiting_has_a_bound():
    with pytest.raises(harness.BenchmarkError, match="still not so that it rains"):
        harness.wait("it rains", lambda: False, within=0.05)


def test_the_filesystem_of_a_path_is_that_of_its_nearest_mount():
    assert harness.filesystem(Path("/proc/self")) == "proc"
