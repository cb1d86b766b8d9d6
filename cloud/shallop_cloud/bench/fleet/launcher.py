"""A robot's agent as it is, on a disk and by a clock that can be made to fail.

``python -m shallop_cloud.bench.fleet.launcher STATE SPOILED`` runs the daemon that ``shallopd run`` runs. SPOILED is a
small JSON file which the supervisor replaces: ``{"full_until": …, "clock_offset_s": …}``. It is looked at before every
step on the disk and at every look at the wall clock; without it nothing is spoiled. ``full_until`` is a moment of the
machine's monotonic clock, so that a disk becomes free again though nobody is there to say so.
"""

from __future__ import annotations

import dataclasses
import datetime
import errno
import json
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from shallop_device import clock, daemon, errors, files, inbox, logs, settings

from shallop_cloud.bench.fleet import leash

HEARTBEAT_S = 30.0
RETRY = settings.Retry(first_s=0.5, cap_s=4.0)
"""Shorter than on a real robot: whoever spoils something on the bench wants to see it heal."""


@dataclasses.dataclass(frozen=True, slots=True)
class Spoiled:
    """What is wrong with a robot's own machine now.

    Attributes:
        full_until: until when its disk is full, on the machine's monotonic clock.
        clock_offset_s: by how much its wall clock is off.
    """

    full_until: float = 0.0
    clock_offset_s: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Spoiled:
        """What the file says; nothing, if there is none."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except FileNotFoundError:
            return cls()

    def write(self, path: Path) -> None:
        """Replaces the file at one instant."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(dataclasses.asdict(self)))
        new.replace(path)


class SpoiledClock(clock.SystemClock):
    """The machine's clock, but for a wall clock that is off."""

    def __init__(self, spoiled: Path) -> None:
        self._spoiled = spoiled

    def now(self) -> datetime.datetime:
        """The wall clock as this robot has it."""
        return super().now() + datetime.timedelta(seconds=Spoiled.read(self._spoiled).clock_offset_s)


class SpoiledFiles(files.RootedFiles):
    """The real disk, on which nothing new can be made while it is full. Removing and renaming still works."""

    def __init__(self, root: Path, spoiled: Path) -> None:
        super().__init__(root)
        self._spoiled = spoiled

    def make_directory(self, path: str) -> None:
        """As the port says, if there is room."""
        self._claim_room(path)
        super().make_directory(path)

    def write(self, path: str, chunks: Iterable[bytes], mode: int) -> None:
        """As the port says, if there is room."""
        self._claim_room(path)
        super().write(path, chunks, mode)

    def link(self, path: str, target: str) -> None:
        """As the port says, if there is room."""
        self._claim_room(path)
        super().link(path, target)

    def _claim_room(self, path: str) -> None:
        if time.monotonic() < Spoiled.read(self._spoiled).full_until:
            raise OSError(errno.ENOSPC, "No space left on device", path)


def main(state: Path, spoiled: Path) -> int:
    """Runs the agent until SIGTERM or SIGINT; gives its exit code."""
    logs.set_up("info")
    items = inbox.Inbox()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: items.put(inbox.Stop()))
    leash.hold()
    try:
        daemon.run(
            settings.Settings(state=state.absolute(), link=settings.Link(heartbeat_s=HEARTBEAT_S), retry=RETRY),
            items,
            time=SpoiledClock(spoiled),
            open_root=lambda root: SpoiledFiles(root, spoiled),
        )
    except errors.AgentError as error:
        sys.stderr.write(f"shallopd: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
