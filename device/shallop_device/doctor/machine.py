"""This machine: disks, clock, limits."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shallop_device import clock
from shallop_device.doctor.finding import Finding, fail, ok, warn

LITTLE_BYTES = 64 * 2**20
LITTLE_INODES = 1000
LITTLE_FILES = 256
LITTLE_WATCHES = 1024
EARLIEST_YEAR = 2025
_INOTIFY = Path("/proc/sys/fs/inotify")


def directory(subject: str, path: Path) -> Iterator[Finding]:
    """Whether there is room in a directory, and what is written there gets onto the disk."""
    try:
        room = os.statvfs(path)
    except OSError as error:
        yield fail(subject, f"{path}: {error.strerror}", "make it, or mount its file system")
        return
    free, inodes = room.f_bavail * room.f_frsize, room.f_favail
    words = f"{path}: {free / 2**20:,.0f} MB free"
    if room.f_files and inodes < LITTLE_INODES:
        yield warn(subject, f"{path}: only {inodes} inodes are free", "remove small files")
    if free < LITTLE_BYTES:
        yield warn(subject, words, "free some space: a deployment needs room beside its predecessor")
    else:
        yield ok(subject, words)
    yield _writing(subject, path)


def _writing(subject: str, path: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=path) as file:  # nameless where the file system can do that
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        advice = "run the doctor as the agent's user: runuser -u shallop -- shallopd doctor"
        return fail(subject, f"{path} cannot be written and synced: {error.strerror}", advice)
    return ok(subject, f"{path} can be written and synced")


def is_one_file_system(first: Path, second: Path) -> bool:
    """Whether two directories that are there are on the same file system."""
    return first.stat().st_dev == second.stat().st_dev


def time(machine: clock.Clock) -> Finding:
    """The wall clock: for people, and for certificates."""
    now = machine.now()
    shown = now.isoformat(timespec="seconds")
    if now.year < EARLIEST_YEAR:
        advice = "set it: TLS cannot check certificates by it; nothing else depends on it"
        return warn("clock", f"the clock says {shown}, which cannot be", advice)
    if not machine.synced():
        advice = "timedatectl set-ntp true, if times in reports shall be right; nothing is decided by them"
        return warn("clock", f"the clock says {shown}, and nothing sets it", advice)
    return ok("clock", f"the clock is set: {shown}")


def limits(*, watches: bool) -> Iterator[Finding]:
    """Open files and, where changes are watched, inotify."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < LITTLE_FILES:
        yield warn("limits", f"a process may have {files} open files", "raise it: ulimit -n 1024, or LimitNOFILE=")
    else:
        yield ok("limits", f"a process may have {files if files >= 0 else 'any number of'} open files")
    if not watches:
        return
    try:
        allowed = int((_INOTIFY / "max_user_watches").read_text())
        instances = int((_INOTIFY / "max_user_instances").read_text())
    except (OSError, ValueError):
        yield warn("limits", "this kernel has no inotify", "set [integrity] watch = false; files are read back anyway")
        return
    if allowed < LITTLE_WATCHES or instances < 1:
        advice = "sysctl fs.inotify.max_user_watches=8192"
        yield warn("limits", f"inotify: {allowed} watches, {instances} instances for a user", advice)
    else:
        yield ok("limits", f"inotify: {allowed} watches, {instances} instances for a user")
