"""A process of simulated robots, as seen from outside: start it, end it, tell it what is to befall whom, look at it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.simulated import doors, views
from shallop_cloud.bench.simulated.views import RobotView, State

START_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0
ANSWER_WITHIN_S = 60.0
_MODULE = "shallop_cloud.bench.simulated"


class FleetError(Exception):
    """The robots' process did not do what it was asked to; the message says what, and where its log is."""


class FleetProcess:
    """The robots of one roster, in a process of their own that ends when this one does.

    Whoever knows the directory can speak to them: an object that was not started reaches a process that another one
    started there.

    Args:
        roster: the file that says who they are.
        directory: where the process has its socket and its log; made if it is not there.
    """

    def __init__(self, roster: Path, directory: Path) -> None:
        self._roster = roster
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the process wrote to stderr."""
        return self._directory / "robots.log"

    @property
    def control(self) -> Path:
        """The socket that it listens on."""
        return self._directory / "robots.sock"

    @property
    def is_running(self) -> bool:
        """Whether the process that was started here is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id; None before ``start`` and after the end."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the robots, and returns when the process answers. They connect by and by.

        A robot that was started before has lost its disk and its memory since, as after a change of hardware.

        Raises:
            FleetError: it ended at once, or does not answer.
        """
        if self.is_running:
            raise FleetError(f"the robots of {self._roster} are running already")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.control.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-m", _MODULE, str(self._roster), "--control", str(self.control)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if not self.is_running or time.monotonic() > end:
                self.kill()
                raise FleetError(f"the robots' process did not start: {self._last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it in good order: the robots say good-bye. Nothing happens where none was started here."""
        if self.is_running:
            self._ask({"do": "stop"})
        self._end(STOP_WITHIN_S)

    def kill(self) -> None:
        """Ends it as a loss of power would."""
        self._end(0.0)

    def fault(self, names: Sequence[str], fault: Fault) -> None:
        """Lets a fault befall these robots; it has begun when this returns.

        Raises:
            FleetError: one of them is not in the roster, or the process does not answer.
        """
        self._ask({"do": "fault", "robots": list(names), "fault": str(fault)})

    def reject(self, names: Sequence[str], containing: str | None) -> None:
        """From now on these robots reject a deployment with a file that contains a text; None: they no longer do."""
        self._ask({"do": "reject", "robots": list(names), "containing": containing})

    def state(self) -> State:
        """All robots, counted."""
        return views.STATE.validate_python(self._ask({"do": "state"}))

    def robot(self, name: str) -> RobotView:
        """What is on one robot's disk, and what it remembers.

        Raises:
            FleetError: it is not in the roster, or the process does not answer.
        """
        return views.ROBOT.validate_python(self._ask({"do": "robot", "name": name}))

    def connected_at(self) -> list[float]:
        """The monotonic moment at which each robot's connection, if it stands, was accepted."""
        return [float(moment) for moment in self._ask({"do": "connected_at"})]

    def wait(self, what: str, holds: Callable[[State], bool], within: float = 60.0) -> State:
        """The first state seen in which something is so.

        Raises:
            FleetError: there was none within so many seconds.
        """
        end = time.monotonic() + within
        while True:
            state = self.state()
            if holds(state):
                return state
            if time.monotonic() > end:
                raise FleetError(f"after {within:.0f} s it is still not so that {what}: {state}; the log is {self.log}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self._ask({"do": "state"})
        except FleetError:
            return False
        return True

    def _ask(self, request: dict[str, object]) -> Any:  # Any: each kind of request has its own answer
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door, doors.short(self.control) as address:
                door.settimeout(ANSWER_WITHIN_S)
                door.connect(address)
                door.sendall(json.dumps(request).encode() + b"\n")
                with door.makefile("rb") as answers:
                    line = answers.readline()
        except OSError as error:
            raise FleetError(f"the robots' process does not answer at {self.control}: {error}") from error
        if not line:
            raise FleetError(f"the robots' process ended without an answer: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise FleetError(str(answer["error"]))
        return answer["ok"]

    def _end(self, patience: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()
        self.control.unlink(missing_ok=True)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"{lines[-1] if lines else 'it said nothing'} (log: {self.log})"
