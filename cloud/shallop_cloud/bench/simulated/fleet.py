"""All simulated robots of a process: on the water, in trouble, counted."""

from __future__ import annotations

import asyncio
import datetime
import functools
import random
import socket
from collections.abc import Callable, Sequence

from shallop_device import identity
from shallop_protocol import messages
from shallop_protocol.statuses import Error
from shallop_protocol.topics import Kind

from shallop_cloud.bench import faults
from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.simulated.berth import Berth
from shallop_cloud.bench.simulated.mooring import Harbour, Mooring
from shallop_cloud.bench.simulated.robot import Crew
from shallop_cloud.bench.simulated.roster import Roster, RosterError
from shallop_cloud.bench.simulated.views import RobotView, State

SHARED = 4
"""Shared connections, over which the robots are spread."""
OPEN_PER_SECOND = 1_000
"""So many connections of their own begin in a second at first; robots are not all switched on at one instant."""
LOOK_EVERY_S = 5.0
FAREWELL_S = 2.0
VERSION = "simulated"


class UnknownRobot(LookupError):
    """No robot of this name."""


class Fleet:
    """The robots of one roster. Everything happens on one asyncio loop.

    Raises:
        RosterError: its broker cannot be spoken to like this.
    """

    def __init__(self, roster: Roster, loop: asyncio.AbstractEventLoop, rng: random.Random) -> None:
        agent = messages.Agent(version=VERSION, started_at=messages.utc(datetime.datetime.now(datetime.UTC)))
        roots, listed = roster.trust.open()
        crew = Crew(roots, listed, agent, rng)
        self._loop = loop
        berths = [Berth(seat, crew, roster.topics, loop) for seat in roster.robots]
        self._berths = {berth.robot.seat.name: berth for berth in berths}
        host, port = _address(roster.broker.url)
        self._harbour = Harbour(
            host,
            port,
            roster.broker.username,
            roster.broker.password,
            roster.topics.hello.encode(),
            roster.topics.keys.encode(),
            roots,
            {berth.topics[Kind.DESIRED]: berth for berth in berths},
            loop,
            rng,
        )
        self._is_own = roster.connections == "own"
        parts = [[berth] for berth in berths] if self._is_own else [berths[part::SHARED] for part in range(SHARED)]
        self._moorings = [Mooring(self._harbour, part, is_own=self._is_own) for part in parts if part]
        self._mooring_of = {berth.robot.seat.name: mooring for mooring in self._moorings for berth in mooring.berths}
        self._ends: dict[tuple[str, faults.Kind], tuple[asyncio.TimerHandle, Callable[[], None]]] = {}

    def start(self) -> None:
        """They begin to connect."""
        for position, mooring in enumerate(self._moorings):
            self._loop.call_later(position / OPEN_PER_SECOND, mooring.open)
        self._loop.call_later(LOOK_EVERY_S, self._look_after)

    async def stop(self) -> None:
        """They say good-bye, and their connections are closed."""
        for mooring in self._moorings:
            mooring.say_goodbye()
        end = self._loop.time() + FAREWELL_S
        while any(mooring.waits for mooring in self._moorings) and self._loop.time() < end:
            await asyncio.sleep(0.01)
        for mooring in self._moorings:
            mooring.close()
        await asyncio.sleep(0)

    def fault(self, names: Sequence[str], fault: Fault) -> None:
        """Lets a fault befall these robots.

        Raises:
            UnknownRobot: one of them is not here; nothing happened then.
        """
        for berth in [self._berth(name) for name in names]:
            self._befall(berth, fault)

    def reject(self, names: Sequence[str], containing: str | None) -> None:
        """From now on these robots reject a deployment with a file that contains this.

        Raises:
            UnknownRobot: one of them is not here; nothing happened then.
        """
        for berth in [self._berth(name) for name in names]:
            berth.robot.hands.disk.rejects = containing

    def state(self) -> State:
        """All robots, counted."""
        robots = [berth.robot for berth in self._berths.values()]
        hands = [robot.hands for robot in robots]
        wanted = [each.memory.wanted for each in hands]
        generations = [each.memory.position[1] for each in hands]
        return State(
            robots=len(robots),
            connected=sum(robot.is_online for robot in robots),
            ordered=sum(each.memory.order is not None for each in hands),
            in_force=sum(
                each is not None and each.error is Error.NONE and each.id == one.disk.current
                for each, one in zip(wanted, hands, strict=True)
            ),
            settled=sum(robot.is_settled for robot in robots),
            retrying=sum(each is not None and each.error is Error.RETRYING for each in wanted),
            failed=sum(each is not None and each.error is Error.FAILED for each in wanted),
            refused=sum(each.memory.refused is not None for each in hands),
            lowest=min(generations),
            highest=max(generations),
            orders=sum(robot.orders for robot in robots),
            reports=sum(robot.reports for robot in robots),
            connects=self._harbour.connects,
            last=self._harbour.last,
        )

    def view(self, name: str) -> RobotView:
        """One robot.

        Raises:
            UnknownRobot: it is not here.
        """
        robot = self._berth(name).robot
        memory, disk = robot.hands.memory, robot.hands.disk
        return RobotView(
            id=robot.seat.id,
            name=name,
            connected=robot.is_online,
            incarnation=robot.incarnation,
            seq=robot.seq,
            generation=memory.position[1],
            current=disk.current,
            files=disk.files(),
            trees=tuple(sorted(disk.trees)),
            statuses={each.id: f"{each.activity.value}/{each.error.value}" for each in memory.holdings},
            refused=memory.refused.code if memory.refused else None,
            order_bytes=robot.order_bytes,
            report_bytes=robot.report_bytes,
        )

    def connected_at(self) -> list[float]:
        """When each connection that stands was accepted; monotonic."""
        return [berth.connected_at for berth in self._berths.values() if berth.line]

    def _berth(self, name: str) -> Berth:
        try:
            return self._berths[name]
        except KeyError:
            raise UnknownRobot(f"no robot is called {name!r}") from None

    def _befall(self, berth: Berth, fault: Fault) -> None:
        robot, disk = berth.robot, berth.robot.hands.disk
        mooring = self._mooring_of[robot.seat.name]
        match fault.kind:
            case faults.Kind.OFFLINE:
                mooring.send_away(berth)
                self._until(berth, fault, functools.partial(self._bring_back, berth))
            case faults.Kind.POWER_CUT:
                mooring.send_away(berth)
                robot.lose_power(self._loop.time())
                self._until(berth, fault, functools.partial(self._bring_back, berth))
            case faults.Kind.CORRUPT_STATE:
                mooring.send_away(berth)
                robot.lose_database(self._loop.time())
                self._bring_back(berth)
            case faults.Kind.DISK_FULL:
                disk.is_full = True
                self._until(berth, fault, functools.partial(setattr, disk, "is_full", False))
            case faults.Kind.SLOW:
                berth.slow = fault.seconds
            case faults.Kind.CLOCK:
                robot.clock_off = fault.seconds
            case faults.Kind.DUPLICATE:
                berth.duplicates = True
            case faults.Kind.REORDER:
                berth.reorders = True
            case faults.Kind.HEAL:
                berth.heal()
                for key in [key for key in self._ends if key[0] == robot.seat.name]:
                    self._end(key)

    def _until(self, berth: Berth, fault: Fault, over: Callable[[], None]) -> None:
        """Sees that a fault ends; a later one of its kind takes its place."""
        key = (berth.robot.seat.name, fault.kind)
        if key in self._ends:
            self._ends[key][0].cancel()
        self._ends[key] = (self._loop.call_later(fault.seconds, self._end, key), over)

    def _end(self, key: tuple[str, faults.Kind]) -> None:
        timer, over = self._ends.pop(key)
        timer.cancel()
        over()

    def _bring_back(self, berth: Berth) -> None:
        """Unless another fault still keeps it away."""
        name = berth.robot.seat.name
        if not any((name, kind) in self._ends for kind in (faults.Kind.OFFLINE, faults.Kind.POWER_CUT)):
            self._mooring_of[name].bring_back(berth)

    def _look_after(self) -> None:
        now = self._loop.time()
        for mooring in self._moorings:
            mooring.look_after(now)
        self._loop.call_later(LOOK_EVERY_S, self._look_after)


def _address(url: str) -> tuple[str, int]:
    """Host, as a number, and port."""
    try:
        broker = identity.broker_of(url)
    except ValueError as error:
        raise RosterError(str(error)) from None
    if broker.tls:
        raise RosterError(f"simulated robots do not speak TLS, and the broker is {url}: give it an mqtt:// listener")
    try:
        found = socket.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RosterError(f"the broker's host {broker.host!r} is not known: {error}") from None
    return str(found[0][4][0]), broker.port
