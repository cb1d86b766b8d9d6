"""A fleet in a test: what the fixture ``fleet`` gives."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.fleet import ashore, bench, example
from shallop_cloud.bench.fleet.errors import ApiError, BenchError, NotConverged
from shallop_cloud.link.connection import BrokerUrl

__all__ = ["ApiError", "BenchError", "Fleet", "FleetRobot", "NotConverged", "StartFleet", "running"]

SEED = 1
"""Who is chosen by lot is the same in each run."""


class StartFleet(Protocol):
    """What the fixture is."""

    def __call__(
        self, robots: int = 3, *, simulated: bool = True, release: Path | None = None, broker: str | None = None
    ) -> Fleet:
        """A fleet that runs until the end of the test.

        Args:
            simulated: thousands in one process, without files; otherwise a real agent each.
            release: a release manifest; without one, the example robot's.
            broker: another's broker, as ``mqtt://user:password@host:port``.

        Raises:
            BenchError: it cannot be started.
        """
        ...


class FleetRobot:
    """One robot of a fleet."""

    def __init__(self, name: str, running: bench.Bench) -> None:
        self.name = name
        self._bench = running

    def fault(self, words: str) -> None:
        """Lets something happen to it: ``"power-cut 1s"``."""
        self._bench.fault([self.name], Fault.parse(words.split()))

    def files(self) -> dict[str, bytes]:
        """What its software reads now: bytes by relative path. Only real agents have files."""
        return self._bench.crew.files(self.name)

    def known(self) -> dict[str, Any]:
        """What the cloud knows of it, as the API has it."""
        with self._bench.api() as api:
            return api.get(f"/v1/devices/{self.name}")


class Fleet:
    """A running fleet.

    Attributes:
        robots: by name, ``amr-1`` and so on.
        broker: can be killed, wiped and restarted.
        cloud: can be killed, restarted, backed up, and put back to its backup.
        release: the version of the release that was made.
    """

    def __init__(self, running: bench.Bench, rng: random.Random) -> None:
        self._bench = running
        self._rng = rng
        self.robots: Mapping[str, FleetRobot] = {name: FleetRobot(name, running) for name in running.plan.names}
        self.broker: ashore.Broker = running.broker
        self.cloud: ashore.Cloud = running.cloud
        self.release = running.release

    @property
    def url(self) -> str:
        """The cloud's address."""
        return self._bench.url

    @property
    def token(self) -> str:
        """The administrator's token."""
        return self._bench.token

    def deploy(self, configs: Mapping[str, Path], robots: Sequence[str] | None = None) -> dict[str, str]:
        """Orders these files, by config type, for some robots or for all. Gives deployment by robot.

        Raises:
            ApiError: they are refused; its text has a line for each thing that is wrong.
        """
        return self._bench.deploy(configs, robots)

    def fault(self, whom: str | float, words: str) -> list[str]:
        """Lets something happen to one robot, or to so many percent of them by lot. Gives whom it befell."""
        names = [whom] if isinstance(whom, str) else self._bench.some(whom, self._rng)
        self._bench.fault(names, Fault.parse(words.split()))
        return names

    def files(self, robot: str) -> dict[str, bytes]:
        """What a robot's software reads now: bytes by relative path. Only real agents have files."""
        return self.robots[robot].files()

    def await_converged(self, within: float = 30.0) -> None:
        """Waits until every robot is online and has what the cloud wants it to have, and the cloud knows it.

        Raises:
            NotConverged: not within so many seconds; its text says who is where.
        """
        self._bench.await_converged(within)


@contextlib.contextmanager
def running(
    directory: Path, robots: int, simulated: bool, release: Path | None, broker: str | None
) -> Generator[Fleet]:
    """Runs a fleet while the block lasts; what it says goes to stdout, which pytest shows if the test fails.

    Raises:
        BenchError: it cannot be started.
        errors.StartupError: ``broker`` is no broker's address.
    """
    rng = random.Random(SEED)  # noqa: S311  no secret comes of it
    plan = bench.Plan(
        directory=directory,
        robots=robots,
        simulated=simulated,
        release=release or example.RELEASE,
        broker=BrokerUrl.parse(broker) if broker else None,
    )
    with bench.running(plan, print, rng) as running:
        yield Fleet(running, rng)
