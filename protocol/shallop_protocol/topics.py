"""Where each kind of message travels, and who may send or hear it.

A device's topics are ``{root}/{device}/{kind}``; what the cloud says to all is below ``{root}/cloud``.
The layout keeps within what the strictest brokers accept: at most 6 slashes and 200 bytes, each segment
``[A-Za-z0-9_-]``. The words ``cloud`` and ``monitor`` are reserved: no device may be called that.

The access rules are here too, as one function, because the bench broker, the generated configuration of
other brokers and the tests of the rules must not each keep a list of their own.
"""

from __future__ import annotations

import dataclasses
import enum
import re

DEFAULT_ROOT = "shallop/v1"
CLOUD = "cloud"
"""The MQTT user of the cloud's link, and the first segment of its broadcast."""
MONITOR = "monitor"
"""The MQTT user of people and dashboards that watch the fleet: it hears, and publishes nothing."""

MAX_TOPIC_BYTES = 200
MAX_SLASHES = 6

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")
_DEVICE = re.compile(r"[a-z0-9-]{1,64}\Z")


class Kind(str, enum.Enum):
    """What a message says. The value is the last segment of its topic."""

    DESIRED = "desired"
    REPORT = "report"
    PRESENCE = "presence"
    EVENT = "event"
    HELLO = "hello"
    ECHO = "echo"
    KEYS = "keys"


RETAINED = frozenset({Kind.DESIRED, Kind.REPORT, Kind.PRESENCE, Kind.KEYS})
"""The kinds whose newest message the broker keeps."""

TO_DEVICE = frozenset({Kind.DESIRED, Kind.ECHO})
"""The kinds that the cloud publishes for one device."""

FROM_DEVICE = frozenset({Kind.REPORT, Kind.PRESENCE, Kind.EVENT})
"""The kinds that a device publishes and the cloud hears."""

TO_ALL = frozenset({Kind.HELLO, Kind.KEYS})
"""The kinds that the cloud publishes once, for every device."""


class Access(str, enum.Enum):
    """What a client wants to do with a topic or topic filter."""

    PUBLISH = "publish"
    """Send to a topic; a last will counts as this."""
    SUBSCRIBE = "subscribe"
    """Subscribe to a filter, wildcards included."""
    RECEIVE = "receive"
    """Have a message of this topic delivered, retained or live."""


class TopicError(ValueError):
    """A root or device id that cannot be part of a topic."""


@dataclasses.dataclass(frozen=True, slots=True)
class Topics:
    """The topics below one root.

    Raises:
        TopicError: the root has a segment outside ``[A-Za-z0-9_-]``, or is so long or deep that a device's
            topic would pass 6 slashes or 200 bytes.
    """

    root: str = DEFAULT_ROOT

    def __post_init__(self) -> None:
        segments = self.root.split("/")
        if not all(_SEGMENT.match(segment) for segment in segments):
            raise TopicError(f"topic root {self.root!r}: each segment must be letters, digits, '_' or '-'")
        if len(segments) + 1 > MAX_SLASHES or len(self.root) + 1 + 64 + 1 + 8 > MAX_TOPIC_BYTES:
            raise TopicError(f"topic root {self.root!r} is too long: at most {MAX_SLASHES - 1} segments, 126 bytes")

    @property
    def hello(self) -> str:
        """The cloud's broadcast: tell me again."""
        return f"{self.root}/{CLOUD}/{Kind.HELLO.value}"

    @property
    def keys(self) -> str:
        """The cloud's broadcast of whose orders count."""
        return f"{self.root}/{CLOUD}/{Kind.KEYS.value}"

    def of(self, device: str, kind: Kind) -> str:
        """The topic of one device's messages of one kind.

        Raises:
            TopicError: ``device`` is not ``[a-z0-9-]{1,64}``, or is one of the reserved words.
        """
        if not is_wire_id(device):
            raise TopicError(f"device id {device!r} on the wire must be 1 to 64 of a-z, 0-9, '-', and not reserved")
        return f"{self.root}/{device}/{kind.value}"

    def every(self, kind: Kind) -> str:
        """The filter that hears one kind of every device."""
        return f"{self.root}/+/{kind.value}"

    def parse(self, topic: str) -> tuple[str, Kind] | None:
        """Device and kind of a topic, or None for one that is not a device's."""
        head, _, last = topic.rpartition("/")
        root, _, device = head.rpartition("/")
        if root != self.root or not is_wire_id(device):
            return None
        if last not in _DEVICE_KINDS:
            return None
        return device, Kind(last)

    def allows(self, user: str, access: Access, topic: str) -> bool:
        """Whether an authenticated user may do this with a topic or filter.

        The cloud's user may do everything below the root. The monitor may hear every device's report, presence
        and event, one by one or by ``{root}/+/{kind}``, and publish nothing. A device may publish its own report,
        presence and event, and subscribe to and receive its own desired state and echo and the cloud's broadcasts, each
        by its exact name: a filter with a wildcard is refused even where every topic that it matches would be allowed.
        """
        if user == CLOUD:
            return topic.startswith(f"{self.root}/") and (access is not Access.PUBLISH or not _has_wildcard(topic))
        if user == MONITOR:
            heard = self.parse(topic.replace("/+/", "/any/", 1))
            return access is not Access.PUBLISH and heard is not None and heard[1] in FROM_DEVICE
        if access is Access.PUBLISH:
            return self.parse(topic) in {(user, kind) for kind in FROM_DEVICE}
        return topic in (self.hello, self.keys) or self.parse(topic) in {(user, kind) for kind in TO_DEVICE}


def is_wire_id(text: str) -> bool:
    """Whether a text may stand in a device's place of a topic."""
    return _DEVICE.match(text) is not None and text not in (CLOUD, MONITOR)


_DEVICE_KINDS = frozenset(kind.value for kind in FROM_DEVICE | TO_DEVICE)


def _has_wildcard(topic: str) -> bool:
    return "+" in topic or "#" in topic
