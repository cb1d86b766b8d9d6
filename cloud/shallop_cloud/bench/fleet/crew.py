"""What the bench needs of its robots, whichever kind they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.fleet.api import Api


class Crew(Protocol):
    """All robots of a bench."""

    def join(self, api: Api, names: Sequence[str]) -> None:
        """Makes their devices, enrols them and starts them; returns before they are online.

        Raises:
            BenchError: they cannot.
        """
        ...

    def stop(self) -> None:
        """Ends them in good order."""
        ...

    def fault(self, names: Sequence[str], fault: Fault) -> list[str]:
        """Does this to these robots. Gives what is to be said about it, besides that it was done.

        Raises:
            Refused: this kind of robot cannot have that fault.
            BenchError: it was to be done and could not.
        """
        ...

    def watch(self) -> None:
        """Does what is due; called a few times a second."""
        ...

    def astray(self, wanted: Mapping[str, str | None]) -> dict[str, str]:
        """Which robots have another deployment in force than is wanted of them, by their own disks, and what it is."""
        ...

    def files(self, name: str) -> dict[str, bytes]:
        """What one robot's software reads now: bytes by relative path.

        Raises:
            Refused: this kind of robot keeps no files.
        """
        ...

    def status(self) -> dict[str, object]:
        """What is to be shown of them."""
        ...
