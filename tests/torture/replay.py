"""What is recorded of a device, replayed: groups of changes that were made at once, and what is wanted after each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torture.history import Line


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Changes of one device that were recorded at once."""

    entries: Sequence[Mapping[str, Any]]

    @property
    def retires(self) -> bool:
        """Whether they belong to a device's being archived."""
        return any(each["retired"] for each in self.entries)

    @property
    def made(self) -> list[str]:
        return [each["deployment"] for each in self.entries if each["before"] is None]

    @property
    def ordered(self) -> list[str]:
        return self._moved("target", "staged", "deployed")

    @property
    def archived(self) -> list[str]:
        return [*self._moved("target", "deployed", "archived"), *self._moved("target", "staged", "archived")]

    @property
    def restaged(self) -> list[str]:
        return self._moved("activity", "drifted", "staged")

    def _moved(self, which: str, old: str, new: str) -> list[str]:
        changes = [each for each in self.entries if each["before"] is not None]
        return [each["deployment"] for each in changes if (each["before"][which], each["after"][which]) == (old, new)]


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What is wanted of a device as far as the record was replayed."""

    current: str | None = None
    wanted: frozenset[str] = frozenset()
    confirmed: frozenset[str] = frozenset()

    def after(self, group: Group) -> State:
        """What is wanted once these changes are recorded."""
        wanted = self.wanted | set(group.ordered)
        wanted -= set(group.archived)
        confirmed = self.confirmed | {
            each["deployment"] for each in group.entries if each["after"]["activity"] == "deployed"
        }
        current = group.ordered[0] if group.ordered else self.current
        if current not in wanted:
            current = next(iter(wanted & confirmed), None)
        return State(current, frozenset(wanted), frozenset(confirmed))


def groups(final: Line) -> list[Group]:
    grouped = itertools.groupby(final["entries"], key=lambda each: (each["at"], each["actor"]))
    return [Group(list(entries)) for _, entries in grouped]
