"""What a service manager hears, over a real socket, and what it hands over."""

from __future__ import annotations

import math
import os
import random
import socket
import subprocess
import sys

import pytest
from shallop_device import agent, inbox, notify, testing


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        name = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path.name}-{os.getpid()}"
        heard.bind(name if request.param == "path" else f"\0{name[1:]}")
        heard.settimeout(0)
        yield heard, name


def heard(manager) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager[0].recv(4096).decode())
        except BlockingIOError:
            return found


def test_what_is_told_and_how_often(manager):
    now = [100.0]
    told = notify.Notifier({"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "60000000"}, lambda: now[0])

    told.ready()
    assert told.beat("connected") == 30.0
    now[0] = 129.0
    assert told.beat("connected") == 1.0
    assert heard(manager) == ["READY=1", "STATUS=connected", "WATCHDOG=1"]
    now[0] = 130.0
    assert told.beat("not connected") == 30.0
    told.stopping()

    assert heard(manager) == ["STATUS=not connected", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
)
def test_without_a_watchdog(environment):
    told = notify.Notifier(environment)

    told.ready()

    assert told.beat("x") == math.inf


def test_a_manager_that_is_gone_harms_nothing(tmp_path):
    notify.Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_the_agent_tells_of_its_life(robot, manager):
    told = notify.Notifier({"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "60000000"}, robot.clock.monotonic)
    items, line = inbox.Inbox(), testing.FakeLink()
    items.put(inbox.Touched())
    items.put(inbox.Stop())

    who = robot.store.identity
    works = agent.Agent(who, robot.store, robot.worker, line, time=robot.clock, rng=random.Random(1), heart=told)
    works.run(items)

    assert heard(manager) == [
        "READY=1",
        "STATUS=not connected to mqtt://127.0.0.1:1883, failures in a row: 0",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


_CHILD = """
import os, sys
from shallop_device import notify
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[2])
handed = notify.listening()
print(handed.getsockname() if handed else None, "LISTEN_FDS" in os.environ, notify.listening())
"""


def test_a_socket_is_handed_over(tmp_path):
    path = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as door, socket.create_server(("127.0.0.1", 0)) as other:
        door.bind(path)
        door.listen()

        def child(descriptor: int, count: str) -> str:
            command = [sys.executable, "-c", _CHILD, str(descriptor), count]
            return subprocess.run(
                command, pass_fds=[descriptor], capture_output=True, text=True, check=True, timeout=30
            ).stdout.strip()

        assert child(door.fileno(), "1") == f"{path} False None"
        assert child(other.fileno(), "1") == "None False None"
        assert child(door.fileno(), "0") == "None False None"


def test_what_was_handed_to_another_process_is_not_ours():
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "PATH": "/bin"}

    assert notify.listening(environment) is None
    assert environment == {"PATH": "/bin"}
