"""What a service manager hands over and wants to hear: sd_notify(3), sd_listen_fds(3), a few lines over a socket."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping

FIRST_FD = 3
"""Handed-over descriptors are numbered from here."""

logger = logging.getLogger(__name__)


class Notifier:
    """Tells the service manager, if there is one, how the agent is. What cannot be told is let go.

    Args:
        environment: ``NOTIFY_SOCKET`` is a path or, with an ``@`` before it, an abstract name; ``WATCHDOG_USEC`` within
            how many microseconds a sign of life is wanted; ``WATCHDOG_PID`` of which process.
        monotonic: the time in seconds.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._monotonic = monotonic
        self._period = _period(environment)
        self._beaten_at = -math.inf
        self._status = ""

    def ready(self) -> None:
        """The agent has begun."""
        self._tell("READY=1")

    def beat(self, status: str) -> float:
        """A sign of life, and how things are, if that is news.

        Returns:
            Seconds until the next one is due; infinite if none is wanted.
        """
        if status != self._status:
            self._status = status
            self._tell(f"STATUS={status}")
        if self._period is None:
            return math.inf
        now = self._monotonic()
        if now >= self._beaten_at + self._period:
            self._beaten_at = now
            self._tell("WATCHDOG=1")
        return self._beaten_at + self._period - now

    def stopping(self) -> None:
        """The agent ends, as it was asked to."""
        self._tell("STOPPING=1")

    def _tell(self, words: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(1.0)
            line.sendto(words.encode(), address)


def _period(environment: Mapping[str, str]) -> float | None:
    """Half of what the watchdog waits, as sd_watchdog_enabled(3) recommends; None without a watchdog."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isdecimal() and int(text) > 0 else None


def listening(environment: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The Unix socket that the service manager listens on for this process, if it handed one over. Asked once: the
    variables are taken away, so that no child believes that they are for it."""
    process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal() or int(count) < 1:
        return None
    for number in range(FIRST_FD, FIRST_FD + int(count)):
        os.set_inheritable(number, False)
    if int(count) > 1:
        logger.warning("the service manager handed over %s sockets; only the first is used", count)
    try:
        handed = socket.socket(fileno=FIRST_FD)
    except OSError as error:
        logger.warning("what the service manager handed over is no socket: %s", error)
        return None
    if handed.family != socket.AF_UNIX:
        logger.warning("the service manager handed over a socket that is not a Unix socket; it is not used")
        handed.close()
        return None
    return handed
