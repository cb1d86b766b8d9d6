"""What the configuration of every broker is made from: the access rule as lists, the limits, and one installation.

Brokers cannot call ``Topics.allows``, they want lists of patterns. These are found by asking it, so that a new kind of
message, or a right that is taken away, reaches every broker's configuration without a second list.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import pwd
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from shallop_protocol.topics import CLOUD, MONITOR, Access, Kind, Topics

PAYLOAD_BYTES = 1 << 20
"""The largest message that a broker need carry; `shallop serve` never asks for more."""
QUEUED_BYTES = 256 << 20
"""What may wait for one client that is slow, in bytes: the reports of 10,000 robots, for the cloud."""
QUEUED_MESSAGES = 100_000
KEEPALIVE_S = 120
"""No client may be silent for longer than one and a half of this, in seconds. Robots and cloud ask for 30 at most."""
CONNECTIONS_PER_USER = 8
"""Where a broker can count them: a robot has one, and a second one for the moment in which it replaces the first."""

_DEVICE, _OTHER = "a-device", "b-device"


class Role(enum.Enum):
    """Whom a right is for."""

    CLOUD = CLOUD
    MONITOR = MONITOR
    DEVICE = "device"


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """A role may publish to, or subscribe to and receive, what a filter selects.

    In ``filter`` of a device's right, ``{user}`` stands for its user name, which is its id.
    """

    role: Role
    access: Access
    filter: str

    def of(self, user: str) -> str:
        """The filter for one user, or with a broker's own placeholder for any."""
        return self.filter.replace("{user}", user)


def rights(topics: Topics) -> tuple[Right, ...]:
    """Everything that ``topics`` allows to anyone, by role. What is not in it is forbidden."""
    found: list[Right] = []
    for role in Role:
        for access in (Access.PUBLISH, Access.SUBSCRIBE):
            allowed = [each for each in _candidates(topics) if _is_allowed(topics, role, access, each)]
            widest = [each for each in allowed if not any(_covers(other, each) for other in allowed)]
            found += [Right(role, access, each.replace(f"/{_DEVICE}/", "/{user}/")) for each in widest]
    return tuple(found)


def _candidates(topics: Topics) -> Iterator[str]:
    yield f"{topics.root}/#"
    for place in (_DEVICE, "+", CLOUD):
        for kind in Kind:
            yield f"{topics.root}/{place}/{kind.value}"


def _is_allowed(topics: Topics, role: Role, access: Access, candidate: str) -> bool:
    user = _DEVICE if role is Role.DEVICE else role.value
    if access is Access.PUBLISH:  # a topic has no wildcard: ask for topics that the filter selects
        candidate = candidate.replace("+", _OTHER).replace("#", f"{_OTHER}/anything")
    return topics.allows(user, access, candidate)


def _covers(wide: str, narrow: str) -> bool:
    """Whether a filter selects all that another one does."""
    if wide == narrow:
        return False
    if wide.endswith("/#"):
        return narrow.startswith(wide.removesuffix("#"))
    head, plus, tail = wide.partition("+")
    return bool(plus) and narrow.startswith(head) and narrow.endswith(tail) and narrow.count("/") == wide.count("/")


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM.

    Attributes:
        certificate, key: the broker's own.
        authority: who signs the robots' certificates; None if robots show none, and have passwords.
        revoked: the authority's list of certificates that no longer count, if it keeps one.
    """

    certificate: Path
    key: Path
    authority: Path | None = None
    revoked: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One installation of a broker.

    Attributes:
        data: the data directory of ``shallop serve``.
        out: where the configuration goes.
        listen: host and port for robots; with ``tls`` they speak TLS there.
        inner: host and port without TLS, for the cloud and people on the broker's own machine; None for none.
        api: the URL of shallop's API as the broker reaches it.
        servers: how many servers the broker consists of.
    """

    data: Path
    out: Path
    topics: Topics
    listen: tuple[str, int]
    inner: tuple[str, int] | None = None
    tls: Tls | None = None
    api: str = "http://127.0.0.1:8080"
    servers: int = 1

    @property
    def mqtt(self) -> Path:
        """Where ``shallop serve`` keeps accounts."""
        return self.data / "mqtt"

    @property
    def owner(self) -> str:
        """The user who may read the accounts, whom the broker must run as."""
        place = next(each for each in (self.mqtt, self.data, *self.data.parents) if each.exists())
        number = place.stat().st_uid if place in (self.mqtt, self.data) else os.getuid()
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            return str(number)


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """The configuration of a broker.

    Attributes:
        files: by name below ``Plan.out``; each is for its owner alone.
        steps: what a person does next, one paragraph each.
    """

    files: Mapping[str, str]
    steps: tuple[str, ...]


class PlanError(ValueError):
    """A broker that cannot be had so. The message says why and what to do."""


def reload_script(program: str, pid_file: Path, renew: str = "") -> str:
    """A program that has a broker read its accounts again, after a command of its own. ``program`` is the broker's: a
    process id that was left behind by one that died may be another's by now.
    """
    lines = ["#!/bin/sh", "# Has the broker read its accounts again, after a robot enrolled or was revoked.", "set -e"]
    lines += [renew] if renew else []
    lines += [
        f"pid=$(cat {shlex.quote(str(pid_file))})",
        f'grep -qx {program} "/proc/$pid/comm" || {{ echo "{program} does not run" >&2; exit 1; }}',
        'kill -HUP "$pid"',
    ]
    return "\n".join(lines) + "\n"


def reload_command(plan: Plan) -> str:
    """How to run the program ``reload`` that is among the files."""
    return f"sh {shlex.quote(str(plan.out / 'reload'))}"


def spelt(address: tuple[str, int]) -> str:
    """``host:port``, an IPv6 host in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
