"""Trust as one object: bytes in, verified message or error out.

What a device goes by: the roots that it pinned, the newest key list that they signed, and the order below which it
obeys none. Nothing of a message is looked at before its signatures were.
"""

from __future__ import annotations

import dataclasses

from shallop_protocol import desired, echo, errors, keys


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """One device's.

    Attributes:
        device: its id on the wire.
        roots: who signs key lists; pinned at enrolment, for ever.
        listed: the newest key list.
        floor: epoch and generation of the newest order when the device was enrolled. A device that lost its memory
            knows by this what it once had.
    """

    device: str
    roots: keys.Roots
    listed: keys.KeyList
    floor: tuple[int, int] = (0, 0)

    def renewed(self, data: bytes) -> Trust:
        """With the key list that an envelope holds; itself if that says nothing new.

        Raises:
            errors.BadSignature: too few of the roots signed it.
            errors.Outdated, errors.Conflicting: it does not succeed the one that is known.
            errors.ProtocolError: anything else that ``keys.open_key_list`` says.
        """
        listed = keys.open_key_list(data, self.roots)
        keys.check_successor(self.listed, listed)
        return self if listed == self.listed else dataclasses.replace(self, listed=listed)

    def order(self, data: bytes) -> desired.Desired:
        """The order that an envelope holds.

        Raises:
            errors.WrongEpoch: signed, for another epoch than that of the key list.
            errors.Outdated: signed, and older than what the device once had.
            errors.ProtocolError: anything else that ``desired.open_desired`` says.
        """
        order = desired.open_desired(data, self.listed.active, self.device)
        if order.epoch != self.listed.epoch:
            words = f"the order is of epoch {order.epoch}, key list {self.listed.version} has epoch {self.listed.epoch}"
            raise errors.WrongEpoch(words)
        if (order.epoch, order.generation) < self.floor:
            epoch, generation = self.floor
            words = f"order {order.epoch}/{order.generation} is older than {epoch}/{generation}"
            raise errors.Outdated(f"{words}, which this device had when it was enrolled")
        return order

    def echo(self, data: bytes) -> echo.Echo:
        """The echo that an envelope holds; raises what ``echo.open_echo`` does."""
        return echo.open_echo(data, self.listed.active, self.device)
