"""What takes long and is done outside of the agent's thread: hooks that run, contents that are fetched.

One errand at a time. Its end comes back through the inbox as ``inbox.Ended``, by the errand's number; what comes of
an errand that was called off is passed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol

from shallop_protocol.desired import Instance
from shallop_protocol.messages import Reason

from shallop_device import errors

HookName = Literal["check", "applied", "health"]


@dataclasses.dataclass(frozen=True, slots=True)
class RunHook:
    """Run a hook of the robot's owner.

    Attributes:
        document: JSON for its standard input.
    """

    number: int
    hook: HookName
    document: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class FetchContents:
    """Get contents by their digests, one after another."""

    number: int
    instances: Sequence[Instance]


Errand = RunHook | FetchContents


class Errands(Protocol):
    """Who does them."""

    def begin(self, errand: Errand) -> None:
        """Begins; returns at once. Its end comes as ``inbox.Ended``, also if it turns out that it cannot be done.

        Raises:
            errors.HeldUp: there is nobody to do it.
        """
        ...

    def call_off(self) -> None:
        """Ends the errand that is under way, if there is one; a hook's process and its children are killed."""
        ...


class Nobody:
    """A robot without hooks, whose orders bring all their contents with them."""

    def begin(self, errand: Errand) -> None:  # noqa: ARG002  as the port has it
        """Raises errors.HeldUp."""
        raise errors.HeldUp(Reason.of("not_set_up", "this agent was not set up to run hooks or to fetch contents"))

    def call_off(self) -> None:
        """There is none."""


NOBODY = Nobody()
