"""What comes from the cloud, held against what this device trusts: orders, and the list of the keys that sign them."""

from __future__ import annotations

import dataclasses
import datetime
import logging

from shallop_protocol import device
from shallop_protocol import errors as protocol_errors
from shallop_protocol.echo import Echo
from shallop_protocol.messages import Reason
from shallop_protocol.trust import Trust

MAX_DEATHS = 3
"""So often the agent may die of one message; then it refuses it unread."""
_CURED_BY_A_LIST = (protocol_errors.BadSignature, protocol_errors.WrongEpoch)
"""Why an order may be refused only because the key list that it needs has not come yet."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Renewal:
    """A new key list: what is trusted with it, and the signed bytes that are to be kept."""

    trust: Trust
    envelope: bytes


class Judge:
    """One device's. Remembers the last order that it refused and that a newer key list may make a good one."""

    def __init__(self, known: Trust) -> None:
        self._trust = known
        self._in_doubt: bytes | None = None
        self._told: set[str] = set()
        self._refusals = 0

    @property
    def trust(self) -> Trust:
        """What counts now."""
        return self._trust

    @property
    def refusals(self) -> int:
        """How many messages were no good, of whatever kind."""
        return self._refusals

    def judge(self, memory: device.Memory, data: bytes, now: datetime.datetime) -> device.Received:
        """What becomes of a desired state. A defect of ours that one message brings out is a refusal, and stops no
        other one."""
        try:
            received = device.receive(memory, self._trust.order(data), now)
        except protocol_errors.ProtocolError as error:
            if isinstance(error, _CURED_BY_A_LIST):
                self._in_doubt = data
            received = device.refuse_error(memory, error)
        except Exception as error:
            logger.exception("a desired state brought out a defect of the agent")
            words = f"the agent could not read this: {type(error).__name__}; report this as a defect of shallopd"
            received = device.refuse(memory, Reason.of("internal_error", words))
        self._refusals += received.outcome == "refused"
        refused = received.memory.refused
        if received.outcome == "refused" and refused and refused != memory.refused:
            logger.warning("refused a desired state: %s: %s", refused.code, refused.message)
        return received

    def quarantine(self, memory: device.Memory, digest: str, deaths: int) -> device.Received:
        """Refuses a message unread, of which the agent died too often."""
        self._refusals += 1
        words = f"the agent died {deaths} times of the message with SHA-256 {digest}; it is not looked at again"
        logger.error(words)
        return device.refuse(memory, Reason.of("quarantined", words))

    def renewal(self, data: bytes) -> Renewal | Reason | None:
        """What becomes of a key list: it is to be kept, is refused, or None if it says nothing new. A reason that was
        given before is not given again until a list was taken."""
        try:
            renewed = self._trust.renewed(data)
        except protocol_errors.ProtocolError as error:
            reason = Reason.of(error.code, error.message)
        except Exception as error:
            logger.exception("a key list brought out a defect of the agent")
            reason = Reason.of("internal_error", f"the agent could not read it: {type(error).__name__}")
        else:
            return None if renewed is self._trust else Renewal(renewed, data)
        self._refusals += 1
        logger.warning("refused a key list: %s: %s", reason.code, reason.message)
        if reason.code in self._told:
            return None
        self._told.add(reason.code)
        return reason

    def echo(self, data: bytes) -> Echo | None:
        """The cloud's echo; None for what is none."""
        try:
            return self._trust.echo(data)
        except protocol_errors.ProtocolError as error:
            self._refusals += 1
            logger.warning("an echo that is none: %s", error.message)
            return None

    def adopt(self, renewal: Renewal) -> bytes | None:
        """Goes by a key list that is durable. The order that is to be judged again by it, if there is one."""
        self._trust = renewal.trust
        self._told.clear()
        again, self._in_doubt = self._in_doubt, None
        return again
