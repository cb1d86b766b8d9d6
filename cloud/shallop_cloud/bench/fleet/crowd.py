"""Robots of the bench that are simulated: thousands in one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shallop_cloud.bench import simulated
from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.fleet.api import Api
from shallop_cloud.bench.fleet.errors import BenchError, Refused
from shallop_cloud.bench.simulated.provision import ProvisionError
from shallop_cloud.bench.simulated.roster import Connections
from shallop_cloud.link.connection import BrokerUrl

ROSTER = "roster.json"


class Crowd:
    """The crew of simulated robots.

    Args:
        directory: where their roster, log and socket are put.
        account: gives the account that shared connections use, once there is one.
    """

    def __init__(self, directory: Path, connections: Connections, account: Callable[[], BrokerUrl]) -> None:
        self._directory = directory
        self._connections: Connections = connections
        self._account = account
        self._count = 0
        self._process = simulated.FleetProcess(directory / ROSTER, directory)

    def join(self, api: Api, names: Sequence[str]) -> None:
        """As the port says."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._count = len(names)
        try:
            roster = simulated.provision(api.http, names, {"site": "bench"}, connections=self._connections)
        except ProvisionError as error:
            raise BenchError(f"the robots cannot be enrolled: {error}") from None
        if self._connections == "shared":
            account = self._account()
            broker = dataclasses.replace(roster.broker, username=account.username, password=account.password)
            roster = dataclasses.replace(roster, broker=broker)
        roster.write(self._directory / ROSTER)
        try:
            self._process.start()
        except simulated.FleetError as error:
            raise BenchError(str(error)) from None

    def stop(self) -> None:
        """As the port says."""
        try:
            self._process.stop()
        except simulated.FleetError:
            self._process.kill()  # it may be ending by itself, or have ended

    def fault(self, names: Sequence[str], fault: Fault) -> list[str]:
        """As the port says."""
        try:
            self._process.fault(names, fault)
        except simulated.FleetError as error:
            raise BenchError(str(error)) from None
        return []

    def watch(self) -> None:
        """As the port says; the process does by itself what is due."""

    def astray(self, wanted: Mapping[str, str | None]) -> dict[str, str]:
        """As the port says. If the counts agree, nobody is asked one by one."""
        try:
            state = self._process.state()
            ordered = sum(1 for deployment in wanted.values() if deployment)
            if state.settled == state.connected == self._count and state.in_force == ordered:
                return {}
            found = {name: self._process.robot(name) for name in wanted}
        except simulated.FleetError as error:
            raise BenchError(str(error)) from None
        lines: dict[str, str] = {}
        for name, deployment in wanted.items():
            if not found[name].connected:
                lines[name] = "not connected"
            elif found[name].current != deployment:
                lines[name] = f"has {found[name].current or 'nothing'} in force, not {deployment or 'nothing'}"
        return lines

    def files(self, name: str) -> dict[str, bytes]:
        """As the port says."""
        raise Refused(f"{name} is simulated and keeps no files; start the bench with real agents to look at them")

    def status(self) -> dict[str, object]:
        """As the port says."""
        known: dict[str, object] = {"kind": "simulated", "pid": self._process.pid}
        try:
            state = self._process.state()
        except simulated.FleetError as error:
            return {**known, "trouble": str(error)}
        return {**known, "connected": state.connected, "in_force": state.in_force, "retrying": state.retrying}
