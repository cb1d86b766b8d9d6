"""One life of a robot, from its start to the loss of power, as its parent sees it.

Both kinds take orders, run until the robot rests, and lose their power at a moment that was chosen before: ``Stepped``
before a given change, counted in system calls; ``Timed`` at a moment of the clock, wherever the robot is then. What it
told counts only if it was read before the power went.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from power import kernel, robot
from power.violation import Violation
from shallop_device import testing
from shallop_protocol.messages import Report

MOST_CHANGES = 20_000
"""System calls in which a robot must come to rest; it takes some hundred."""
MOST_SECONDS = 60.0
_LISTENS_EVERY = 16
"""Changes after which the pipe is read: a robot that retries for ever would fill it, and wait for us, as we for it."""


class PowerGone(Exception):
    """The power went, where it was meant to. ``where`` says what the robot was about to do."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


@dataclasses.dataclass(slots=True)
class Told:
    """What was heard of a robot. ``opened`` is what it found in its database as it started."""

    opened: dict[str, Any] | None = None
    reports: list[Report] = dataclasses.field(default_factory=list[Report])
    log: list[str] = dataclasses.field(default_factory=list[str])


class _Child:
    """The process and its pipes.

    Both kinds also have ``arm`` (the power goes after so many changes, or so many seconds, from now; 0 for never),
    ``left`` (how many of them are left), ``changes`` (done since then; seconds have none), ``write_back_at`` (a change
    before which that is done what the kernel may do by itself, and before which the power goes only then; 0 for none),
    and ``rest``. That lets the robot work until nothing is left to do; it raises PowerGone, or Violation if the agent
    ends or does not come to rest.
    """

    def __init__(self, berth: robot.Berth, cuts: Sequence[Callable[[], None]], *, stops: bool) -> None:
        self.told = Told()
        self._cuts = cuts
        self._rests_after = -1
        self._sent = 0
        self._data = bytearray()
        orders_out, self._orders = os.pipe()
        self._pipe, told_in = os.pipe()
        os.set_blocking(self._pipe, False)
        self.process = os.fork()
        if self.process == 0:
            os.close(self._orders)
            os.close(self._pipe)
            robot.live(berth, orders_out, told_in, stops=stops)
        os.close(orders_out)
        os.close(told_in)
        self._is_there = True

    def order(self, data: bytes) -> None:
        """What comes from the broker. It is heard at the next ``rest``."""
        self._sent += 1
        os.write(self._orders, len(data).to_bytes(4, "big") + data)

    def cut(self, where: str) -> PowerGone:
        """Cuts the power now."""
        self._listen()
        for cut in self._cuts:
            cut()
        self.stop()
        return PowerGone(where)

    def stop(self) -> None:
        """Kills the agent. The power stays."""
        if self._is_there:
            self._is_there = False
            os.kill(self.process, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.process, 0)
            os.close(self._orders)
            os.close(self._pipe)

    def _rests(self) -> bool:
        """Whether it rests, and heard all."""
        self._listen()
        return self._rests_after == self._sent

    def _listen(self) -> None:
        has_ended = False
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self._pipe, 65_536):
                self._data += more
            has_ended = True
        for letter, body in robot.told_in(self._data):
            match letter:
                case robot.OPENED:
                    self.told.opened = json.loads(body)
                case robot.REPORT:
                    self.told.reports.append(testing.read_report(body))
                case robot.RESTS:
                    found = json.loads(body)
                    self._rests_after = found["heard"]
                    self.told.log += found["log"]
                case _:
                    raise Violation("S15", f"the agent died: {body.decode()}")
        if has_ended:
            raise Violation("S15", "the agent ended by itself, and did not say why")


class Stepped(_Child):
    """A robot whose power goes before a given change.

    Args:
        cuts: what cuts the power of each file system.
    """

    def __init__(self, berth: robot.Berth, cuts: Sequence[Callable[[], None]]) -> None:
        super().__init__(berth, cuts, stops=True)
        os.waitpid(self.process, 0)
        kernel.traced(self.process)
        self.changes = 0
        """How many changes it came to since it was armed, or began."""
        self._cut_at = 0
        self._write_back_at = 0
        self._write_back: Callable[[], None] | None = None

    def arm(self, moment: float) -> None:
        self.changes = 0
        self._cut_at = int(moment)

    @property
    def left(self) -> float:
        return max(self._cut_at - self.changes, 0)

    def write_back_at(self, change: int, act: Callable[[], None]) -> None:
        self._write_back_at, self._write_back = change, act

    def rest(self) -> None:
        for _ in range(MOST_CHANGES):
            status = kernel.proceed(self.process)
            if kernel.is_before_change(status):
                self.changes += 1
                if self.changes % _LISTENS_EVERY == 0:
                    self._listen()
                if self.changes == self._write_back_at and self._write_back:
                    self._write_back()
                if self.changes == self._cut_at:
                    raise self.cut(f"before change {self.changes}, {kernel.change_before_which(self.process)}")
            elif not os.WIFSTOPPED(status):
                self._listen()
                raise Violation("S15", f"the agent ended by itself, with status {status:#x}")
            elif self._rests():
                return
        self._listen()
        raise _restless(self.told)


class Timed(_Child):
    """A robot whose power goes at a moment of the clock."""

    def __init__(self, berth: robot.Berth, cuts: Sequence[Callable[[], None]]) -> None:
        super().__init__(berth, cuts, stops=False)
        self.changes = 0
        self._began = time.monotonic()
        self._cut_at: float | None = None

    def arm(self, moment: float) -> None:
        self._began = time.monotonic()
        self._cut_at = self._began + moment if moment else None

    def write_back_at(self, change: int, act: Callable[[], None]) -> None:
        """A robot whose changes are not counted has none."""

    @property
    def left(self) -> float:
        return 0 if self._cut_at is None else max(self._cut_at - time.monotonic(), 1e-6)

    def rest(self) -> None:
        give_up = time.monotonic() + MOST_SECONDS
        while not self._rests():
            now = time.monotonic()
            if self._cut_at is not None and now >= self._cut_at:
                raise self.cut(f"after {(now - self._began) * 1000:.1f} ms")
            if now >= give_up:
                raise _restless(self.told)
            until = give_up if self._cut_at is None else self._cut_at
            select.select([self._pipe], [], [], max(0.0, until - now))


def _restless(told: Told) -> Violation:
    said = told.reports[-1].to_bytes().decode() if told.reports else "nothing"
    return Violation("L1", f"the robot does not come to rest; it last said {said}; {' | '.join(told.log[-3:])}")
