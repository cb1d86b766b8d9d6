"""The demo, as the README has it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from system_world import SHALLOP


@pytest.mark.slow  # and a step of CI by itself
def test_all_of_it_happens(tmp_path: Path) -> None:
    where = tmp_path / "demo"
    done = subprocess.run(
        [*SHALLOP, "demo", "--robots", "2", "--directory", str(where)], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    for words in (
        "motion-control-bad.yaml:5:3 /limits/max_speed: 12.5 is greater than the maximum of 5",
        "queued -> deployed -> removing -> archived",
        "waits for it, queued",
        "All of it happened",
    ):
        assert words in done.stdout
    for path in (where / "amr-1", where / "amr-2"):
        current = path / "config" / "current" / "motion" / "motion-control.yaml"
        assert str(current) in done.stdout
        assert current.is_file()


def test_it_leaves_what_is_there_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = subprocess.run(
        [*SHALLOP, "demo", "--directory", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
