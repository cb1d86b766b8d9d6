"""The least that a deployment to one robot can take: what its message and its fsyncs take by themselves.

What the agent puts on the disk for one deployment is recorded from the agent's own worker, step by step, and then
replayed by the barest calls. The message goes out and back between two plain MQTT clients, and the one that stands
for the robot replays the steps before it answers.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import random
import socket
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import harness
import paho.mqtt.client as mqtt
import paho.mqtt.enums
from shallop_device import applier, clock, files, schema, store, testing, worker
from shallop_protocol import messages

TREES = "deployments"
LINK = "current"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One step on the disk that changes something. ``size`` is that of a file, or what a commit added to the WAL."""

    kind: Literal["make_directory", "write", "sync_directory", "link", "rename", "commit", "commit_unsynced"]
    path: str = ""
    other: str = ""
    size: int = 0

    @property
    def syncs(self) -> bool:
        """Whether it waits for the disk."""
        return self.kind in ("write", "sync_directory", "commit")


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """What one deployment costs at least: the steps between order and report, and the sizes of both messages."""

    steps: tuple[Step, ...]
    order_bytes: int
    report_bytes: int

    @property
    def syncs(self) -> int:
        """How often the robot waits for its disk."""
        return sum(step.syncs for step in self.steps)


def record(directory: Path, contents: dict[str, str]) -> Recipe:
    """Has the agent's worker replace a deployment of these files by another, and writes down what it did to the disk
    from the order until the report that the new one is in force was ready to be sent."""
    shore = testing.Shore()
    robot = testing.Robot(directory, shore)
    robot.boot()
    first = shore.manifest(contents)
    robot.take(shore.order(first))
    robot.settle()
    robot.store.close()

    steps: list[Step] = []
    memory = _RecordedStore.recording(robot.state, steps)
    who = memory.identity
    assert who is not None
    hands = worker.Worker(
        who,
        memory,
        applier.Applier(_RecordedFiles(robot.root, steps)),
        time=clock.SystemClock(),
        rng=random.Random(1),
        agent=messages.Agent(version="0", started_at=messages.utc(clock.SystemClock().now())),
    )
    hands.start()
    hands.work()
    order = shore.seal(shore.order(shore.manifest(contents), fallback=first.id))
    steps.clear()
    hands.take(order)
    hands.work(until_news=True)
    made = tuple(steps)
    report = memory.report
    assert report is not None
    memory.close()
    return Recipe(made, len(order), len(report.body))


class _RecordedFiles(files.RootedFiles):
    def __init__(self, root: Path, steps: list[Step]) -> None:
        super().__init__(root)
        self._steps = steps

    def make_directory(self, path: str) -> None:
        super().make_directory(path)
        self._steps.append(Step("make_directory", path))

    def write(self, path: str, chunks: Iterable[bytes], mode: int) -> None:
        data = b"".join(chunks)
        super().write(path, [data], mode)
        self._steps.append(Step("write", path, size=len(data)))

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        self._steps.append(Step("sync_directory", path))

    def link(self, path: str, target: str) -> None:
        super().link(path, target)
        self._steps.append(Step("link", path, target))

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self._steps.append(Step("rename", old, new))


class _RecordedStore(store.Store):
    _steps: list[Step]
    _wal: Path

    @classmethod
    def recording(cls, directory: Path, steps: list[Step]) -> _RecordedStore:
        made = cls(schema.connect(directory))
        made._steps = steps
        made._wal = directory / f"{schema.FILE}-wal"
        return made

    def _commit(self) -> None:
        before = self._wal.stat().st_size
        is_full = self._db.conn.execute("pragma synchronous").fetchone()[0] >= 2
        super()._commit()
        self._steps.append(Step("commit" if is_full else "commit_unsynced", size=self._wal.stat().st_size - before))


_WAL_FRAME = 4096 + 24


class Replay:
    """Does the steps of a recipe, and nothing else, below a directory on the same filesystem."""

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        self._directory = directory
        self._recipe = recipe
        self._count = 0
        directory.mkdir()
        # Used by the thread of the MQTT client, one call at a time.
        self._db = sqlite3.connect(directory / "floor.db", isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("create table kept (id integer primary key, body blob)")
        self._db.execute("insert into kept values (1, x'00')")
        self._root = ""
        self.prepare()

    def prepare(self) -> None:
        """Makes a fresh root for the next ``run``, which finds in it what the agent found."""
        self._count += 1
        root = self._directory / str(self._count)
        (root / TREES).mkdir(parents=True)
        (root / LINK).symlink_to(TREES)
        for path in (root / TREES, root, self._directory):
            _sync(str(path))
        self._root = str(root)

    def run(self) -> None:
        """All the steps."""
        for step in self._recipe.steps:
            path = f"{self._root}/{step.path}"
            match step.kind:
                case "make_directory":
                    os.mkdir(path)  # noqa: PTH102  as bare as can be
                case "write":
                    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                    os.write(descriptor, b"x" * step.size)
                    os.fsync(descriptor)
                    os.close(descriptor)
                case "sync_directory":
                    _sync(path)
                case "link":
                    os.symlink(step.other, path)  # noqa: PTH211
                case "rename":
                    os.rename(path, f"{self._root}/{step.other}")  # noqa: PTH104
                case "commit" | "commit_unsynced":
                    self._commit(step)

    def _commit(self, step: Step) -> None:
        pages = round(step.size / _WAL_FRAME)
        body = os.urandom(max(100, (pages - 1) * 4096 - 256))
        self._db.execute("pragma synchronous = " + ("full" if step.kind == "commit" else "normal"))
        self._db.execute("update kept set body = ? where id = 1", [body])

    def close(self) -> None:
        """Closes the database."""
        self._db.close()


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


class RoundTrip:
    """Two plain clients on a broker. One sends an order; the other replays the disk's steps and answers."""

    def __init__(self, system: harness.System, recipe: Recipe, replay: Replay) -> None:
        root = "shallop/v1"
        self._out, self._back = f"{root}/floor-desired", f"{root}/floor-report"
        self._order = os.urandom(recipe.order_bytes)
        self._report = os.urandom(recipe.report_bytes)
        self._replay = replay
        self._answers: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._robot = client(system, "floor-robot", self._out, self._answer)
        self._shore = client(system, "floor-shore", self._back, lambda _: self._answers.put(time.perf_counter()))

    def once(self) -> float:
        """Seconds for order, steps and report."""
        began = time.perf_counter()
        self._shore.publish(self._out, self._order, qos=1, retain=True)
        took = self._answers.get(timeout=harness.WITHIN_S) - began
        self._replay.prepare()
        return took

    def close(self) -> None:
        """Ends both clients."""
        for each in (self._robot, self._shore):
            each.disconnect()
            each.loop_stop()

    def _answer(self, _message: mqtt.MQTTMessage) -> None:
        self._replay.run()
        self._robot.publish(self._back, self._report, qos=1, retain=True)


def client(system: harness.System, name: str, topic: str, received: Any) -> mqtt.Client:
    """A connected plain client under the cloud's account that calls ``received`` with each message on a topic."""
    made = mqtt.Client(paho.mqtt.enums.CallbackAPIVersion.VERSION2, client_id=f"cloud-{name}")
    made.username_pw_set("cloud", system.cloud_password)
    subscribed: queue.SimpleQueue[None] = queue.SimpleQueue()
    made.on_connect = lambda *_: made.subscribe(topic, 1)
    made.on_subscribe = lambda *_: subscribed.put(None)
    made.on_message = lambda _client, _data, message: received(message)
    made.on_socket_open = lambda _client, _data, connection: connection.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )
    made.connect("127.0.0.1", system.broker_port)
    made.loop_start()
    subscribed.get(timeout=harness.WITHIN_S)
    return made
