"""What the device's tests share: a robot on a temporary disk, a broker, and a cloud that answers enrolments."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt import enums
from shallop_cloud.bench.fleet import ports
from shallop_device import testing
from shallop_protocol import topics

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@pytest.fixture
def shore() -> testing.Shore:
    return testing.Shore()


@pytest.fixture
def robot(tmp_path: Path, shore: testing.Shore) -> Generator[testing.Robot]:
    robot = testing.Robot(tmp_path, shore)
    robot.boot()
    yield robot
    robot.store.close()


@pytest.fixture
def memory_path(tmp_path: Path) -> Generator[Path]:
    """A directory in memory where there is one: for tests that write much, and lose nothing by a sync that is none."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        yield Path(directory)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a condition holds, and gives what it gave; fails after 15 seconds."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.01)
        raise AssertionError("it never came about")

    return wait


class Broker:
    """A mosquitto of one test, which can be stopped and started on the same port. It keeps nothing while down."""

    def __init__(self, directory: Path) -> None:
        self.port = ports.free()
        self._config = directory / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self, *settings: str) -> None:
        lines = [f"listener {self.port} 127.0.0.1", "user root", *(settings or ["allow_anonymous true"])]
        self._config.write_text("\n".join([*lines, ""]))
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError("mosquitto did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def broker(tmp_path: Path) -> Generator[Broker]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


class Watch:
    """A client that hears everything below the root, as the cloud does, and can publish."""

    def __init__(self, broker: Broker) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(enums.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topics.DEFAULT_ROOT}/#", 1)
        self._client.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def of(self, topic: str) -> list[bytes]:
        return [payload for heard, payload in list(self.heard) if heard == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def watch(broker: Broker) -> Generator[Watch]:
    watch = Watch(broker)
    yield watch
    watch.close()


class FakeCloud(http.server.ThreadingHTTPServer):
    """Answers enrolments as it was told to, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, bytes] | None] = []
        """Status and body for each call in turn, the last one for ever; None hangs up instead."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def will_answer(self, *answers: tuple[int, dict[str, Any]] | None) -> None:
        self.answers = [answer and (answer[0], json.dumps(answer[1]).encode()) for answer in answers]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FakeCloud

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append({"path": self.path, **json.loads(body)})
        answers = self.server.answers
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if answer is None:
            self.connection.close()
            return
        status, content = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def cloud() -> Generator[FakeCloud]:
    cloud = FakeCloud()
    thread = threading.Thread(target=cloud.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield cloud
    cloud.shutdown()
    thread.join()
    cloud.server_close()
