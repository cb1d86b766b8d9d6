"""How long a fleet takes to be itself again after the cloud, the broker, or what the broker knew is gone.

Cloud: it is killed and started again, until a report of every robot newer than its start is committed. Reconnects: the
broker ends and starts again, until every robot, with a connection of its own, is connected. Wiped: the broker starts
again empty while a new order for every robot waits that none of them has heard, until all are deployed.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import datetime
import os
import secrets
import signal
import sys
import time
from collections.abc import Generator, Sequence
from typing import Any

import fleet_raw
import fleet_rig
import harness
from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.simulated.line import Line, Login

SPARE_DESCRIPTORS = 500
"""Of those that a process may open; the rest can be connections."""
STORMING = 100
"""Connections that the raw client opens at a time: what the usual backlog of a listening socket holds."""
POLL_S = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--robots", type=int, default=1_000, help="how many (default: 1000)")
    parser.add_argument("--broker", choices=["mosquitto", "amqtt"], default="mosquitto")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if chosen.robots < 1:
        parser.error("--robots is at least 1")
    load_before = round(os.getloadavg()[0], 2)
    try:
        result: dict[str, Any] = {"robots": chosen.robots, "broker": chosen.broker}
        with _fleet(chosen.broker, chosen.robots, "shared") as rig:
            result["cloud"] = cloud_restarts(rig)
            harness.progress(f"cloud: {result['cloud']}")
            result["wiped"] = broker_wiped(rig)
            harness.progress(f"wiped: {result['wiped']}")
        with _fleet(chosen.broker, min(chosen.robots, most_connections()), "own") as rig:
            result["reconnects"] = robots_reconnect(rig)
    except (harness.BenchmarkError, fleet_raw.RawError) as error:
        print(f"cold_start: {error}", file=sys.stderr)
        return 1
    result |= {"poll_ms": POLL_S * 1_000, "load_before": load_before}
    harness.emit("cold_start", result, chosen.json)
    return 0


@contextlib.contextmanager
def _fleet(broker: harness.Broker, robots: int, connections: fleet_rig.Connections) -> Generator[fleet_rig.Rig]:
    """A fleet with a deployment on every robot, and all settled."""
    with (
        harness.directory() as where,
        harness.system(where, broker) as system,
        fleet_rig.rig(where, system, robots, connections) as rig,
    ):
        wave = rig.wave(rig.order)
        harness.progress(f"{robots} robots have a deployment after {wave.settled:.2f} s")
        rig.wait_connected()
        yield rig


def cloud_restarts(rig: fleet_rig.Rig) -> dict[str, Any]:
    """Kills the cloud while the broker keeps every report, and starts it again.

    Beside it, how long the retained reports take to a minimal client that subscribes to them.
    """
    system, robots = rig.system, rig.robots
    raw = asyncio.run(_hear(_login(rig), system.broker_port, b"shallop/v1/+/report", robots))
    system.cloud.end(signal.SIGKILL)
    restart = datetime.datetime.now(datetime.UTC)
    began = time.perf_counter()
    system.cloud.start()
    harness.wait("the cloud serves", lambda: system.http.get("/v1/health").is_success, poll=0.01)
    serving = time.perf_counter() - began
    known = "SELECT count(*) FROM devices WHERE reported_at > ?"
    moment = restart.strftime("%Y-%m-%d %H:%M:%S.%f")  # as SQLite's column has it
    seen: list[float] = []
    while len(seen) < robots:
        count = rig.reader.one(known, moment)
        seen += [time.perf_counter() - began] * (count - len(seen))
        if time.perf_counter() - began > fleet_rig.WITHIN_S:
            raise harness.BenchmarkError(f"{len(seen)} of {robots} are known again after {fleet_rig.WITHIN_S:.0f} s")
        time.sleep(POLL_S)
    rig.wait_settled()
    return {
        "serving_seconds": round(serving, 3),
        "half_known_seconds": round(harness.percentile(seen, 50), 3),
        "known_seconds": round(seen[-1], 3),
        "raw_seconds": round(raw, 3),
        "cloud_cpu_seconds": round(harness.cpu_seconds(system.cloud.pid), 2),
    }


def broker_wiped(rig: fleet_rig.Rig) -> dict[str, Any]:
    """Orders while every robot is offline, lets the broker forget it, and has the robots come back."""
    system = rig.system
    for part, share in zip(rig.parts, rig.roster.split(len(rig.parts)), strict=True):
        part.fault([seat.name for seat in share.robots], Fault.parse(["offline", "1d"]))
    rig.order()
    system.broker.end(signal.SIGKILL)

    def back() -> None:
        for part, share in zip(rig.parts, rig.roster.split(len(rig.parts)), strict=True):
            part.fault([seat.name for seat in share.robots], Fault.parse(["heal"]))
        system.broker.start()

    wave = rig.wave(back)
    raw = fleet_raw.seconds(fleet_rig.raw_load(rig))
    return {
        "deployed_seconds": round(wave.seconds, 3),
        "half_deployed_seconds": round(harness.percentile(wave.seen, 50), 3),
        "settled_seconds": round(wave.settled, 3),
        "raw_seconds": round(raw, 3),
        "cloud_cpu_ms_per_deployment": wave.cpu["cloud"],
    }


def robots_reconnect(rig: fleet_rig.Rig) -> dict[str, Any]:
    """Ends the broker and starts it again. Beside it, how fast a minimal client opens as many connections."""
    system, robots = rig.system, rig.robots
    raw = asyncio.run(_storm(_login(rig), system.broker_port, robots))
    system.broker.end()
    harness.wait("no robot is connected", lambda: not any(state.connected for state in rig.states()), poll=POLL_S)
    began = time.monotonic()
    system.broker.start()
    harness.wait(
        "every robot is connected again",
        lambda: sum(state.connected for state in rig.states()) == robots,
        fleet_rig.WITHIN_S,
        poll=POLL_S,
    )
    moments = sorted(moment for part in rig.parts for moment in part.connected_at())
    return {
        "connections": robots,
        "connected_seconds": round(moments[-1] - began, 3),
        "half_connected_seconds": round(harness.percentile(moments, 50) - began, 3),
        "highest_share_in_a_second": round(busiest_second(moments) / robots, 3),
        "raw_seconds": round(raw, 3),
    }


def busiest_second(moments: Sequence[float]) -> int:
    """How many of the sorted moments lie within one second, at most."""
    return max(bisect.bisect_left(moments, moment + 1.0) - position for position, moment in enumerate(moments))


def most_connections() -> int:
    """How many robots can be connected: for a while the broker has their connections and as many of the raw client."""
    import resource

    return (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS) // 2


def _login(rig: fleet_rig.Rig) -> Login:
    return Login(f"cloud-raw-{secrets.token_hex(6)}", "cloud", rig.system.cloud_password)


class _Ears:
    """Counts what comes, on one connection or on many."""

    def __init__(self, topic: bytes, expected: int) -> None:
        self._topic = topic
        self._expected = expected
        self._heard = 0
        self.ups: asyncio.Queue[None] = asyncio.Queue()
        self.done = asyncio.Event()

    def up(self, line: Line) -> None:
        line.subscribe([self._topic])
        self.ups.put_nowait(None)

    def heard(self, line: Line, topic: bytes, payload: bytes) -> None:  # noqa: ARG002
        self._heard += 1
        if self._heard == self._expected:
            self.done.set()

    def answered(self, line: Line, sender: object, *, acknowledged: bool) -> None:
        """Nothing is published here."""

    def lost(self, line: Line, why: str, *, refused: bool) -> None:
        """Whoever waits does so with a bound."""


async def _hear(login: Login, port: int, topic: bytes, expected: int) -> float:
    """Seconds until so many retained messages have come to a new client."""
    ears = _Ears(topic, expected)
    line = Line(login, ears, asyncio.get_running_loop())
    began = time.perf_counter()
    await line.open("127.0.0.1", port)
    try:
        await asyncio.wait_for(ears.done.wait(), fleet_raw.DONE_WITHIN_S)
    except TimeoutError:
        raise fleet_raw.RawError(f"the broker did not send {expected} retained messages") from None
    took = time.perf_counter() - began
    line.close()
    return took


async def _storm(login: Login, port: int, count: int) -> float:
    """Seconds until so many connections are open and have asked for their subscription."""
    loop = asyncio.get_running_loop()
    ears = _Ears(b"shallop/v1/cloud/hello", 0)
    lines = [Line(Login(f"{login.client_id}-{number}", login.username, login.password), ears, loop)
             for number in range(count)]  # fmt: skip
    began = time.perf_counter()
    try:
        for start in range(0, count, STORMING):
            batch = lines[start : start + STORMING]
            await asyncio.gather(*(line.open("127.0.0.1", port) for line in batch))
            for _ in batch:
                await asyncio.wait_for(ears.ups.get(), fleet_raw.READY_WITHIN_S)
    except TimeoutError:
        raise fleet_raw.RawError(f"the broker did not take {count} connections") from None
    took = time.perf_counter() - began
    for line in lines:
        line.close()
    return took


if __name__ == "__main__":
    sys.exit(main())
