"""The broker is told that credentials changed: once for many changes, and again until it worked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tenacity
from shallop_cloud.reload import Reload


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def runs(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


def test_many_changes_at_once_are_one_run(log: Path) -> None:
    with Reload(["sh", "-c", f"echo x >> {log}"]) as reload:
        for _ in range(100):
            reload.changed()
        until(lambda: runs(log) == 1)
        reload.changed()
        until(lambda: runs(log) == 2)
    assert runs(log) == 2


def test_a_change_while_it_runs_is_told_by_the_next_run(log: Path) -> None:
    with Reload(["sh", "-c", f"echo x >> {log}; sleep 0.3"]) as reload:
        reload.changed()
        until(lambda: runs(log) == 1)
        reload.changed()
        until(lambda: runs(log) == 2)


def test_what_fails_is_tried_again(log: Path) -> None:
    script = f"echo x >> {log}; test $(wc -l < {log}) -ge 3"
    with Reload(["sh", "-c", script], wait=tenacity.wait_none()) as reload:
        reload.changed()
        until(lambda: runs(log) == 3)
        time.sleep(0.4)  # longer than what it waits for before a run: there is none
    assert runs(log) == 3


def test_a_new_change_does_not_wait_for_the_next_attempt(log: Path) -> None:
    with Reload(["sh", "-c", f"echo x >> {log}; exit 1"], wait=tenacity.wait_fixed(60)) as reload:
        reload.changed()
        until(lambda: runs(log) == 1)
        time.sleep(0.1)
        reload.changed()
        until(lambda: runs(log) == 2)


def test_one_that_hangs_is_killed_and_the_server_can_stop(log: Path) -> None:
    began = time.monotonic()
    with Reload(["sh", "-c", f"echo x >> {log}; sleep 60"], within_s=0.2, wait=tenacity.wait_none()) as reload:
        reload.changed()
        until(lambda: runs(log) == 2)
    assert time.monotonic() - began < 10
