"""Names for things: a prefix that says what it is, and 16 random Crockford base32 characters.

``DPL-7K3QF0H2M9XW4RTC`` is a deployment. People may type the shortest unique prefix of an id, as with git, and
may type it in lower case or with the letters that Crockford's alphabet leaves out (``o`` for 0, ``i`` and ``l``
for 1). Source of the alphabet: Douglas Crockford, *Base 32*, https://www.crockford.com/base32.html.
"""

from __future__ import annotations

import base64
import enum
import re

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 16
RANDOM_BYTES = 10
"""80 bits: with a million ids of one kind, the chance of any clash is below 1 in a trillion."""
MIN_PREFIX = 5

_LOOKALIKES = str.maketrans("OIL", "011")


class Prefix(str, enum.Enum):
    """What an id names."""

    DEVICE = "DEV"
    RELEASE = "REL"
    SCHEMA = "SCH"
    INSTANCE = "CFG"
    DEPLOYMENT = "DPL"
    TOKEN = "TOK"  # noqa: S105


_ID = re.compile(rf"(?:{'|'.join(prefix.value for prefix in Prefix)})-[{ALPHABET}]{{{LENGTH}}}\Z")
DEPLOYMENT_PATTERN = rf"^DPL-[{ALPHABET}]{{{LENGTH}}}$"
INSTANCE_PATTERN = rf"^CFG-[{ALPHABET}]{{{LENGTH}}}$"


_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode())
"""From the alphabet of RFC 4648, section 6, to ours: both write 5 bits a character, the highest first."""


class IdError(ValueError):
    """A text that is neither an id nor a prefix of one."""


def make(prefix: Prefix, random: bytes) -> str:
    """An id from 10 random bytes.

    Raises:
        ValueError: ``random`` is not exactly 10 bytes.
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, not {len(random)}")
    return f"{prefix.value}-{base64.b32encode(random).translate(_TO_CROCKFORD).decode()}"


def is_id(text: str) -> bool:
    """Whether a text is a whole id as this module writes it."""
    return _ID.match(text) is not None


def normalize(text: str, prefix: Prefix) -> str:
    """What a person typed, as an id or the beginning of one: ``dpl-7k3qf`` becomes ``DPL-7K3QF``.

    Raises:
        IdError: another prefix, fewer than 5 characters after it, more than 16, or a character that no id has.
    """
    head, dash, digits = text.strip().upper().partition("-")
    if head != prefix.value or not dash:
        raise IdError(f"{text!r} is not an id: expected {prefix.value}- and at least {MIN_PREFIX} characters")
    digits = digits.translate(_LOOKALIKES)
    if not MIN_PREFIX <= len(digits) <= LENGTH:
        raise IdError(f"{text!r}: give {MIN_PREFIX} to {LENGTH} characters after {prefix.value}-")
    if not all(digit in ALPHABET for digit in digits):
        raise IdError(f"{text!r} has a character that no id has: ids use 0-9 and A-Z without I, L, O, U")
    return f"{prefix.value}-{digits}"


def on_wire(device: str) -> str:
    """A device id as it stands in topics, messages and the MQTT client id: lower case."""
    return device.lower()


def from_wire(device: str) -> str:
    """The device id that a topic's segment means."""
    return device.upper()
