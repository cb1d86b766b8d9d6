"""The connection to the broker, on the bench broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shallop_cloud import passwords
from shallop_cloud.bench import embedded
from shallop_cloud.link.connection import BrokerUrl, Connection
from shallop_protocol.topics import Topics
from system_world import wait

PASSWORD = "a password of the cloud"
HELLO = Topics().hello


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerUrl]:
    file = tmp_path / "passwords"
    passwords.write_passwords(file, {"cloud": passwords.hash_password(PASSWORD)})
    with embedded.broker(file, None, ("127.0.0.1", 0), Topics()) as (host, port):
        yield BrokerUrl(host, port, "cloud", PASSWORD)


class Side:
    """A connection, what came, and whether it may send."""

    def __init__(self, broker: BrokerUrl) -> None:
        self.came: list[bytes] = []
        self.ups = 0
        self.may_send = True
        filters = [HELLO]
        self.connection = Connection(broker, "3.1.1", filters, self._received, self._connected, lambda: self.may_send)

    def _received(self, _topic: str, payload: bytes) -> None:
        self.came.append(payload)

    def _connected(self) -> None:
        self.ups += 1

    def __enter__(self) -> Side:
        self.connection.start()
        wait("it is connected", lambda: self.ups == 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.stop()

    def say(self, text: bytes) -> int:
        return self.connection.publish_many([(HELLO, text)], retain=False)


def test_nothing_leaves_when_it_may_not(broker: BrokerUrl) -> None:
    with Side(broker) as side:
        assert side.say(b"one") == 1
        side.may_send = False
        assert not side.connection.is_up
        assert side.say(b"two") == 0
        side.may_send = True
        assert side.say(b"three") == 1
        wait("they come back", lambda: len(side.came) == 2)
        assert side.came == [b"one", b"three"]


def test_the_broker_cuts_off_who_was_there_before(broker: BrokerUrl) -> None:
    with Side(broker) as before, Side(broker):
        wait("the first was cut off, and is back", lambda: before.ups == 2)
