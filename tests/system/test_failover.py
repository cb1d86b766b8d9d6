"""Two servers on one PostgreSQL: whichever dies, the other goes on, and nothing is lost or done twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres_world
import pytest
import system_world
from replicas_world import STREAM_PAUSE_S, Server, World, seconds_until
from shallop_cloud.store import history
from shallop_cloud.store.database import Database
from system_world import wait

TAKEOVER_S = 5.0
RELEASE = {
    "version": "1.0.0",
    "config_types": [{"name": "motion", "schema": "opaque", "format": "text", "path": "motion.txt"}],
}
ROBOTS = ("amr-1", "amr-2")
pytestmark = [pytest.mark.mosquitto, pytest.mark.slow]


@pytest.fixture
def world(tmp_path: Path, postgres: postgres_world.Server) -> Iterator[World]:
    """Two servers, the first of which holds the link."""
    if system_world.find_mosquitto() is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    url = postgres.create()
    running = World(tmp_path, url)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        postgres.drop(url)


class Stream:
    """An operator who orders one content after another, for each robot in turn, from one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[str] = []

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number, robot in enumerate(itertools.cycle(ROBOTS)):
            made = self._server.order(robot, f"{self._server.name} {number}\n")
            if made is not None:
                self.acknowledged.append(made)
            if self._stop.wait(STREAM_PAUSE_S):
                return


def _grows(stream: Stream) -> None:
    """Waits until a stream got two more acknowledgements."""
    wanted = len(stream.acknowledged) + 2
    wait("orders are acknowledged", lambda: len(stream.acknowledged) >= wanted)


def test_the_other_takes_over(world: World) -> None:
    first, second = world.servers
    world.add_robot("amr-1", first)
    world.add_robot("amr-2", second)
    first.must("POST", "/v1/releases", RELEASE)
    with Stream(first) as one, Stream(second) as two:
        _grows(one)
        _grows(two)
        first.process.kill()
        took = seconds_until(second, within=TAKEOVER_S)
        _grows(two)
        first.process.start()
        wait("the first is back, and stands by", lambda: first.health["link"] == "stands_by")
        _grows(one)
        second.process.end()
        gave = seconds_until(first, within=TAKEOVER_S)
    print(f"taken over {took:.2f} s after kill -9, {gave:.2f} s after an orderly end")  # noqa: T201
    second.process.start()
    wait("the second is back", lambda: second.health["link"] == "stands_by")
    last = {robot: str(second.order(robot, f"the last for {robot}\n")) for robot in ROBOTS}
    for robot in ROBOTS:
        wait(f"the last of {robot} is in force", lambda robot=robot: _of(first, last[robot])["status"] == "deployed")
        assert world.robots[robot].files() == {"motion.txt": f"the last for {robot}\n".encode()}
    _check_settled(first, {*one.acknowledged, *two.acknowledged}, set(last.values()))
    _check_history(world)


def _of(server: Server, key: str) -> dict[str, Any]:
    return server.must("GET", f"/v1/deployments/{key}")


def _all(server: Server) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    cursor: dict[str, str] = {}
    while True:
        page = server.must("GET", "/v1/deployments", limit=500, **cursor)
        rows |= {row["id"]: row for row in page["data"]}
        if page["next_cursor"] is None:
            return rows
        cursor = {"cursor": page["next_cursor"]}


def _check_settled(server: Server, acknowledged: set[str], last: set[str]) -> None:
    def settled() -> bool:
        rows = _all(server)
        assert rows.keys() >= acknowledged, "an acknowledged deployment is lost"
        assert all(row["error_status"] == "none" for row in rows.values())
        return all(row["activity_status"] == ("deployed" if key in last else "archived") for key, row in rows.items())

    wait("all but the last are archived", settled)


def _check_history(world: World) -> None:
    """Each change has one row: of every deployment, each begins where the one before it ended, and none repeats."""
    database = Database.at(world.database)
    with database.read() as connection:
        assert history.verify(connection).whole
    database.close()
    for key in _all(world.servers[0]):
        rows = world.servers[0].must("GET", f"/v1/deployments/{key}/history")["data"]
        states = [_statuses(row["after"]) for row in rows]
        assert [_statuses(row["before"]) for row in rows[1:]] == states[:-1], rows
        assert len(set(states)) == len(states), rows


def _statuses(shown: dict[str, str]) -> tuple[str, ...]:
    return tuple(shown[name] for name in ("target_status", "activity_status", "error_status"))
