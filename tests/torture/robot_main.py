"""A robot's agent, the real one, on a machine that can be tampered with.

A file of control, in JSON, is written by the tests: ``clock``, by how many seconds the wall clock is off, and
``cut_after``, after how many more steps on the disk the power goes. A witness hears what is under ``current`` at the
start and after every change of it, read by other code than the agent's before the agent can say a word of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from shallop_device import cli, clock, daemon, files
from torture import reading


class Control:
    """What the tests say, read again when they say something else."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at = -1
        self._values: dict[str, Any] = {}
        self._steps = 0

    @property
    def clock(self) -> float:
        """By how many seconds the wall clock is off."""
        return self._said().get("clock", 0.0)

    def step(self) -> None:
        """A step on the disk is about to be taken. It may be that it is not."""
        left = self._said().get("cut_after")
        if left is not None:
            self._steps += 1
            if self._steps > left:
                os.kill(os.getpid(), signal.SIGKILL)

    def _said(self) -> dict[str, Any]:
        changed = self._file.stat().st_mtime_ns
        if changed != self._read_at:
            self._read_at, self._values, self._steps = changed, json.loads(self._file.read_text()), 0
        return self._values


class Witness:
    """Says what is under ``current``."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.connect(f"\0{address}")

    def tell(self, root: Path) -> None:
        """Now."""
        found = reading.look(root)
        if found is not None:
            self._socket.send(json.dumps(dataclasses.asdict(found)).encode())


def disk(control: Control, witness: Witness) -> type[files.RootedFiles]:
    """The agent's disk, with the power that can go and the witness."""

    class Disk(files.RootedFiles):
        def __init__(self, root: Path) -> None:
            super().__init__(root)
            self.root = root
            witness.tell(root)

        def make_directory(self, path: str) -> None:
            control.step()
            super().make_directory(path)

        def write(self, path: str, data: bytes, mode: int) -> None:
            control.step()
            super().write(path, data, mode)

        def sync_directory(self, path: str) -> None:
            control.step()
            super().sync_directory(path)

        def link(self, path: str, target: str) -> None:
            control.step()
            super().link(path, target)

        def rename(self, old: str, new: str) -> None:
            control.step()
            super().rename(old, new)
            if new == "current":
                witness.tell(self.root)

        def unlink(self, path: str) -> None:
            control.step()
            super().unlink(path)
            if path == "current":
                witness.tell(self.root)

        def remove_directory(self, path: str) -> None:
            control.step()
            super().remove_directory(path)

    return Disk


class TamperedClock(clock.SystemClock):
    """The machine's clocks, of which the wall clock can be off."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def now(self) -> datetime.datetime:
        return super().now() + datetime.timedelta(seconds=self._control.clock)


def main(state: str, control_file: str, socket_name: str, *options: str) -> None:
    """Runs the agent until it ends."""
    control = Control(Path(control_file))
    open_root = disk(control, Witness(socket_name))
    daemon.run = functools.partial(daemon.run, time=TamperedClock(control), open_root=open_root)
    sys.argv = ["shallopd", "run", "--state", state, *options]
    cli.main()
