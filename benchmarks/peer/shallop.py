"""shallop: its cloud and mosquitto, and robots of two kinds.

Thin ones run the protocol's core, and so verify the signature, keep order and generation, and report in full; they
write the file as the other systems' thin robots do, without a database. The real agents are what robots run.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import harness
import paho.mqtt.client as mqtt
import paho.mqtt.enums
from shallop_cloud.bench.robots import Robot
from shallop_cloud.bench.simulated.roster import Trust
from shallop_protocol import desired, device, dsse, ids, messages
from shallop_protocol.topics import Kind, Topics

from peer import disk
from peer import robots as thin

POLL_S = 0.002
"""How often the outside reader looks."""
TOPICS = Topics()
CONFIG_TYPE = "motion-control"
_DEPLOYED = """
select id from history
where id > ? and action = 'deployed' and json_extract(after, '$.target_status') = 'deployed'
order by id
"""
"""A predecessor whose end was decided is on the robot for a while too: its target is another by then."""


class Fleet:
    """Robots that are known to a cloud, and the operator that changes them all."""

    def __init__(self, system: harness.System, names: Sequence[str]) -> None:
        self._system = system
        self._names = names
        self._reader = sqlite3.connect(f"{system.database.as_uri()}?mode=ro", uri=True, isolation_level=None)

    def close(self) -> None:
        """Lets go of the database."""
        self._reader.close()

    def enrol(self) -> dict[str, Any]:
        """Makes the devices and enrols them. What thin robots need to know: ids by name, keys, the account."""
        made = self._system.must(
            "POST", "/v1/devices:batch", {"devices": [{"name": name, "labels": {}} for name in self._names]}
        )["data"]
        pairs = [{"token": each["token"], "secret": secrets.token_urlsafe(24)} for each in made]
        answer = self._system.must("POST", "/v1/enrolments:batch", {"enrolments": pairs})
        return {
            "ids": {each["name"]: each["id"] for each in made},
            "trust": answer["trust"],
            "password": self._system.cloud_password,
        }

    def change(self, release: str, content: str) -> list[float]:
        """The seconds until each robot's deployment was committed as deployed, from just before the call."""
        configs = [{"config_type": CONFIG_TYPE, "content": content}]
        body = {"devices": list(self._names), "release": release, "configs": configs}
        last = self._one("select coalesce(max(id), 0) from history")
        seen: list[float] = []
        with ThreadPoolExecutor(max_workers=1) as pool:
            began = time.perf_counter()
            call = pool.submit(self._system.must, "POST", "/v1/deployments:batch", body)
            while len(seen) < len(self._names):
                time.sleep(POLL_S)
                found = self._reader.execute(_DEPLOYED, [last]).fetchall()
                moment = time.perf_counter() - began
                if found:
                    last = found[-1][0]
                    seen += [moment] * len(found)
                if moment > harness.WITHIN_S:
                    raise harness.BenchmarkError(f"{len(seen)} of {len(self._names)} robots are deployed")
            if problems := [each["problem"] for each in call.result()["data"] if each["problem"]]:
                raise harness.BenchmarkError(f"a deployment was refused: {problems[0]}")
        self._settle()
        return seen

    def _settle(self) -> None:
        """Waits until every predecessor is gone, which is no part of the job."""
        query = "select count(*) from devices where reported <> generation or fallback is not null"
        harness.wait("all predecessors are gone", lambda: self._one(query) == 0)

    def _one(self, query: str) -> Any:
        return self._reader.execute(query).fetchone()[0]


def make_release(system: harness.System) -> str:
    """Makes the release with the one file that is changed."""
    from shallop_cloud import configs

    draft = configs.read_release(harness.REPOSITORY / "examples" / "mobile-robot" / "release.yaml")
    each = next(each for each in draft.config_types if each.name == CONFIG_TYPE)
    system.must("POST", "/v1/releases", {"version": draft.version, "config_types": [each.to_json()]})
    return draft.version


@contextlib.contextmanager
def agents(system: harness.System, names: Sequence[str]) -> Generator[list[int]]:
    """Real agents, one process each, online, while the block lasts; their process ids."""
    found = [Robot(name, system.directory / name) for name in names]
    for robot in found:
        created = system.must("POST", "/v1/devices", {"name": robot.name, "labels": {}})
        robot.enrol(system.url, created["token"])
    system.load_accounts()
    try:
        for robot in found:
            robot.start()
        for name in names:
            harness.wait(f"{name} is online", lambda name=name: system.must("GET", f"/v1/devices/{name}")["online"])
        yield [robot.pid for robot in found if robot.pid]
    finally:
        for robot in found:
            robot.stop()


@contextlib.asynccontextmanager
async def robots(roster: thin.Roster) -> AsyncGenerator[None]:
    """Thin robots that hear, while the block lasts; one connection for all of them."""
    _, listed = Trust(**roster.more["trust"]).open()
    crew = [
        _Thin(ids.on_wire(roster.more["ids"][name]), listed.active, roster.directory / name) for name in roster.names
    ]
    line = _Line(crew)
    await line.connect(roster.port, roster.more["password"])
    yield
    line.close()


class _Thin:
    """One robot: the protocol's core, one file on a disk, and nothing else."""

    def __init__(self, wire_id: str, keys: Mapping[str, dsse.PublicKey], directory: Path) -> None:
        self.topic = TOPICS.of(wire_id, Kind.DESIRED)
        self.report_topic = TOPICS.of(wire_id, Kind.REPORT)
        self._wire_id = wire_id
        self._keys = keys
        self._directory = directory
        self._memory = device.Memory()
        self._disk = device.Disk()
        self._seq = 0
        self._agent = messages.Agent(version="thin", started_at=messages.utc(_now()))
        self._incarnation = secrets.token_hex(16)

    def take(self, data: bytes) -> bytes:
        """Does what an order says, and gives the report."""
        order = desired.open_desired(data, self._keys, self._wire_id)
        self._memory = device.receive(self._memory, order, _now()).memory
        while step := device.plan(self._memory, self._disk, _now()):
            self._do(step)
        self._seq += 1
        return device.report(
            self._memory,
            self._disk,
            device=self._wire_id,
            incarnation=self._incarnation,
            seq=self._seq,
            now=_now(),
            clock_synced=True,
            agent=self._agent,
            next_attempts={},
        ).to_bytes()

    def _do(self, step: device.Step) -> None:
        match step:
            case device.Remember():
                self._memory = step.memory
            case device.Apply():
                self._memory = device.begun(self._memory, step.manifest.id)
                for instance in step.manifest.instances:
                    disk.write(self._directory, thin.FILE, instance.data)
                self._disk = device.Disk(step.manifest.id, self._disk.trees | {step.manifest.id})
                self._memory = device.applied(self._memory, step.manifest.id, _now())
            case device.Point():
                self._disk = device.Disk(step.deployment, self._disk.trees)
            case device.Remove():
                self._disk = device.Disk(self._disk.current, self._disk.trees - {step.deployment})


class _Line:
    """One MQTT connection, on the process's asyncio loop."""

    def __init__(self, crew: Sequence[_Thin]) -> None:
        self._loop = asyncio.get_running_loop()
        self._crew = {robot.topic: robot for robot in crew}
        self._hears = self._loop.create_future()
        self._client = mqtt.Client(
            paho.mqtt.enums.CallbackAPIVersion.VERSION2,
            client_id=f"cloud-thin-{os.getpid()}",
            reconnect_on_failure=False,
        )
        self._client.max_inflight_messages_set(10_000)
        self._client.on_connect = lambda *_: self._client.subscribe([(topic, 1) for topic in self._crew])
        self._client.on_subscribe = lambda *_: self._hears.set_result(None)
        self._client.on_message = self._take
        self._client.on_socket_open = self._open
        self._client.on_socket_close = lambda _client, _data, opened: self._loop.remove_reader(opened)
        self._client.on_socket_register_write = lambda client, _data, opened: self._loop.add_writer(
            opened, client.loop_write
        )
        self._client.on_socket_unregister_write = lambda _client, _data, opened: self._loop.remove_writer(opened)

    async def connect(self, port: int, password: str) -> None:
        """Returns when every robot is subscribed."""
        self._client.username_pw_set("cloud", password)
        self._client.connect("127.0.0.1", port)
        await asyncio.wait_for(self._hears, harness.WITHIN_S)
        self._keep = self._loop.create_task(self._look_after())

    def close(self) -> None:
        """Ends the connection."""
        self._keep.cancel()
        self._client.disconnect()

    def _open(self, client: mqtt.Client, _data: Any, opened: Any) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(opened, client.loop_read)

    def _take(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        robot = self._crew[message.topic]
        client.publish(robot.report_topic, robot.take(message.payload), qos=1, retain=True)

    async def _look_after(self) -> None:
        while True:
            self._client.loop_misc()
            await asyncio.sleep(1.0)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
