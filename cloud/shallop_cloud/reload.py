"""Tells the broker, by a program of the operator's, that the files which it reads have changed.

However often they change, one run at a time is enough: whatever changes while it runs is told by the next.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

import structlog
import tenacity

from shallop_cloud import commands

SETTLE_S = 0.2
"""What changes within so long of the first change is told by the same run."""
WITHIN_S = 20.0
FIRST_S, CAP_S = 1.0, 60.0
"""The waits between attempts, until one succeeds: exponential, with full jitter."""
_OUTPUT = 65_536

log = structlog.get_logger()


class Reload:
    """A thread that runs a command after each change, and again until it succeeds.

    Args:
        within_s: how long one run may take.
        wait: the waits between attempts, by tenacity.
    """

    def __init__(
        self, command: Sequence[str], *, within_s: float = WITHIN_S, wait: tenacity.wait.wait_base | None = None
    ) -> None:
        self._command = tuple(command)
        self._within_s = within_s
        self._wait = wait or tenacity.wait_random_exponential(multiplier=FIRST_S, max=CAP_S)
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def __enter__(self) -> Reload:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._due.set()
        self._thread.join(self._within_s + commands.REAP_S)

    def changed(self) -> None:
        """Something changed; returns at once."""
        self._due.set()

    def _run(self) -> None:
        failures = 0
        while True:
            self._due.wait()
            if self._stopping.wait(SETTLE_S):
                return
            self._due.clear()
            try:
                commands.run(self._command, b"", within_s=self._within_s, output=_OUTPUT)
            except commands.CommandFailed as error:
                failures += 1
                pause = self._pause(failures)
                words = "the broker could not be told that credentials changed; it is tried again"
                log.error(words, why=str(error), attempt=failures, pause_s=round(pause, 1))  # noqa: TRY400
                self._due.wait(pause)  # a new change is told of at once
                self._due.set()
            else:
                failures = 0
                log.info("the broker was told that credentials changed", command=self._command[0])

    def _pause(self, failures: int) -> float:
        state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # a schedule, not a call
        state.attempt_number = failures
        return self._wait(state)
