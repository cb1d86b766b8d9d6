"""A running bench: put together in the order in which its parts need each other, and taken apart in the reverse one."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import resource
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from shallop_protocol.topics import CLOUD

from shallop_cloud.bench.faults import Fault
from shallop_cloud.bench.fleet import ashore, directories, example, network
from shallop_cloud.bench.fleet.api import Api, Json
from shallop_cloud.bench.fleet.crew import Crew
from shallop_cloud.bench.fleet.errors import ApiError, BenchError, DevicesFailed, NotConverged, Refused
from shallop_cloud.link.connection import BrokerUrl, Protocol

ROBOTS = "robots"
WATCH_EVERY_S = 0.1
LOOK_EVERY_S = 0.1
LOOK_FOR_FAILED_EVERY_S = 1.0
ON_ITS_WAY = ("queued", "removing", "retrying")
"""The statuses of a deployment that is not at its end yet."""
SPARE_DESCRIPTORS = 200
MAX_AGENTS = 60
"""More real agents than this do not start within a sensible time on one machine."""

FREE_PORT: ashore.Address = ("127.0.0.1", 0)

Connections = Literal["own", "shared"]
Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a bench shall be.

    Attributes:
        directory: where everything is put; made if it is not there.
        robots: how many.
        simulated: many to a process and without a disk, instead of a real agent each.
        connections: whether each simulated robot has a connection of its own.
        release: the manifest of the release that is made first.
        broker: someone else's broker, instead of one of its own.
    """

    directory: Path
    robots: int = 3
    simulated: bool = False
    connections: Connections = "own"
    release: Path = example.RELEASE
    listen: ashore.Address = FREE_PORT
    broker_listen: ashore.Address = FREE_PORT
    broker: BrokerUrl | None = None
    broker_protocol: Protocol = "3.1.1"

    @property
    def names(self) -> list[str]:
        """The robots' names."""
        return [f"amr-{number}" for number in range(1, self.robots + 1)]


class Bench:
    """A bench that runs. Made by ``running``; its methods may be called from any thread.

    Attributes:
        release: the version of the release that was made.
    """

    def __init__(self, plan: Plan, broker: ashore.Broker, cloud: ashore.Cloud, crew: Crew, tell: Tell) -> None:
        self.plan = plan
        self.broker = broker
        self.cloud = cloud
        self.crew = crew
        self.release = ""
        self._tell = tell
        self._known_dead: set[str] = set()

    @property
    def url(self) -> str:
        """The cloud's address."""
        return self.cloud.url

    @property
    def token(self) -> str:
        """The administrator's token."""
        return self.cloud.token

    @property
    def account(self) -> BrokerUrl:
        """The broker, with an account that may read and write everything below the topic root."""
        return _account(self.broker, self.cloud)

    def api(self) -> Api:
        """Opens the cloud's API."""
        return Api(self.url, self.token)

    def deploy(self, files: Mapping[str, Path], names: Sequence[str] | None = None) -> dict[str, str]:
        """Orders these files, by config type, for some robots or for all. Gives deployment by robot.

        Raises:
            ApiError: they are refused.
            Refused: a file cannot be read, or there is no such robot.
        """
        contents = {key: _text(path) for key, path in files.items()}
        with self.api() as api:
            try:
                return api.deploy(names and self.named(names), self.release, contents)
            except ApiError as error:
                raise error.said_of(files) from None

    def named(self, names: Sequence[str]) -> list[str]:
        """These robots.

        Raises:
            Refused: there is no such robot.
        """
        known = set(self.plan.names)
        for name in names:
            if name not in known:
                raise Refused(f"there is no robot {name!r}; the robots are amr-1 to amr-{self.plan.robots}")
        return list(names)

    def some(self, percent: float, rng: random.Random) -> list[str]:
        """A share of the robots, at least one, by lot."""
        names = self.plan.names
        count = min(len(names), max(1, math.ceil(len(names) * percent / 100)))
        return sorted(rng.sample(names, count), key=names.index)

    def fault(self, names: Sequence[str], fault: Fault) -> list[str]:
        """Does this to these robots. Gives what is to be said about it.

        Raises:
            Refused: there is no such robot, or this kind of robot cannot have that fault.
        """
        return self.crew.fault(self.named(names), fault)

    def await_converged(self, within: float) -> None:
        """Waits until every robot is online and has what the cloud wants it to have, and the cloud knows it.

        Raises:
            NotConverged: not within so many seconds.
        """
        end = time.monotonic() + within
        while self._is_restless() or (astray := self.astray()):
            if time.monotonic() > end:
                astray = self.astray()
                if not astray:
                    return
                raise NotConverged(within, astray, self.plan.directory)
            time.sleep(LOOK_EVERY_S)

    def await_deployed(self, within: float, seen: Callable[[int], None]) -> None:
        """Waits until every robot has a deployment that is ``deployed``. ``seen`` hears how many it is by now.

        Raises:
            DevicesFailed: some deployment failed.
            NotConverged: not within so many seconds.
        """
        began = time.monotonic()
        next_look = began + LOOK_FOR_FAILED_EVERY_S
        with self.api() as api:
            while (count := api.get("/v1/summary")["deployments"].get("deployed", 0)) < self.plan.robots:
                seen(count)
                now = time.monotonic()
                if now > next_look or now > began + within:
                    next_look = now + LOOK_FOR_FAILED_EVERY_S
                    if failed := [f"{each['device_name']}: {_story(each)}" for each in _failed(api)]:
                        raise DevicesFailed("\n  ".join(["deployments failed:", *failed]))
                if now > began + within:
                    raise NotConverged(within, self.astray(), self.plan.directory)
                time.sleep(LOOK_EVERY_S)
            seen(count)

    def astray(self) -> list[str]:
        """One line for each robot that is not where it should be; it says where it is."""
        try:
            with self.api() as api:
                devices = list(api.every("/v1/devices"))
                moving = [each for status in ON_ITS_WAY for each in api.every("/v1/deployments", status=status)]
            held = self.crew.astray({each["name"]: each["current"] for each in devices})
        except BenchError as error:
            return [str(error)]
        said = {each["device_name"]: _story(each) for each in moving}
        for each in devices:
            name = each["name"]
            words = [] if each["online"] else ["offline"]
            words += [said[name]] if name in said else [] if each["in_sync"] else ["has not answered its newest order"]
            words += [held[name]] if name in held else []
            if words:
                said[name] = ", ".join(words)
        return [f"{name}: {said[name]}" for name in self.plan.names if name in said]

    def status(self) -> Json:
        """What is to be shown of it."""
        parts = [*self.broker.needed(), self.cloud.process]
        try:
            with self.api() as api:
                summary: Json | None = api.get("/v1/summary")
        except (BenchError, OSError):
            summary = None
        return {
            "directory": str(self.plan.directory),
            "url": self.url,
            "token_file": str(self.cloud.token_file),
            "broker": self.broker.url,
            "processes": [{"name": each.name, "pid": each.pid, "log": str(each.log)} for each in parts],
            "robots": {"count": self.plan.robots, **self.crew.status()},
            "release": self.release,
            "summary": summary,
        }

    def watch(self, over: threading.Event) -> None:
        """Does what is due and tells what ended by itself, until the event is set."""
        while not over.wait(WATCH_EVERY_S):
            self.crew.watch()
            for each in (*self.broker.needed(), self.cloud.process):
                if each.ended_with is None:
                    self._known_dead.discard(each.name)
                elif each.name not in self._known_dead:
                    self._known_dead.add(each.name)
                    self._tell(
                        f"the {each.name} ended with {each.ended_with}: {each.last_words()}; its log: {each.log}"
                    )

    def _is_restless(self) -> bool:
        """Whether the cloud alone can say that it is not over yet: one small question instead of many large ones."""
        try:
            with self.api() as api:
                known = api.get("/v1/summary")
        except (BenchError, OSError):
            return True
        moving = sum(known["deployments"].get(status, 0) for status in ON_ITS_WAY)
        return known["online"] < known["devices"] or known["in_sync"] < known["devices"] or moving > 0


@contextlib.contextmanager
def running(plan: Plan, tell: Tell, rng: random.Random) -> Generator[Bench]:
    """Runs a bench while the block lasts: its robots are enrolled and started, and its release is made.

    Args:
        tell: hears, a line at a time, what it is doing and what happens by itself.
        rng: decides what befalls which message of a bad network.

    Raises:
        BenchError: it cannot be put together; what was started is ended again.
    """
    _check_size(plan)
    with contextlib.ExitStack() as stack:
        stack.enter_context(directories.held(plan.directory))
        broker = ashore.Broker(plan.directory, plan.broker_listen, plan.broker)
        told = ashore.Told(broker.told, plan.broker_protocol)
        way = None
        if not plan.simulated:
            way = stack.enter_context(network.to(BrokerUrl.parse(broker.url), rng))
            told = dataclasses.replace(told, advertise=way.url)
        cloud = ashore.Cloud(plan.directory, plan.listen, told)
        stack.callback(broker.stop)
        broker.start()
        stack.callback(cloud.stop)
        cloud.start()
        tell(f"broker at {broker.url}, cloud at {cloud.url}, everything in {plan.directory}")
        crew = _agents(plan, cloud, way, tell) if way else _crowd(plan, broker, cloud)
        bench = Bench(plan, broker, cloud, crew, tell)
        cloud.await_service(*broker.needed())
        with bench.api() as api:
            bench.release = api.make_release(plan.release)
            stack.callback(crew.stop)
            crew.join(api, plan.names)
        cloud.backup()
        over = threading.Event()
        watcher = threading.Thread(target=bench.watch, args=[over], name="bench-watch")
        stack.callback(watcher.join)
        stack.callback(over.set)
        watcher.start()
        yield bench


# What the robots need is loaded while broker and cloud are starting.


def _agents(plan: Plan, cloud: ashore.Cloud, way: network.Network, tell: Tell) -> Crew:
    from shallop_cloud.bench.fleet import agents

    return agents.Agents(plan.directory / ROBOTS, lambda: Api(cloud.url, cloud.token), way, tell)


def _crowd(plan: Plan, broker: ashore.Broker, cloud: ashore.Cloud) -> Crew:
    from shallop_cloud.bench.fleet import crowd

    return crowd.Crowd(plan.directory / ROBOTS, plan.connections, lambda: _account(broker, cloud))


def _account(broker: ashore.Broker, cloud: ashore.Cloud) -> BrokerUrl:
    if broker.foreign is not None and broker.foreign.username:
        return broker.foreign
    return dataclasses.replace(BrokerUrl.parse(broker.url), username=CLOUD, password=cloud.mqtt_password)


def _check_size(plan: Plan) -> None:
    """Before anything is started.

    Raises:
        Refused: this machine cannot have so many robots in this way.
    """
    if not plan.simulated and plan.robots > MAX_AGENTS:
        words = f"{plan.robots} real agents are too many for one machine: at most {MAX_AGENTS}, or give --simulated"
        raise Refused(words)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = SPARE_DESCRIPTORS + (0 if plan.connections == "shared" and plan.simulated else 2 * plan.robots)
    if needed > most:
        words = f"{plan.robots} robots need {needed:,} open files, and this process may have {most:,}"
        raise Refused(f"{words}: raise it (ulimit -Hn), take fewer, or share connections with --connections shared")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from None


def _failed(api: Api) -> list[Json]:
    return api.get("/v1/deployments", status="failed", limit="20")["data"]


def _story(deployment: Json) -> str:
    """``DPL-… retrying (attempt 3): disk_full: no space left``."""
    attempt = f" (attempt {deployment['attempts']})" if deployment["status"] == "retrying" else ""
    reason = deployment["reason"]
    why = f": {reason['code']}: {reason['message']}" if reason else ""
    return f"{deployment['id']} {deployment['status']}{attempt}{why}"
