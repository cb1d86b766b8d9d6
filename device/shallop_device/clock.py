"""Time: monotonic for decisions, the wall clock for people only."""

from __future__ import annotations

import ctypes
import datetime
import pathlib
import time
import uuid
from typing import Protocol

_PROCESS = str(uuid.uuid4())
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")
_SYNCED_MARK = pathlib.Path("/run/systemd/timesync/synchronized")
_TIMEX_BYTES = 512
"""More than ``struct timex`` takes on any Linux; all zero asks without changing anything."""
_TIME_ERROR = 5
_LIBC = ctypes.CDLL(None)


class Clock(Protocol):
    """What the agent knows of time."""

    def monotonic(self) -> float:
        """Seconds from some fixed moment. Never goes back."""
        ...

    def now(self) -> datetime.datetime:
        """The wall clock, aware; may be decades off."""
        ...

    def synced(self) -> bool:
        """Whether the wall clock is known to be disciplined by a time source."""
        ...

    def boot(self) -> str:
        """Names the machine's present boot: monotonic moments of another one mean nothing."""
        ...


class SystemClock:
    """The machine's."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def now(self) -> datetime.datetime:
        """The wall clock, in UTC."""
        return datetime.datetime.now(datetime.timezone.utc)

    def synced(self) -> bool:
        """By systemd-timesyncd's mark, else by the kernel's own word (adjtimex(2)); False where neither can be had."""
        if _SYNCED_MARK.exists():
            return True
        try:
            state = _LIBC.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        except (OSError, AttributeError):
            return False
        return 0 <= int(state) < _TIME_ERROR

    def boot(self) -> str:
        """As the kernel names it; where it does not, one that lasts as long as this process."""
        try:
            return _BOOT_ID.read_text().strip()
        except OSError:
            return _PROCESS
