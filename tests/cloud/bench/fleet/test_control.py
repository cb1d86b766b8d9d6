"""The door of a running bench, with a crew that only notes what befalls it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from shallop_cloud.bench.faults import Fault, Kind
from shallop_cloud.bench.fleet import ashore, asking, bench, control
from shallop_cloud.bench.fleet.api import Api
from shallop_cloud.bench.fleet.errors import BenchError, NotRunning, Refused
from shallop_cloud.bench.simulated import doors


class NotingCrew:
    """A crew to which everything can be done."""

    def __init__(self) -> None:
        self.befell: list[tuple[list[str], Fault]] = []
        self.trouble: Exception | None = None

    def join(self, api: Api, names: Sequence[str]) -> None: ...

    def stop(self) -> None: ...

    def fault(self, names: Sequence[str], fault: Fault) -> list[str]:
        if self.trouble:
            raise self.trouble
        self.befell.append((list(names), fault))
        return ["so be it"]

    def watch(self) -> None: ...

    def astray(self, wanted: Mapping[str, str | None]) -> dict[str, str]:
        return {}

    def files(self, name: str) -> dict[str, bytes]:
        return {}

    def status(self) -> dict[str, object]:
        return {"kind": "noting"}


class Door:
    """An open door, in a directory so deep that a socket's address has no room for it."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path / ("deep" * 15) / ("er" * 30)
        self.directory.mkdir(parents=True)
        self.crew = NotingCrew()
        self.down = threading.Event()
        plan = bench.Plan(directory=self.directory, robots=10)
        broker = ashore.Broker(self.directory, plan.broker_listen, None)
        cloud = ashore.Cloud(self.directory, plan.listen, ashore.Told(broker.told, "3.1.1"))
        self.bench = bench.Bench(plan, broker, cloud, self.crew, lambda _: None)

    def ask(self, **request: object) -> object:
        return asking.ask(self.directory, request)

    def say(self, line: bytes) -> dict[str, object]:
        """The answer to bytes that need not be a request."""
        with socket.socket(socket.AF_UNIX) as peer, doors.short(self.directory / asking.SOCKET) as address:
            peer.settimeout(10)
            peer.connect(address)
            peer.sendall(line)
            peer.shutdown(socket.SHUT_WR)
            with peer.makefile("rb") as answers:
                return json.loads(answers.readline())


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A door that is open."""
    made = Door(tmp_path)
    with control.opened(made.bench, made.down):
        yield made


def test_a_fault_befalls_whom_it_names(door: Door) -> None:
    assert door.ask(do="fault", robots=["amr-2", "amr-3"], fault="offline 5s") == {
        "robots": ["amr-2", "amr-3"],
        "fault": "offline 5.000s",
        "said": ["so be it"],
    }
    assert door.crew.befell == [(["amr-2", "amr-3"], Fault(Kind.OFFLINE, 5))]


@pytest.mark.parametrize(("percent", "count"), [(100, 10), (25, 3), (0.1, 1)])
def test_a_share_of_the_robots_is_rounded_up(door: Door, percent: float, count: int) -> None:
    door.ask(do="fault", percent=percent, fault="heal")
    ((names, _),) = door.crew.befell
    assert len(set(names)) == count


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "do must be a text"),
        ({"do": "explode"}, "nothing that a bench does; there are: status"),
        ({"do": "fault", "robots": ["amr-11"], "fault": "heal"}, "no robot 'amr-11'; the robots are amr-1 to amr-10"),
        ({"do": "fault", "robots": ["amr-1"], "fault": "explode"}, "'explode' is no fault"),
        ({"do": "fault", "robots": "amr-1", "fault": "heal"}, "robots must be a list of texts"),
        ({"do": "fault", "robots": [1], "fault": "heal"}, "robots must be a list of texts"),
        ({"do": "fault", "percent": 0, "fault": "heal"}, "percent must be a number"),
        ({"do": "fault", "percent": "all", "fault": "heal"}, "percent must be a number"),
        ({"do": "fault", "robots": ["amr-1"]}, "fault must be a text"),
        ({"do": "cloud restore-backup"}, "no backup to restore"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_done(door: Door, request_: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        asking.ask(door.directory, request_)
    assert door.crew.befell == []


@pytest.mark.parametrize("line", [b"", b"\n", b"hello\n", b"[]\n", b"[" * 200_000 + b"\n", b"\xff\n", b"1" * 1_000_000])
def test_bytes_that_are_no_request_harm_nobody(door: Door, line: bytes) -> None:
    assert "error" in door.say(line)
    assert door.ask(do="fault", robots=["amr-1"], fault="heal")


def test_a_defect_is_told_and_the_next_one_is_served(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.crew.trouble = ZeroDivisionError("of all things")
    with pytest.raises(BenchError, match="ZeroDivisionError: of all things"):
        door.ask(do="fault", robots=["amr-1"], fault="heal")
    assert "a defect while answering" in caplog.text
    door.crew.trouble = None
    assert door.ask(do="fault", robots=["amr-1"], fault="heal")


def test_whoever_asks_for_the_end_gets_it(door: Door) -> None:
    assert door.ask(do="down") == {}
    assert door.down.is_set()


def test_the_door_is_its_users_alone_and_is_shut_at_the_end(tmp_path: Path) -> None:
    door = Door(tmp_path)
    with pytest.raises(NotRunning, match="shallop bench up"):
        door.ask(do="status")
    with control.opened(door.bench, door.down):
        assert (door.directory / asking.SOCKET).stat().st_mode & 0o777 == 0o600
    with pytest.raises(NotRunning):
        door.ask(do="status")


def test_a_status_without_a_cloud(door: Door) -> None:
    status = door.bench.status()
    assert (status["summary"], status["robots"]) == (None, {"count": 10, "kind": "noting"})
    assert [(each["name"], each["pid"]) for each in status["processes"]] == [("broker", None), ("cloud", None)]
