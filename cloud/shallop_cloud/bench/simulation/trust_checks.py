"""What must be true of whom a robot believes, by the number among the invariants; held after each step.

As in ``checks``, nothing here asks the code under test which of two things is newer: that is read from the bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NoReturn

from shallop_protocol import errors, keys, trust

from shallop_cloud.bench.simulation.violation import Violation


class TrustChecks:
    """What must be true of one robot's trust.

    Attributes:
        listed: the newest key list that it durably took.
    """

    def __init__(self, name: str, pinned: trust.Trust) -> None:
        self._name = name
        self.enrolled(pinned)

    def enrolled(self, pinned: trust.Trust) -> None:
        """It knows no more than this."""
        self.listed = pinned.listed
        self._floor = pinned.floor
        self._doubted: bytes | None = None

    def booted(self, listed: keys.KeyList) -> None:
        """S31: the newest list that was taken is still known."""
        self._doubted = None
        if listed.version < self.listed.version:
            self._fail("S31", f"key list {self.listed.version} was taken, and it starts with {listed.version}")

    def remembered(self, key_list: bytes | None, envelope: bytes | None) -> None:
        """S31, S32, S33: a key list, or an order, is durable."""
        if key_list is not None:
            listed = keys.KeyList.model_validate(_payload(key_list))
            if (listed.version, listed.epoch) < (self.listed.version, self.listed.epoch):
                self._fail("S31", f"key list {listed.version} is taken after {self.listed.version}")
            self.listed = listed
        if envelope is not None:
            self._check_order(envelope)

    def heard(self, envelope: bytes) -> None:
        """Something came as the desired state. Whatever else comes, the newest is what the broker keeps."""
        self._doubted = envelope

    def rests(self, believed: Callable[[], trust.Trust], position: tuple[int, int]) -> None:
        """L7: it has nothing to do, so what it heard last is not an order that counts, and that it did not take."""
        envelope, self._doubted = self._doubted, None
        if envelope is None:
            return
        try:
            order = believed().order(envelope)
        except errors.ProtocolError:
            return
        if (order.epoch, order.generation) > position:
            self._fail("L7", f"order {order.generation} counts by key list {self.listed.version}, and is not obeyed")

    def _check_order(self, envelope: bytes) -> None:
        signed_by = [signature["keyid"] for signature in json.loads(envelope)["signatures"]]
        if not self.listed.active.keys() & set(signed_by):
            self._fail("S32", f"an order by {signed_by} is taken, which key list {self.listed.version} does not trust")
        order = _payload(envelope)
        if order["epoch"] != self.listed.epoch:
            self._fail("S32", f"an order of epoch {order['epoch']} is taken, now is epoch {self.listed.epoch}")
        if (order["epoch"], order["generation"]) < self._floor:
            self._fail("S33", f"order {order['generation']} is taken, older than {self._floor} at the enrolment")

    def _fail(self, invariant: str, words: str) -> NoReturn:
        raise Violation(invariant, f"{self._name}: {words}")


def _payload(envelope: bytes) -> dict[str, Any]:
    """What an envelope holds. Envelopes here are small, so none is compressed."""
    return json.loads(base64.b64decode(json.loads(envelope)["payload"]))
