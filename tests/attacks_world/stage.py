"""The cloud, the broker, robots and the attacker, together."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import structlog.testing
import system_world
from shallop_cloud import keyring, server
from shallop_cloud.bench import broker_plugins, broker_run, broker_settings
from shallop_cloud.brokers import mosquitto
from shallop_protocol import dsse, keys, messages, topics
from shallop_protocol.topics import Kind

from attacks_world.forging import order_of
from attacks_world.people import Client, Robot, wait

TOPICS = topics.Topics()
RELEASE = {
    "version": "1.0.0",
    "config_types": [
        {"name": name, "schema": "opaque", "format": "text", "path": f"{name}/{name}.txt"} for name in ("left", "right")
    ],
}
BROKER_BYTES = 16 << 20
"""The largest packet that the broker carries: its holder sets that, so it is more than anybody has to take."""


Said = TypeVar("Said", messages.Report, messages.Presence, messages.Event)


class Stage:
    """A cloud, a broker of one kind, robots, and the attacker."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.kind = kind
        self._stack = contextlib.ExitStack()
        self._back_door = system_world.free_port()
        self._number = 0
        self._events_before = 0
        self._mosquitto: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise

    def _start(self) -> None:
        protocol = "5" if self.kind == "mosquitto" else "3.1.1"
        start = self._run_mosquitto if self.kind == "mosquitto" else self._run_amqtt
        self._prepare_keys()
        chosen = server.Settings(self.data, ("127.0.0.1", 0), broker_protocol=protocol)
        running = self._stack.enter_context(server.run(chosen, start))
        self._stack.callback(lambda: [robot.stop() for robot in self.robots.values()])
        self.robots: dict[str, Robot] = {}
        self.url = running.url
        headers = {"Authorization": f"Bearer {running.token}"}
        self._client = self._stack.enter_context(httpx.Client(base_url=self.url, headers=headers, timeout=30))
        host, _, port = running.broker.removeprefix("mqtt://").rpartition(":")
        self.broker = (host, int(port))
        everything = f"{TOPICS.root}/#"
        if self.kind == "mosquitto":
            self.attacker = Client(("127.0.0.1", self._back_door), "somebody", None, everything)
        else:
            password = (self.data / "mqtt" / "cloud.password").read_text().strip()
            self.attacker = Client(self.broker, "cloud-somebody", (topics.CLOUD, password), everything)
        self._stack.callback(self.attacker.close)
        self.must("POST", "/v1/releases", RELEASE)
        self.robot = self.add_robot("amr-1")
        self.order()
        self.order()

    def close(self) -> None:
        self._stack.close()

    def begin(self) -> None:
        """An attack begins: what is told counts from now on."""
        self._events_before = len(self.events())

    # What the operator does.

    def must(self, method: str, path: str, body: object = None, **query: Any) -> Any:
        """The answer to a request that succeeds."""
        answer = self._client.request(method, path, json=body, params=query or None)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def add_robot(self, name: str) -> Robot:
        """Makes a device and enrols and starts its robot."""
        made = self.must("POST", "/v1/devices", {"name": name})
        robot = self.robots[name] = Robot(self.directory / name, self.url, made["token"])
        self.reload()
        robot.start()
        wait(f"{name} is connected", lambda: self.reports(robot))
        return robot

    def make(self, text: str, robot: Robot | None = None, **more: Any) -> str:
        """Orders two files that belong together. Gives the deployment's id."""
        configs = [{"config_type": name, "content": f"{name}: {text}\n"} for name in ("left", "right")]
        body = {"device": (robot or self.robot).who.name, "release": "1.0.0", "configs": configs, **more}
        return self.must("POST", "/v1/deployments", body)["id"]

    def order(self, text: str = "", robot: Robot | None = None) -> str:
        """Orders it, and sees that the robot obeys, refuses nothing any more, and has exactly these bytes."""
        robot = robot or self.robot
        self._number += 1
        text = text or f"number {self._number}"
        made = self.make(text, robot)
        wait(f"{made} is in force, and nothing beside it", lambda: self._is_settled(robot, made))
        assert self.report(robot).refused is None
        files = {path: data for path, (data, _) in robot.files().items() if path != "current"}
        assert files == {f"{name}/{name}.txt": f"{name}: {text}\n".encode() for name in ("left", "right")}
        return made

    def _is_settled(self, robot: Robot, deployment: str) -> bool:
        """Whether the robot has obeyed the newest order, which names this deployment alone, and the cloud knows it."""
        known = self.device(robot.who.name)
        is_alone = known["in_sync"] and (known["current"], known["fallback"]) == (deployment, None)
        return is_alone and known["last_known"]["current"] == deployment and not known["last_known"]["refused"]

    def device(self, name: str = "amr-1") -> dict[str, Any]:
        """What the cloud shows of a device."""
        return self.must("GET", f"/v1/devices/{name}")

    def bundle(self, robot: Robot) -> bytes:
        """The newest order of a robot, to be carried by hand."""
        answer = self._client.get(f"/v1/devices/{robot.who.name}/bundle")
        assert answer.is_success, answer.text
        return answer.content

    @contextlib.contextmanager
    def log(self) -> Generator[list[Mapping[str, Any]]]:
        """What the cloud logs meanwhile."""
        with structlog.testing.capture_logs() as lines:
            yield lines

    def history(self) -> list[dict[str, Any]]:
        """The newest rows of the audit log, newest first."""
        return self.must("GET", "/v1/history", limit=50)["data"]

    # What the holders of the two root keys do.

    def _prepare_keys(self) -> None:
        """Two roots, who have to sign together, and list 1, as made before a first start."""
        self.roots = [dsse.signer_from_seed(bytes([number]) * 32) for number in (1, 2)]
        self.data.mkdir(mode=0o700)
        first = keyring.first_list(keyring.signing_key(self.data).key, datetime.datetime.now(datetime.UTC))
        prepared = keyring.Prepared(
            roots=[each.key.text for each in self.roots],
            threshold=len(self.roots),
            key_list=keys.seal_key_list(first, self.roots).decode(),
        )
        (self.data / keyring.PREPARED).write_text(prepared.model_dump_json())

    @property
    def listed(self) -> keys.KeyList:
        """The newest key list that the cloud published."""
        pinned = keys.Roots(tuple(each.key for each in self.roots), len(self.roots))
        return keys.open_key_list(self.attacker.of(TOPICS.keys)[-1], pinned)

    def successor(self, **fields: Any) -> keys.KeyList:
        """The key list that comes next, with these fields."""
        known = self.listed
        return known.model_copy(update={"version": known.version + 1, **fields})

    def renew(self, **fields: Any) -> keys.KeyList:
        """Puts the next key list in force, and sees that the robot goes by it."""
        listed = self.successor(**fields)
        self.must("PUT", "/v1/keys", json.loads(keys.seal_key_list(listed, self.roots)), force=True)
        wait(f"the robot goes by key list {listed.version}", lambda: self.report().keys == listed.version)
        self.begin()
        return listed

    def rotate(self, state: keys.KeyState, *, epoch: int = 0) -> keys.KeyList:
        """A new signing key takes the place of all others, which get this state."""
        fresh = keys.SigningKey(key=self.must("POST", "/v1/keys:generate")["key"], state=keys.KeyState.ACTIVE)
        old = [
            each if each.state is not keys.KeyState.ACTIVE else each.model_copy(update={"state": state})
            for each in self.listed.signing_keys
        ]
        return self.renew(signing_keys=(*old, fresh), epoch=self.listed.epoch + epoch)

    # What the robot says.

    def reports(self, robot: Robot | None = None) -> list[messages.Report]:
        """Its reports so far."""
        return self._said(messages.Report, Kind.REPORT, robot)

    def report(self, robot: Robot | None = None) -> messages.Report:
        """Its newest one."""
        return self.reports(robot)[-1]

    def _said(self, model: type[Said], kind: Kind, robot: Robot | None) -> list[Said]:
        """What a robot said of itself; not what somebody else did in its place, of another."""
        wire = (robot or self.robot).wire
        said = [model.model_validate_json(body) for body in self.attacker.of(TOPICS.of(wire, kind)) if body]
        return [each for each in said if each.device == wire]

    def connections(self) -> list[int]:
        """The numbers of the robot's connections so far, as it said them itself."""
        said = self._said(messages.Presence, Kind.PRESENCE, None)
        return list(dict.fromkeys(each.connection for each in said if each.status == "online"))

    def events(self) -> list[messages.Event]:
        """The robot's events so far."""
        return self._said(messages.Event, Kind.EVENT, None)

    # What the attacker does.

    def topic(self, kind: Kind, robot: Robot | None = None) -> str:
        """The robot's topic of one kind."""
        return TOPICS.of((robot or self.robot).wire, kind)

    def say(self, payload: bytes, *, retain: bool = True, robot: Robot | None = None) -> None:
        """Says something as the robot's desired state."""
        self.attacker.say(self.topic(Kind.DESIRED, robot), payload, retain=retain)

    def captured(self, robot: Robot | None = None) -> list[bytes]:
        """The cloud's orders for a robot so far as they went over the broker, of each deployment the newest."""
        found = self.attacker.of(self.topic(Kind.DESIRED, robot))
        return list({order.deployment.id: data for data in found if (order := order_of(data)).deployment}.values())

    @property
    def leaked(self) -> dsse.Signer:
        """The newest signing key, stolen from the server."""
        held = [dsse.signer_from_seed(bytes.fromhex(path.read_text())) for path in self.data.glob("signing*.key")]
        active = list(self.listed.active)
        return next(signer for signer in held if signer.key.keyid == active[-1])

    def refused(self, code: str, words: str, robot: Robot | None = None) -> None:
        """Waits until the robot's report, and what the cloud shows of it, say that it refused, by this code and with
        these words."""

        def said() -> bool:
            found = self.report(robot).refused
            return found is not None and found.code == code and words in found.message

        wait(f"the report says {code} ({words})", said)
        name = (robot or self.robot).who.name

        def shown() -> bool:
            refused = self.device(name)["last_known"]["refused"]
            return refused is not None and (refused["code"], words in refused["message"]) == (code, True)

        wait(f"the cloud shows {code}", shown)

    def tells(self, code: str, words: str) -> None:
        """Waits until an event of the robot says so, since the attack began."""
        wait(
            f"an event says {code} ({words})",
            lambda: (code, True) in [(e.code, words in e.message) for e in self.events()[self._events_before :]],
        )

    def restart(self, **sections: Any) -> None:
        """Starts the robot's agent again, and waits until it has said all of it on a new connection."""
        said = len(self.reports())
        self.robot.stop()
        self.robot.start(**sections)
        wait("it reports on a new connection", lambda: len(self.reports()) > said)

    def impostor(self, robot: Robot, *filters: str, will: tuple[str, bytes] | None = None) -> Client:
        """Somebody with a robot's credential, whom the broker takes for that robot."""
        return Client(self.broker, robot.wire, (robot.who.username, robot.who.password), *filters, will=will)

    @contextlib.contextmanager
    def withheld(self, *held_back: str) -> Generator[Callable[[str, bytes], None]]:
        """The bench broker delivers nothing of these topics to the robot. The value says something there all the same,
        as the attacker."""
        real = broker_plugins.TopicAccess.allows
        is_open = threading.Event()

        def allows(rules: broker_plugins.TopicAccess, user: str, access: topics.Access, topic: str) -> bool:
            is_heard = user == self.robot.wire and access is topics.Access.RECEIVE
            is_held_back = is_heard and topic in held_back and not is_open.is_set()
            return not is_held_back and real(rules, user, access, topic)

        def slip_in(topic: str, payload: bytes) -> None:
            is_open.set()
            self.attacker.say(topic, payload, retain=False)
            is_open.clear()

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(broker_plugins.TopicAccess, "allows", allows)
            yield slip_in

    @contextlib.contextmanager
    def thief(self, robot: Robot, *filters: str) -> Generator[Client]:
        """An impostor, while the robot itself is off."""
        robot.stop()
        thief = self.impostor(robot, *filters)
        try:
            yield thief
        finally:
            thief.close()
            robot.start()

    # The brokers.

    def reload(self) -> None:
        """Has mosquitto read its password file again."""
        if self._mosquitto is not None:
            self._mosquitto.send_signal(signal.SIGHUP)

    @contextlib.contextmanager
    def _run_amqtt(self, passwords: Path) -> Generator[tuple[str, int]]:
        shipped = broker_settings.load_settings()
        chosen = dataclasses.replace(
            shipped, bind="127.0.0.1:0", password_file=passwords, max_packet_bytes=BROKER_BYTES
        )
        with broker_run.BrokerThread(chosen) as running:
            yield running.address

    @contextlib.contextmanager
    def _run_mosquitto(self, passwords: Path) -> Generator[tuple[str, int]]:
        """With a second listener without any rules: its holder's way in."""
        port = system_world.free_port()
        acl = self.directory / "acl"
        acl.write_text(mosquitto.access_list(TOPICS))
        acl.chmod(0o700)
        own = [f"listener {self._back_door} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0"]
        front = [
            f"listener {port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {passwords}",
            f"acl_file {acl}",
            "use_username_as_clientid true",
        ]
        config = self.directory / "mosquitto.conf"
        config.write_text(
            "\n".join(["per_listener_settings true", f"user {os.environ.get('USER', 'root')}", *own, *front, ""])
        )
        program = system_world.find_mosquitto()
        assert program is not None
        with (self.directory / "broker.log").open("wb") as log:
            self._mosquitto = subprocess.Popen([program, "-c", config], stderr=log)
        try:
            system_world.wait("mosquitto listens", lambda: _answers(port))
            yield "127.0.0.1", port
        finally:
            self._mosquitto.kill()
            self._mosquitto.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
