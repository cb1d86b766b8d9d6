"""Who takes part: somebody on the broker, and a robot."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt import enums
from shallop_device import daemon, enrol, inbox, schema, settings

WITHIN_S = 15.0


def wait(what: str, holds: Callable[[], Any], within: float = WITHIN_S) -> Any:
    """Waits for a condition, with a bound, and gives what it gave."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.005)
    raise AssertionError(f"after {within} s it is still not so that {what}")


class Refused(Exception):
    """The broker does not let somebody in."""


class Client:
    """Somebody on the broker. It hears what it may, and says what it likes, allowed or not.

    Attributes:
        heard: topic and payload of each message, in order, without its own.
    """

    def __init__(
        self,
        address: tuple[str, int],
        name: str,
        account: tuple[str, str] | None,
        *filters: str,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self.name = name
        self.heard: list[tuple[str, bytes]] = []
        self._said: set[bytes] = set()
        self._client = mqtt.Client(
            enums.CallbackAPIVersion.VERSION2, client_id=name, reconnect_on_failure=False, clean_session=True
        )
        if account:
            self._client.username_pw_set(*account)
        if will:
            self._client.will_set(*will, qos=1, retain=True)
        subscribed, refused = threading.Event(), list[str]()

        def connected(client: mqtt.Client, _data: object, _flags: object, code: Any, _properties: object) -> None:
            refused.extend([str(code)] if code.is_failure else [])
            if filters and not refused:
                client.subscribe([(each, 1) for each in filters])
            else:
                subscribed.set()

        def granted(*_: object) -> None:
            subscribed.set()

        self._client.on_connect = connected
        self._client.on_subscribe = granted
        self._client.on_message = self._hear
        self._client.connect(*address)
        self._client.loop_start()
        assert subscribed.wait(WITHIN_S)
        if refused:
            self.close()
            raise Refused(refused[0])

    @property
    def is_connected(self) -> bool:
        """Whether the broker has not cut it off."""
        return self._client.is_connected()

    def say(self, topic: str, payload: bytes, *, retain: bool = True, within: float = WITHIN_S) -> None:
        """Publishes it, as if it came from whoever speaks there, and waits for the broker's answer: to what it does not
        allow, one ends the connection instead."""
        self._said.add(payload)
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(within)

    def of(self, topic: str) -> list[bytes]:
        """What others said there."""
        return [payload for heard, payload in tuple(self.heard) if heard == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.payload not in self._said:
            self.heard.append((message.topic, message.payload))


class Robot:
    """An agent in a thread, on directories that outlive it."""

    def __init__(self, directory: Path, url: str, token: str) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.root = directory / "root"
        self.who = enrol.enrol(url, token, self.state, self.root)
        self._thread: threading.Thread | None = None
        self._items = inbox.Inbox()

    @property
    def wire(self) -> str:
        return self.who.wire_id

    def start(self, **sections: Any) -> None:
        """Starts the agent; ``sections`` are of its settings."""
        door = settings.Door(enabled=False)
        chosen = settings.Settings(
            state=self.state, **{"retry": settings.Retry(first_s=0.05, cap_s=0.2), "door": door, **sections}
        )
        self._items = inbox.Inbox()
        self._thread = threading.Thread(target=daemon.run, args=(chosen, self._items), name=f"agent-{self.wire}")
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._items.put(inbox.Stop())
            self._thread.join(WITHIN_S)
            assert not self._thread.is_alive()
            self._thread = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin_anew(self, url: str, token: str) -> None:
        """Loses its database, as with a new disk, and is enrolled again."""
        for path in self.state.glob(f"{schema.FILE}*"):
            path.unlink()
        self.who = enrol.enrol(url, token, self.state, self.root)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Bytes and mode of what robot software reads, by path; and where that is."""
        current = self.root / "current"
        found = {
            str(path.relative_to(current)): (path.read_bytes(), path.stat().st_mode)
            for path in sorted(current.rglob("*"))
            if path.is_file()
        }
        return {**found, "current": (os.fsencode(current.readlink()), 0)} if current.is_symlink() else found

    def around(self) -> list[str]:
        """All names in the robot's directory but those of its state."""
        return sorted(
            str(path.relative_to(self.directory))
            for path in self.directory.rglob("*")
            if self.state not in path.parents and "deployments" not in path.relative_to(self.directory).parts
        )
