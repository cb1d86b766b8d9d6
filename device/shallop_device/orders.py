"""What a message from the topic of desired state is: a new order, one that is known, or one that is refused."""

from __future__ import annotations

import datetime
import logging

from shallop_protocol import desired, device
from shallop_protocol import errors as protocol_errors
from shallop_protocol.messages import Reason

from shallop_device import identity

MAX_DEATHS = 3
"""So often the agent may die of one message; then it refuses it unread."""

logger = logging.getLogger(__name__)


def judge(memory: device.Memory, data: bytes, who: identity.Identity, now: datetime.datetime) -> device.Received:
    """What becomes of a message. A defect of ours that one message brings out is a refusal, and stops no other one."""
    try:
        order = desired.open_desired(data, who.keys, who.wire_id)
        received = device.receive(memory, order, now)
    except protocol_errors.ProtocolError as error:
        received = device.refuse_error(memory, error)
    except Exception as error:
        logger.exception("a desired state brought out a defect of the agent")
        words = f"the agent could not read this: {type(error).__name__}; report this as a defect of shallopd"
        received = device.refuse(memory, Reason.of("internal_error", words))
    refused = received.memory.refused
    if received.outcome == "refused" and refused and refused != memory.refused:
        logger.warning("refused a desired state: %s: %s", refused.code, refused.message)
    return received


def quarantine(memory: device.Memory, digest: str, deaths: int) -> device.Received:
    """Refuses a message unread, of which the agent died too often."""
    words = f"the agent died {deaths} times of the message with SHA-256 {digest}; it is not looked at again"
    logger.error(words)
    return device.refuse(memory, Reason.of("quarantined", words))
