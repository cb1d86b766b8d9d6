"""Simulated robots in their process, before a real cloud and the bench broker."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import keys_world
import pytest
from shallop_cloud import server
from shallop_cloud.bench import embedded
from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.simulated import Broker, FleetError, FleetProcess, Roster, Seat, State, provision
from shallop_cloud.bench.simulated.provision import ProvisionError
from shallop_device import testing
from shallop_protocol.topics import Topics

NAMES = [f"amr-{number}" for number in range(1, 7)]
WITHIN_S = 20.0


class World:
    """A cloud with its broker in this process, and robots in another."""

    def __init__(self, running: server.Running, directory: Path, connections: Any) -> None:
        headers = {"Authorization": f"Bearer {running.token}"}
        self.http = httpx.Client(base_url=running.url, headers=headers, timeout=30)
        account = (running.token_file.parent / "mqtt" / "cloud.password").read_text().strip()
        roster = provision(self.http, NAMES, {"site": "lyon"}, connections=connections)
        broker = dataclasses.replace(roster.broker, username="cloud", password=account)
        self.roster = dataclasses.replace(roster, broker=broker)
        self.path = directory / "roster.json"
        self.roster.write(self.path)
        self.robots = FleetProcess(self.path, directory / "a" / ("deep" * 30) / "directory")
        type_ = {"name": "motion", "schema": "opaque", "format": "yaml", "path": "motion.yaml"}
        made = self.http.post("/v1/releases", json={"version": "1.0.0", "config_types": [type_]})
        assert made.status_code == 201

    def deploy(self, content: str, names: list[str] = NAMES) -> None:
        body = {
            "devices": names,
            "release": "1.0.0",
            "configs": [{"config_type": "motion", "content": content}],
            "description": "",
            "staged": False,
        }
        answer = self.http.post("/v1/deployments:batch", json=body)
        assert [each["problem"] for each in answer.json()["data"]] == [None] * len(names)

    def summary(self) -> dict[str, Any]:
        return self.http.get("/v1/summary").json()

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < end, f"it is still not so that {what}: {self.summary()} {self.robots.state()}"
            time.sleep(0.02)

    def wait_settled(self, **expected: int) -> None:
        """Until the cloud knows just these deployments and every robot is connected and in sync."""
        count = len(NAMES)
        known = {"devices": count, "online": count, "in_sync": count, "lagging": 0, "deployments": expected}
        self.wait(f"the cloud knows {known}", lambda: self.summary() == known)

    def reads(self, content: str) -> set[str]:
        """The robots on whose disk this, and nothing else, is in force."""
        files = {"motion.yaml": f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"}
        return {name for name in NAMES if self.robots.robot(name).files == files}


@pytest.fixture(params=["shared", pytest.param("own", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    start = functools.partial(embedded.broker, config=None, listen=("127.0.0.1", 0), topics=Topics())
    with server.run(server.Settings(data=tmp_path / "cloud", listen=("127.0.0.1", 0)), start) as running:
        made = World(running, tmp_path, request.param)
        made.robots.start()
        try:
            made.robots.wait("all are connected", _all_connected, WITHIN_S)
            yield made
        finally:
            made.robots.kill()
            made.http.close()


own_alone = pytest.mark.parametrize("world", ["own"], indirect=True)


def _all_connected(state: State) -> bool:
    return state.connected == len(NAMES)


def test_deployments_reach_every_robot_and_every_outcome_the_cloud(world: World) -> None:
    for content in ("speed: 1\n", "speed: 2\n"):
        world.deploy(content)
        world.wait_settled(deployed=len(NAMES))
        assert world.reads(content) == set(NAMES)
    state = world.robots.state()
    assert (state.in_force, state.settled, state.failed, state.refused) == (len(NAMES), len(NAMES), 0, 0)
    view = world.robots.robot("amr-1")
    assert (view.trees, view.current) == ((view.current,), view.current)
    assert sorted(view.statuses.values()) == ["archived/none", "deployed/none"]
    assert len(world.robots.connected_at()) == len(NAMES)


def test_faults_of_the_link_cost_time_only(world: World) -> None:
    world.deploy("speed: 1\n")
    world.wait_settled(deployed=len(NAMES))
    for name, words in zip(NAMES, ["offline 1h", "power-cut 1h", "slow 50ms", "duplicate", "reorder"], strict=False):
        world.robots.fault([name], Fault.parse(words.split()))
    world.robots.fault(["amr-6"], Fault.parse(["clock", "-50y"]))
    world.wait("two are known to be offline", lambda: world.summary()["online"] == len(NAMES) - 2)
    world.deploy("speed: 2\n")
    world.wait("the others run it", lambda: world.reads("speed: 2\n") == set(NAMES[2:]))
    world.robots.fault(NAMES, Fault.parse(["heal"]))
    world.wait_settled(deployed=len(NAMES))
    assert world.reads("speed: 2\n") == set(NAMES)


def test_faults_of_the_robot(world: World) -> None:
    world.deploy("speed: 1\n")
    world.wait_settled(deployed=len(NAMES))
    world.robots.fault(["amr-1"], Fault.parse(["disk-full", "1h"]))
    incarnation = world.robots.robot("amr-2").incarnation
    world.robots.fault(["amr-2"], Fault.parse(["corrupt-state"]))
    world.robots.reject(["amr-3"], "speed: 2")
    world.deploy("speed: 2\n")
    world.wait("one is retrying", lambda: world.summary()["deployments"].get("retrying") == 1)
    world.wait("one has failed", lambda: "archived/failed" in world.robots.robot("amr-3").statuses.values())
    world.robots.fault(["amr-1"], Fault.parse(["heal"]))
    world.wait_settled(deployed=len(NAMES))
    assert world.robots.robot("amr-2").incarnation != incarnation
    assert world.reads("speed: 1\n") == {"amr-3"}


@own_alone
def test_a_process_that_is_killed_and_started_again_is_a_fleet_with_new_disks(world: World) -> None:
    world.deploy("speed: 1\n")
    world.wait_settled(deployed=len(NAMES))
    world.robots.kill()
    assert not world.robots.is_running
    world.robots.start()
    world.wait_settled(deployed=len(NAMES))
    world.wait("they run it again", lambda: world.reads("speed: 1\n") == set(NAMES))


@own_alone
def test_who_asks_for_what_is_not_there_is_told_and_who_stops_says_good_bye(world: World) -> None:
    with pytest.raises(FleetError, match="no robot is called 'amr-9'"):
        world.robots.robot("amr-9")
    with pytest.raises(FleetError, match="no robot is called 'amr-9'"):
        world.robots.fault(["amr-1", "amr-9"], Fault.parse(["offline", "1h"]))
    assert world.robots.robot("amr-1").connected
    with pytest.raises(FleetError, match="running already"):
        world.robots.start()
    with pytest.raises(ProvisionError, match="409"):
        provision(world.http, ["amr-1"])
    world.wait("all are known to be online", lambda: world.summary()["online"] == len(NAMES))
    other = FleetProcess(world.path, world.robots.control.parent)
    assert other.state().robots == len(NAMES)
    world.robots.stop()
    world.wait("none is online", lambda: world.summary()["online"] == 0)
    with pytest.raises(FleetError, match="does not answer"):
        other.state()


def test_a_roster_that_cannot_be_used_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "roster.json"
    seat = Seat("DEV-0000000000000000", "amr-1")
    Roster(Broker("mqtts://127.0.0.1:8883"), keys_world.trust(testing.Shore().signer.key), (seat,)).write(path)
    robots = FleetProcess(path, tmp_path)
    with pytest.raises(FleetError, match="do not speak TLS"):
        robots.start()
    assert not robots.is_running
