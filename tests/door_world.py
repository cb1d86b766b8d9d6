"""A robot whose agent runs in a thread, with its door open. The test plays the broker, and time is virtual."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from shallop_device import agent, files, gates, inbox, testing, worker
from shallop_device.door import client, desk, server
from shallop_protocol import messages
from shallop_protocol.desired import Manifest

T = TypeVar("T")
WITHIN = 10.0
ACKED = gates.Rules(health=gates.Health(window=60, passes=0, acks=frozenset({"nav2"})))
"""A trial that ends with one acknowledgement."""
STARTED = messages.utc(testing.FakeClock().now())


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Local:
    """The agent behind a door. ``do`` something in its thread; ``ask`` something at its door."""

    def __init__(self, directory: Path, rules: gates.Rules, **door: Any) -> None:
        self.path = directory / "door.sock"
        self.shore = testing.Shore()
        self.items = inbox.Inbox()
        self._directory = directory
        self._rules = rules
        self._options = {"group": None, "place": self.path, **door}
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_up.wait(WITHIN)

    def _run(self) -> None:
        self.robot = testing.Robot(self._directory, self.shore, self._rules, notice=lambda said: self.desk.notice(said))
        who = self.robot.store.identity
        assert who is not None
        software = messages.Agent(version="0", started_at=STARTED)
        disk = files.RootedFiles(self.robot.root)
        self.desk = desk.Desk(who, self.robot.store, self.items, disk, time=self.robot.clock, agent=software)
        self.desk.attach(self.robot.worker)
        self.door = server.Door(at=self.desk, **self._options)
        self.is_open = self.door.open()
        self.link = testing.FakeLink()
        loop = agent.Agent(
            who, self.robot.store, self.robot.worker, self.link, time=self.robot.clock, rng=random.Random(1)
        )
        self._is_up.set()
        loop.run(self.items)
        self.door.close()
        self.robot.store.close()

    def close(self) -> None:
        self.items.put(inbox.Stop())
        if self.link.is_up:  # nobody acknowledges the good-bye
            self.items.put(self.link.lose())
        self._thread.join(WITHIN)
        assert not self._thread.is_alive()

    def do(self, act: Callable[[], T]) -> T:
        return self.items.call(act, WITHIN)

    def sleep(self, seconds: float) -> None:
        """Lets virtual time pass, and the agent do what is due then."""
        self.do(lambda: self.robot.clock.sleep(seconds))
        self.desk.ring()  # the door's own waits are by the machine's clock
        self.do(lambda: None)

    def order(self, contents: dict[str, str], fallback: str | None = None) -> Manifest:
        """Orders a deployment of these files; comes back when the agent has done what it can do at once."""
        manifest = self.shore.manifest(contents)
        self.items.put(inbox.Ordered(self.shore.seal(self.shore.order(manifest, fallback))))
        self.do(lambda: None)
        self.do(lambda: None)
        return manifest

    def connect(self) -> None:
        self.do(lambda: None)
        self.items.put(self.link.accept())
        self.do(lambda: None)

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection = client.Connection(self.path, WITHIN)
        try:
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def raw(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(WITHIN)
        connection.connect(str(self.path))
        return connection


@contextlib.contextmanager
def local(rules: gates.Rules = worker.NO_RULES, **door: Any) -> Generator[Local]:
    """In memory where there is such a place: what is told of here is not what the disk does."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared, prefix="door-") as directory:
        made = Local(Path(directory), rules, **door)
        try:
            yield made
        finally:
            made.close()


def eventually(condition: Callable[[], T]) -> T:
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("it never came about")
