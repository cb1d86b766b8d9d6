"""The system under torture: the processes of ``system_world`` with a bad network between them, and tampered robots."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from paho.mqtt import publish
from shallop_cloud import root_keys
from shallop_cloud.bench.proxy import Proxy
from shallop_cloud.cli import successors
from shallop_device import enrol
from shallop_protocol import keys
from system_world import SHALLOP, Process, World, wait
from torture import reading
from torture.history import Log
from torture.robot import TorturedRobot
from torture.tap import Tap

KEYS_WITHIN_S = 3.0
"""Nobody waits longer for a cloud that is stopped."""
RELEASE = {
    "version": "1.0.0",
    "config_types": [
        {"name": part, "schema": "opaque", "format": "text", "path": reading.path(part)} for part in reading.PARTS
    ],
}


class TortureWorld(World):
    """A broker, a cloud, and robots; everybody reaches the broker through ``network``."""

    def __init__(self, directory: Path, kind: str, log: Log, rng: random.Random) -> None:
        super().__init__(directory, kind)
        self.tap = Tap(log)
        self.network = Proxy(("127.0.0.1", self.broker_port), rng=rng, watch=self.tap)
        self.network.start()
        self.tortured: dict[str, TorturedRobot] = {}
        self._log = log
        host, port = self.network.address
        serve = [*SHALLOP, "serve", "--data", str(self.data), "--listen", self.url.removeprefix("http://")]
        serve += ["--broker", f"mqtt://{host}:{port}", "--broker-protocol", "5" if kind == "mosquitto" else "3.1.1"]
        self.cloud = Process(serve, directory / "cloud.log", directory)
        self._store = directory / "broker-store"
        if kind == "mosquitto":
            self._keep_a_store(directory / "mosquitto" / "mosquitto.conf")

    def join(self, names: list[str]) -> None:
        """Makes the release and these devices, enrols their robots, and starts their agents."""
        made = self.api("POST", "/v1/releases", json=RELEASE)
        assert made.status_code == 201, made.text
        for name in names:
            created = self.api("POST", "/v1/devices", json={"name": name}).json()
            robot = self.tortured[name] = TorturedRobot(name, self.directory / name, self._log)
            robot.wire_id = created["id"].lower()
            self.tap.names[robot.wire_id] = name
            self._log.write("device", name=name, id=created["id"])
            robot.open()
            enrol.enrol(self.url, created["token"], robot.robot.state, robot.robot.root)
        if self.kind == "mosquitto":
            self.broker.send(signal.SIGHUP)
        for robot in self.tortured.values():
            robot.process.start()
        for name in names:
            wait(f"{name} is online", lambda name=name: self.api("GET", f"/v1/devices/{name}").json()["online"])

    def wipe_broker(self) -> None:
        """The broker ends and forgets everything."""
        self.broker.kill()
        shutil.rmtree(self._store, ignore_errors=True)

    def start_broker(self) -> None:
        """Starts it with whatever it has."""
        if self.kind == "mosquitto":
            self._store.mkdir(exist_ok=True)
        self.broker.start()

    def say_as_cloud(self, topic: str, payload: bytes) -> None:
        """Has the broker retain a message. Raises what paho raises if it cannot be reached."""
        account: Any = {"username": "cloud", "password": (self.data / "mqtt" / "cloud.password").read_text().strip()}
        address = {"hostname": "127.0.0.1", "port": self.broker_port}
        publish.single(topic, payload, qos=1, retain=True, client_id="cloud-replays", auth=account, **address)

    def renew_keys(self, rng: random.Random) -> bool:
        """Publishes the next key list: with two keys active, if one is; else the older one counts no more. False if the
        cloud did not answer, or would not have it."""
        headers = {"Authorization": f"Bearer {self.token}"}
        root = root_keys.load(self.data / "root.key")
        try:
            with httpx.Client(base_url=self.url, headers=headers, timeout=KEYS_WITHIN_S) as client:
                present = successors.Present.of(client.get("/v1/keys").raise_for_status().json())
                old, *others = present.active
                if others:
                    state, epoch = rng.choice([(keys.KeyState.RETIRED, 0), (keys.KeyState.REVOKED, 1)])
                    listed = present.after({old.key: state}, epoch=epoch)
                else:
                    made = client.post("/v1/keys:generate").raise_for_status().json()
                    listed = present.after({}, [made["key"]])
                sealed = json.loads(keys.seal_key_list(listed, [root]))
                client.put("/v1/keys", params={"force": "true"}, json=sealed).raise_for_status()
        except (httpx.HTTPError, KeyError):
            return False
        return True

    def start(self) -> None:
        """As ``World`` does."""
        if self.kind == "mosquitto":
            self._store.mkdir(exist_ok=True)
        super().start()

    def stop(self) -> None:
        """Ends everything, whatever state it is in."""
        for robot in self.tortured.values():
            robot.close()
        super().stop()
        self.network.stop()

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """What a list of the API holds."""
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            answer = self.api("GET", path, params={"limit": 500, **parameters, **more})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield from page["data"]
            cursor = page["next_cursor"]

    def _keep_a_store(self, config: Path) -> None:
        """mosquitto writes what it retains to the disk every second, so that its death and its amnesia differ."""
        own = {"persistence_location": f"{self._store}/", "autosave_interval": "1"}
        lines = [line.split(" ") for line in config.read_text().splitlines()]
        config.write_text("\n".join(" ".join([word, own.get(word, " ".join(rest))]) for word, *rest in lines) + "\n")


@contextlib.contextmanager
def directory(keep: Path | None) -> Iterator[Path]:
    """Where a run puts its files: a directory that stays, or one that goes."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix=f"torture-{os.getpid()}-", ignore_cleanup_errors=True) as made:
        yield Path(made)
