"""A program of the bench, with its output in a file of its own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shallop_cloud.bench.fleet.errors import BenchError

_PROGRAM = """
import sys
from shallop_cloud.bench.fleet import leash
leash.hold()
from shallop_cloud.cli import main
sys.exit(main())
"""
SHALLOP = (sys.executable, "-c", _PROGRAM)
"""The ``shallop`` command, on a leash."""
STOP_WITHIN_S = 15.0
LOOK_EVERY_S = 0.05


class Process:
    """One program that can be started, ended and started again."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def ended_with(self) -> int | None:
        """Its exit code, if it ended although nobody stopped it."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Starts it and returns at once. It has a session of its own: a Ctrl-C is for the supervisor alone."""
        self.kill()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own programs
                self.command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """Ends it as a service manager would; returns when it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it without a warning; returns when it has ended."""
        self._end(signal.SIGKILL)

    def last_words(self) -> str:
        """The end of what it wrote."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="backslashreplace").splitlines()
            return " ".join(line.strip() for line in lines[-3:])
        return ""

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()


def wait(what: str, within: float, holds: Callable[[], bool], *needed: Process) -> None:
    """Waits until something is so.

    Args:
        needed: programs without which it can never be so.

    Raises:
        BenchError: one of them ended, or the time is over.
    """
    end = time.monotonic() + within
    while not holds():
        for each in needed:
            if (code := each.ended_with) is not None:
                words = each.last_words() or "it said nothing"
                raise BenchError(f"the {each.name} ended with {code}: {words}; its log: {each.log}")
        if time.monotonic() > end:
            logs = ", ".join(str(each.log) for each in needed)
            raise BenchError(f"after {within:g} s it is still not so that {what}; the logs: {logs}")
        time.sleep(LOOK_EVERY_S)
