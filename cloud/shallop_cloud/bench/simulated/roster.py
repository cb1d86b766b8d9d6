"""Who the simulated robots are, and whom they listen to: one JSON file, the argument of their process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pydantic
from shallop_protocol import dsse, ids, keys
from shallop_protocol import errors as protocol_errors
from shallop_protocol.topics import DEFAULT_ROOT, Topics

from shallop_cloud import files

Connections = Literal["shared", "own"]
"""How they connect.

``shared``: a few connections under the cloud's account, which may speak for any robot. The broker must let an account
have several client ids; mosquitto does not with ``use_username_as_clientid``. ``own``: one for each robot, by its own
account and with its own last will, as real ones have.
"""


class RosterError(ValueError):
    """A roster that cannot be used. The message says where, what, and what was expected."""


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """The broker, and the account of shared connections; without those, both texts may be empty."""

    url: str
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    topic_root: str = DEFAULT_ROOT
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Seat:
    """One robot.

    Attributes:
        id: the device's id, as people see it.
        password: of its own account; only needed with connections of their own.
        rejects: a text; a deployment with a file that contains it can never work on this robot.
    """

    id: str
    name: str
    password: str | None = dataclasses.field(default=None, repr=False)
    rejects: str | None = None

    @property
    def wire_id(self) -> str:
        """The device's id on the wire, which is its MQTT user too."""
        return ids.on_wire(self.id)


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """By whose word they go, as enrolment told it: the roots, in base64, and the first key list as it travels."""

    roots: tuple[str, ...]
    threshold: int
    key_list: str

    def open(self) -> tuple[keys.Roots, keys.KeyList]:
        """The roots, and the list that they signed.

        Raises:
            ValueError: it is not what the cloud says to an enrolment.
        """
        roots = keys.Roots(tuple(dsse.PublicKey.from_text(text) for text in self.roots), self.threshold)
        return roots, keys.open_key_list(self.key_list.encode(), roots)


@dataclasses.dataclass(frozen=True, slots=True)
class Roster:
    """All robots of one process."""

    broker: Broker
    trust: Trust
    robots: tuple[Seat, ...]
    connections: Connections = "shared"

    @property
    def topics(self) -> Topics:
        """The topics that they use."""
        return Topics(self.broker.topic_root)

    @classmethod
    def read(cls, path: Path) -> Roster:
        """The roster in a file.

        Raises:
            RosterError: it cannot be read, or is none.
        """
        try:
            roster = _ROSTER.validate_json(path.read_bytes())
            roster._check()
        except OSError as error:
            raise RosterError(f"{path}: {error.strerror}") from error
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = "/".join(str(part) for part in first["loc"])
            raise RosterError(f"{path}: /{place}: {first['msg']}") from None
        except (protocol_errors.ProtocolError, ValueError) as error:
            raise RosterError(f"{path}: {error}") from None
        return roster

    def write(self, path: Path) -> None:
        """Puts it into a file that its owner alone can read: it has passwords."""
        files.write(path, _ROSTER.dump_json(self))

    def split(self, parts: int) -> list[Roster]:
        """The same robots for that many processes, as evenly as can be; none without a robot."""
        shares = [self.robots[part::parts] for part in range(parts)]
        return [dataclasses.replace(self, robots=share) for share in shares if share]

    def _check(self) -> None:
        """What the fields alone do not say."""
        names = [seat.name for seat in self.robots]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"robot {twice!r} stands there twice")
        self.trust.open()
        Topics(self.broker.topic_root)
        if self.connections == "own" and any(seat.password is None for seat in self.robots):
            raise ValueError("a robot without a password cannot have a connection of its own: use shared connections")


_ROSTER = pydantic.TypeAdapter(Roster)
