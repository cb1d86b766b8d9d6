"""What every service works with."""

from __future__ import annotations

import dataclasses
import datetime
import secrets
from collections.abc import Callable

from shallop_protocol import ids
from shallop_protocol.topics import Topics

from shallop_cloud import authorities, credentials
from shallop_cloud.keyring import Keyring
from shallop_cloud.link.connection import Protocol
from shallop_cloud.store.database import Database


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What is taken. Sizes in bytes.

    Attributes:
        config: of one config file that a schema judges, or that has a structure.
        content: of one file of any bytes, under an opaque schema.
        envelope: of a signed desired state, as the broker is to carry it.
        token_lifetime: how long an enrolment token can be used.
    """

    config: int = 1_048_576
    content: int = 268_435_456
    envelope: int = 120_000
    token_lifetime: datetime.timedelta = datetime.timedelta(days=7)


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where devices find the broker, as enrolment tells them.

    Attributes:
        ca: authorities in PEM that its certificate may be signed by; None for those that the robot's system knows.
    """

    url: str
    protocol: Protocol = "3.1.1"
    ca: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Shore:
    """The cloud's side of the water: its store, its keys, and what it was told to be.

    Attributes:
        ordered: called after a commit that changed what a device shall run, so that the link publishes it.
    """

    database: Database
    keyring: Keyring
    credentials: credentials.Credentials
    broker: BrokerAddress
    topics: Topics
    ordered: Callable[[], None]
    limits: Limits = dataclasses.field(default_factory=Limits)
    authority: authorities.Authority = authorities.NOBODY

    def now(self) -> datetime.datetime:
        """The time, in UTC."""
        return datetime.datetime.now(datetime.UTC)

    def new_id(self, prefix: ids.Prefix) -> str:
        """An id that was never used."""
        return self.new_ids(prefix, 1)[0]

    def new_ids(self, prefix: ids.Prefix, count: int) -> list[str]:
        """As many of them; the system is asked once for all their randomness."""
        size = ids.RANDOM_BYTES
        random = secrets.token_bytes(count * size)
        return [ids.make(prefix, random[start : start + size]) for start in range(0, len(random), size)]
