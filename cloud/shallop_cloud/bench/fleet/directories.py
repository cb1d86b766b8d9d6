"""A bench's directory, which it holds while it runs, and where running benches are found."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path

from shallop_cloud.bench.fleet.errors import BenchError, NotRunning

LOCK = "bench.lock"


@contextlib.contextmanager
def held(directory: Path) -> Generator[None]:
    """Makes a directory and holds it for one bench. The kernel lets go when the process ends, however it does.

    Raises:
        BenchError: another bench runs there, or there is something else in it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()) and not (directory / LOCK).exists():
            raise BenchError(f"{directory} is not empty and no bench's; name a new directory with --directory")
        handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BenchError(f"cannot use the directory {directory}: {error.strerror}; name another") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = f"a bench runs in {directory} already; end it (shallop bench down), or name another directory"
            raise BenchError(words) from None
        if any(each.name != LOCK for each in directory.iterdir()):
            raise BenchError(f"{directory} is that of an earlier bench; delete it, or name a new directory")
        yield
    finally:
        os.close(handle)


def is_held(directory: Path) -> bool:
    """Whether a bench runs in a directory."""
    try:
        handle = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


@contextlib.contextmanager
def registered(directory: Path, register: Path) -> Generator[None]:
    """Notes in a register, while the block lasts, that a bench of this user runs in a directory."""
    register.mkdir(mode=0o700, parents=True, exist_ok=True)
    if register.stat().st_uid != os.getuid():
        raise BenchError(f"{register} belongs to another user; set XDG_RUNTIME_DIR to a directory of your own")
    note = register / f"{os.getpid()}.bench"
    note.write_text(str(directory))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def register_of(environment: Mapping[str, str]) -> Path:
    """Where the running benches of this user are noted."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "shallop-bench"
    return Path(tempfile.gettempdir()) / f"shallop-bench-{os.getuid()}"


def newest(register: Path) -> Path:
    """The directory of the newest bench of this user that runs. Notes of those that were killed are removed.

    Raises:
        NotRunning: there is none.
    """
    notes = sorted(register.glob("*.bench"), key=lambda note: note.stat().st_mtime, reverse=True)
    for note in notes:
        directory = Path(note.read_text())
        if is_held(directory):
            return directory
        note.unlink(missing_ok=True)
    raise NotRunning("no bench of yours runs; start one with `shallop bench up`, or name its --directory")
