"""What can be wrong with bytes from outside. Every error says what was wrong and, where there is one, the place."""

from __future__ import annotations


class ProtocolError(ValueError):
    """Bytes that are not a message of this protocol. ``code`` is stable and short; the text is for people."""

    code = "malformed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class TooLarge(ProtocolError):
    """More bytes, or deeper nesting, than a message of its kind may have."""

    code = "too_large"


class Malformed(ProtocolError):
    """Not JSON, not an envelope, or not the fields that this kind of message has."""

    code = "malformed"


class Unsupported(ProtocolError):
    """A version or payload type that this software does not know. Never answered by guessing."""

    code = "unsupported"


class BadSignature(ProtocolError):
    """No signature by a key that is trusted."""

    code = "bad_signature"


class WrongDevice(ProtocolError):
    """A message for, or from, another device than its topic says."""

    code = "wrong_device"


class Outdated(ProtocolError):
    """Signed by those who may, and older than what is known already."""

    code = "outdated"


class WrongEpoch(ProtocolError):
    """Signed by those who may, for another epoch than the key list says is now. The list may be on its way."""

    code = "wrong_epoch"


class Conflicting(ProtocolError):
    """Signed by those who may, and another one of the same number is known."""

    code = "conflicting"
