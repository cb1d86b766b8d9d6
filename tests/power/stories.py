"""What happens to a robot while its power may go: each story begins at rest, and is a few orders long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from power import robot
from power.cloud import Cloud


@dataclasses.dataclass(frozen=True, slots=True)
class Damage:
    """While the robot is off, a file of a deployment changes."""

    deployment: str


@dataclasses.dataclass(frozen=True, slots=True)
class Wipe:
    """While the robot is off, it gets a new disk."""


Tale = Iterator[bytes | Damage | Wipe]
"""Orders, each to be heard and carried out before the next, and what happens while the robot is off."""
Story = Callable[[Cloud], Tale]


def first(ashore: Cloud) -> Tale:
    """A deployment for a robot that has none."""
    yield ashore.order(ashore.make())


def replace(ashore: Cloud) -> Tale:
    """A deployment beside another, and once it is confirmed, instead of it."""
    new = ashore.make()
    yield ashore.order(new, fallback=in_force(ashore))
    yield ashore.order(new)


def remove(ashore: Cloud) -> Tale:
    """The order to take everything off."""
    yield ashore.order(None)


def fail(ashore: Cloud) -> Tale:
    """A deployment that the robot refuses; then the cloud orders again what never left."""
    old = in_force(ashore)
    yield ashore.order(ashore.make_bad(), fallback=old)
    yield ashore.order(ashore.manifests[old])


def refuse(ashore: Cloud) -> Tale:
    """A deployment that the hook ``check`` refuses."""
    old = in_force(ashore)
    yield ashore.order(ashore.make_bad(robot.REFUSED), fallback=old)
    yield ashore.order(ashore.manifests[old])


def fall_ill(ashore: Cloud) -> Tale:
    """A deployment that comes into sight and does not pass its health window; the robot returns to the fallback."""
    old = in_force(ashore)
    yield ashore.order(ashore.make_bad(robot.UNWELL), fallback=old)
    yield ashore.order(ashore.manifests[old])


def again(ashore: Cloud) -> Tale:
    """A deployment that was taken off comes back under its old id, as from a cloud restored from a backup."""
    old, new = in_force(ashore), ashore.make()
    yield ashore.order(new)
    yield ashore.order(ashore.manifests[old], fallback=new.id)
    yield ashore.order(ashore.manifests[old])


def come_back(ashore: Cloud) -> Tale:
    """What is in force is found damaged and cannot be written again: the robot returns to the fallback."""
    old, new = in_force(ashore), ashore.make()
    yield ashore.order(new, fallback=old)
    yield ashore.order(ashore.spoil(new), fallback=old)
    yield Damage(new.id)
    yield ashore.order(ashore.manifests[old])


def heal(ashore: Cloud) -> Tale:
    """A file was damaged while the robot was off."""
    yield Damage(in_force(ashore))


def repeat(ashore: Cloud) -> Tale:
    """The newest order again, and an old one, which changes nothing."""
    yield ashore.sealed[-1]
    yield ashore.sealed[max(len(ashore.sealed) - 3, 0)]


def enrol(ashore: Cloud) -> Tale:
    """A robot with a new disk enrols and gets its first deployment."""
    yield Wipe()
    yield ashore.order(ashore.make())


def in_force(ashore: Cloud) -> str:
    """The deployment that the newest order brings into force."""
    current = ashore.after(len(ashore.orders)).current
    assert current is not None
    return current


FREE: tuple[Story, ...] = (first, replace, remove, fail, again, come_back, heal, repeat, enrol)
"""Stories of a robot without gates."""
GATED: tuple[Story, ...] = (*FREE, refuse, fall_ill)
"""Stories of a robot that has some."""
