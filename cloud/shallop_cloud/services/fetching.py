"""What robots fetch by themselves: contents that were too large to travel with their orders."""

from __future__ import annotations

import collections
import threading
import time

from shallop_protocol import ids

from shallop_cloud import errors, passwords
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents, deployments, devices
from shallop_cloud.store.contents import Content

FAILURES = 20
"""Wrong passwords for one device from one address, within ``WITHIN_S``, after which no more are looked at."""
WITHIN_S = 60.0
KEPT = 10_000
_NOBODY = passwords.hash_password("of a device that does not exist")


class Failures:
    """Who gave wrong passwords lately, and how many. Who gives the right one is not held up by what others do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: collections.OrderedDict[tuple[str, str], collections.deque[float]] = collections.OrderedDict()

    def check(self, address: str, username: str) -> None:
        """Passes unless there were too many.

        Raises:
            errors.Problem: 429 ``too_many_failures``.
        """
        with self._lock:
            recent = self._at.get((address, username), ())
            if len(recent) == FAILURES and recent[0] > time.monotonic() - WITHIN_S:
                words = "too many wrong passwords came from this address; wait a minute"
                raise errors.Problem(429, "too_many_failures", words)

    def note(self, address: str, username: str) -> None:
        """There was one."""
        with self._lock:
            recent = self._at.setdefault((address, username), collections.deque(maxlen=FAILURES))
            recent.append(time.monotonic())
            self._at.move_to_end((address, username))
            if len(self._at) > KEPT:
                self._at.popitem(last=False)


def device(shore: Shore, failures: Failures, address: str, username: str, password: str) -> str:
    """The id of the device whose credential this is: its id on the wire, and its MQTT password.

    It takes as long for a device that does not exist, and says the same.

    Raises:
        errors.Problem: 401 ``device_unknown`` if it is none, or that of an archived device; 429 ``too_many_failures``.
    """
    failures.check(address, username)
    key = ids.from_wire(username)
    is_one = ids.is_id(key) and ids.on_wire(key) == username
    with shore.database.read() as connection:
        row = devices.find_many(connection, [key] if is_one else []).get(key)
    hashed = row["mqtt_password"] if row is not None else None
    is_right = passwords.verify_password(password, hashed or _NOBODY)
    if row is None or hashed is None or not is_right or row["archived_at"] is not None:
        failures.note(address, username)
        words = "a device gives its id as its MQTT client has it, and its MQTT password (HTTP Basic)"
        raise errors.Problem(401, "device_unknown", f"this credential is not accepted; {words}")
    return key


def content(shore: Shore, device: str, digest: str) -> Content:
    """A content that belongs to a deployment which the device shall have.

    Raises:
        errors.NotFound: it does not, or there is none.
    """
    with shore.database.read() as connection:
        found = contents.find(connection, [digest])
        if digest not in found or not deployments.is_wanted(connection, device, digest):
            raise errors.NotFound("content", digest[:100], "only what is ordered for this device is given to it")
    return found[digest]
