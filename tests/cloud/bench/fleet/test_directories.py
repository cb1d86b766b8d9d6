"""One bench to a directory, and how the others find it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shallop_cloud.bench.fleet import directories
from shallop_cloud.bench.fleet.errors import BenchError, NotRunning


def test_a_directory_is_held_as_long_as_the_bench_runs(tmp_path: Path) -> None:
    where = tmp_path / "bench"
    assert not directories.is_held(where)
    with directories.held(where):
        assert directories.is_held(where)
        assert where.stat().st_mode & 0o777 == 0o700
        with pytest.raises(BenchError, match=r"a bench runs in .* already"), directories.held(where):
            pass
    assert not directories.is_held(where)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(BenchError, match="not empty and no bench's"), directories.held(tmp_path):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_an_earlier_bench_is_left_alone(tmp_path: Path) -> None:
    with directories.held(tmp_path):
        (tmp_path / "backup.db").write_text("theirs")
    with pytest.raises(BenchError, match="that of an earlier bench"), directories.held(tmp_path):
        pass


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot use the directory"), directories.held(tmp_path / "file" / "bench"):
        pass


def test_the_newest_that_runs_is_found(tmp_path: Path) -> None:
    register = tmp_path / "register"
    older, newer = tmp_path / "older", tmp_path / "newer"
    with pytest.raises(NotRunning, match="shallop bench up"):
        directories.newest(register)
    with directories.held(older), directories.registered(older, register):
        (register / f"{os.getpid()}.bench").rename(register / "1.bench")
        os.utime(register / "1.bench", (1, 1))
        with directories.held(newer), directories.registered(newer, register):
            assert directories.newest(register) == newer
        assert directories.newest(register) == older


def test_one_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    register, killed = tmp_path / "register", tmp_path / "killed"
    register.mkdir()
    (register / "7.bench").write_text(str(killed))
    with pytest.raises(NotRunning):
        directories.newest(register)
    assert list(register.iterdir()) == []


def test_the_register_is_the_users_own(tmp_path: Path) -> None:
    assert directories.register_of({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "shallop-bench"
    assert directories.register_of({}).name == f"shallop-bench-{os.getuid()}"
    assert directories.register_of({"XDG_RUNTIME_DIR": "/no/such/place"}) == directories.register_of({})
