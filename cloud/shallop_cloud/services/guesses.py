"""Wrong credentials, counted by where they come from."""

from __future__ import annotations

import collections
import ipaddress
import threading
import time

import structlog

from shallop_cloud import errors

MOST = 20
"""Wrong credentials from one address within ``WITHIN_S``, after which the next ones are told to wait."""
WITHIN_S = 60.0
KEPT = 10_000
"""Addresses that are remembered; the one that was quiet for longest is forgotten first."""
_NETWORK_BITS = 64

log = structlog.get_logger()


class Guesses:
    """Who gave wrong credentials lately, and how often.

    Who gives a right one is let in, whatever others do from the same address: a whole fleet may stand behind one. What
    keeps guesses from succeeding is that every credential has at least 190 random bits; this is so that guessing is
    seen, and that who guesses is told to stop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: collections.OrderedDict[str, collections.deque[float]] = collections.OrderedDict()

    def wrong(self, address: str, problem: errors.Problem) -> errors.Problem:
        """Counts a wrong credential; gives what to answer: ``problem``, or 429 ``too_many_failures``."""
        origin = _origin(address)
        now = time.monotonic()
        with self._lock:
            times = self._at.setdefault(origin, collections.deque(maxlen=MOST))
            self._at.move_to_end(origin)
            if len(self._at) > KEPT:
                self._at.popitem(last=False)
            if len(times) == MOST and times[0] > now - WITHIN_S:
                times.append(now)
                words = "too many wrong credentials came from this address; wait a minute"
                return errors.Problem(429, "too_many_failures", words)
            times.append(now)
            if len(times) == MOST and times[0] > now - WITHIN_S:
                log.warning("many wrong credentials come from one address", address=origin, within_s=WITHIN_S)
        return problem


def _origin(address: str) -> str:
    """Who has an IPv6 address has all of its network: they count as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> _NETWORK_BITS << _NETWORK_BITS, _NETWORK_BITS)))
