"""A disk that is full and a wall clock that is wrong, for the real daemon."""

from __future__ import annotations

import datetime
import errno
import time
from pathlib import Path

import pytest
from shallop_cloud.bench.fleet.launcher import Spoiled, SpoiledClock, SpoiledFiles


def test_what_is_spoiled_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "spoiled.json"
    assert Spoiled.read(path) == Spoiled()
    Spoiled(full_until=12.5, clock_offset_s=-3.0).write(path)
    assert Spoiled.read(path) == Spoiled(12.5, -3.0)
    assert [each.name for each in tmp_path.iterdir()] == ["spoiled.json"]


def test_a_full_disk_takes_nothing_new_until_its_time_is_over(tmp_path: Path) -> None:
    root, spoiled = tmp_path / "root", tmp_path / "spoiled.json"
    root.mkdir()
    disk = SpoiledFiles(root, spoiled)
    disk.write("before", [b"kept"], 0o644)
    Spoiled(full_until=time.monotonic() + 3_600).write(spoiled)
    for act in (
        lambda: disk.write("file", [b""], 0o644),
        lambda: disk.make_directory("directory"),
        lambda: disk.link("link", "before"),
    ):
        with pytest.raises(OSError, match="No space left") as raised:
            act()
        assert raised.value.errno == errno.ENOSPC
    disk.rename("before", "after")
    assert list(disk.read("after")) == [b"kept"]
    Spoiled(full_until=time.monotonic()).write(spoiled)
    disk.write("file", [b"there is room"], 0o644)
    assert sorted(disk.entries("")) == ["after", "file"]


def test_only_the_wall_clock_is_off(tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.json"
    clock = SpoiledClock(spoiled)
    assert abs(clock.now() - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    Spoiled(clock_offset_s=-50 * 365.25 * 86_400).write(spoiled)
    assert clock.now().year < 1980
    assert clock.monotonic() == pytest.approx(time.monotonic(), abs=5)
