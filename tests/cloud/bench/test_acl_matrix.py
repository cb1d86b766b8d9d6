"""Everybody against everything: each user and stranger, each deed, each topic, as the rule has it and as it happens.

What is expected comes from ``Topics.allows`` alone. What happens is seen by the cloud's own client, which may hear all
topics, and by the client itself. Both brokers do one packet after the other: the answer to a ping stands behind all
that was to come, so nothing is waited for that should not happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import system_world
from cloud.bench.raw_mqtt import (
    BOUND,
    CONNACK,
    Message,
    RawClient,
    connect_bytes,
    packet,
    password_of,
    publish_bytes,
    settings_for,
    subscribe_bytes,
)
from shallop_cloud.bench.broker_routes import matches
from shallop_cloud.bench.broker_run import BrokerThread
from shallop_cloud.passwords import hash_password, write_passwords
from shallop_protocol.topics import CLOUD, MONITOR, Access, Kind, Topics

TOPICS = Topics()
ROOT = TOPICS.root
DEVICE, OTHER, REVOKED = "dev-a", "dev-b", "dev-revoked"
MEMBERS = (DEVICE, OTHER, MONITOR, CLOUD)
"""Those who have an account."""
STRANGERS = {
    "revoked": (REVOKED, password_of(REVOKED)),
    "enrolment": ("enrol", "a one-time token"),
    "anonymous": (None, None),
    "wrong password": (DEVICE, password_of(OTHER)),
}
NAMES = [f"{ROOT}/{place}/{kind.value}" for place in (DEVICE, OTHER, REVOKED, CLOUD, MONITOR) for kind in Kind]
WILDCARDS = [
    *(f"{ROOT}/+/{kind.value}" for kind in Kind),
    *(f"{ROOT}/{place}/{end}" for place in (DEVICE, OTHER) for end in ("+", "#")),
    f"{ROOT}/+/+",
    f"{ROOT}/#",
    "+/v1/#",
    "#",
]
PAYLOAD, KEPT = b"said", b"kept"
PING = packet(0xC0, b"")


@dataclasses.dataclass(frozen=True)
class Place:
    """A running broker."""

    kind: str
    address: tuple[str, int]
    revoke: Callable[[str], None]


@pytest.fixture(params=["amqtt", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A broker that knows the members, and a device that is to be revoked."""
    (tmp_path / "mqtt").mkdir()
    settings = settings_for(tmp_path / "mqtt", [*MEMBERS, REVOKED])
    file = settings.password_file.rename(tmp_path / "mqtt" / "passwords")
    left = {user: hash_password(password_of(user)) for user in MEMBERS}
    if request.param == "amqtt":
        with BrokerThread(dataclasses.replace(settings, password_file=file)) as running:
            yield Place("amqtt", running.address, lambda user: write_passwords(file, left))
        return
    if system_world.find_mosquitto() is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    port = system_world.free_port()
    command = system_world.mosquitto(tmp_path, tmp_path / "mosquitto", port)
    broker = system_world.Process(command, tmp_path / "mosquitto.log", tmp_path)
    broker.start()
    try:
        system_world.wait("mosquitto listens", lambda: system_world.listens(port), within=BOUND)

        def revoke(user: str) -> None:
            write_passwords(file, left)
            broker.send(signal.SIGHUP)

        yield Place("mosquitto", ("127.0.0.1", port), revoke)
    finally:
        broker.end()


def run(scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scenario(), 60))


@contextlib.asynccontextmanager
async def member(place: Place, user: str, **options: Any) -> AsyncIterator[RawClient]:
    client = await RawClient.open(place.address)
    try:
        assert await client.connect(user, **options) == 0
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def observer(place: Place) -> AsyncIterator[RawClient]:
    """The cloud, hearing everything below the root."""
    async with member(place, CLOUD) as client:
        assert await client.subscribe(f"{ROOT}/#") == [1]
        yield client


def heard(messages: list[Message]) -> set[str]:
    return {each.topic for each in messages}


def may(user: str, access: Access) -> set[str]:
    return {name for name in NAMES if TOPICS.allows(user, access, name)}


async def publish_all(client: RawClient, names: list[str], payload: bytes, *, retain: bool) -> set[str]:
    """Each with QoS 1, all of them in one go, and then a ping behind them; gives what the client hears itself."""
    for number, name in enumerate(names, start=1):
        client.send(publish_bytes(Message(name, payload, 1, retain), number))
    return heard(await client.ping())


async def kept(observing: RawClient) -> set[str]:
    """What the broker retains, as a new subscription gets it."""
    await observing.ping()
    await observing.subscribe(f"{ROOT}/#")
    return heard([each for each in await observing.ping() if each.retain])


@pytest.mark.parametrize("user", [DEVICE, OTHER, MONITOR])
def test_publishing(place: Place, user: str):
    """Live, retained, and an empty payload, which would delete."""

    async def scenario() -> dict[str, set[str]]:
        seen = {}
        async with observer(place) as observing, member(place, user) as client:
            await publish_all(client, NAMES, PAYLOAD, retain=False)
            seen["publish"] = heard(await observing.ping())
            await publish_all(client, NAMES, PAYLOAD, retain=True)
            seen["retained publish"] = heard(await observing.ping())
            seen["kept"] = await kept(observing)
            await publish_all(observing, NAMES, KEPT, retain=True)
            await publish_all(client, NAMES, b"", retain=True)
            seen["delete"] = set(NAMES) - await kept(observing)
            await publish_all(observing, NAMES, b"", retain=True)
        return seen

    allowed = may(user, Access.PUBLISH)
    assert run(scenario) == {"publish": allowed, "retained publish": allowed, "kept": allowed, "delete": allowed}


@pytest.mark.parametrize("user", [DEVICE, OTHER, MONITOR])
def test_subscribing(place: Place, user: str):
    """By name, by wildcard and in a group; what is retained, and what is said then."""

    async def scenario() -> dict[str, tuple[set[str], set[str]]]:
        seen = {}
        async with observer(place) as cloud, member(place, user) as client:
            await publish_all(cloud, NAMES, KEPT, retain=True)
            groups = [NAMES, *([each] for each in WILDCARDS)]
            for filters in groups + [[f"$share/group/{each}" for each in group] for group in groups]:
                await client.subscribe(*filters)
                replayed = heard(await client.ping())
                said = await publish_all(cloud, NAMES, PAYLOAD, retain=False)
                assert said == set(NAMES), "the cloud hears all, whoever asks for a share"
                title = filters[0] if len(filters) == 1 else filters[0].replace(NAMES[0], "by name")
                seen[title] = (replayed, heard(await client.ping()))
                client.send(unsubscribe_bytes(filters))
                await client.ping()
        return seen

    receivable, idle = may(user, Access.RECEIVE), between_the_lines(user)
    seen = {title: tuple(each - idle for each in found) for title, found in run(scenario).items()}
    assert seen.pop("by name") == (receivable, receivable)
    for title, found in seen.items():
        if TOPICS.allows(user, Access.SUBSCRIBE, title):
            selected = {name for name in receivable if matches(title, name)}
            assert (title, *found) == (title, selected, selected)
        else:  # some brokers refuse it, others grant it and serve what may be received anyway
            assert (title, *(each - receivable for each in found)) == (title, set(), set())


def between_the_lines(user: str) -> set[str]:
    """What an allowed ``+`` selects although nobody is called so: only the cloud could speak there, and never does."""
    allowed = [each for each in WILDCARDS if TOPICS.allows(user, Access.SUBSCRIBE, each)]
    found = {name for name in NAMES if any(matches(each, name) for each in allowed)} - may(user, Access.RECEIVE)
    assert {name.split("/")[2] for name in found} <= {CLOUD, MONITOR}
    return found


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("user", [DEVICE, MONITOR])
def test_wills(place: Place, user: str, retain: bool):
    """A will is a publish: it is refused with the connection, or never said."""

    async def scenario() -> tuple[set[str], set[str]]:
        async with observer(place) as observing:
            for name in NAMES:
                client = await RawClient.open(place.address)
                if await client.connect(user, will=Message(name, PAYLOAD, 1, retain)) == 0:
                    client.cut()
                await client.close()
            async with member(place, OTHER, will=Message(TOPICS.of(OTHER, Kind.EVENT), b"the last")) as last:
                last.cut()  # its will stands behind those of all the others
            found: set[str] = set()
            while (news := await observing.message()) and news.payload != b"the last":
                found.add(news.topic)
            assert news is not None, "the will of the last client never came"
            retained = await kept(observing)
            await publish_all(observing, NAMES, b"", retain=True)
        return found, retained

    allowed = may(user, Access.PUBLISH)
    assert run(scenario) == (allowed, allowed if retain else set())


def test_taking_over(place: Place):
    """Whoever connects with another's client id leaves the other its connection, its will, and its subscriptions."""

    async def scenario() -> dict[tuple[str, str], str]:
        seen = {}
        for victim in (DEVICE, OTHER, MONITOR):
            will = None if victim == MONITOR else Message(TOPICS.of(victim, Kind.PRESENCE), b"offline")
            for thief in (DEVICE, OTHER, MONITOR):
                async with observer(place) as observing, member(place, victim, will=will) as client:
                    other = await RawClient.open(place.address)
                    await other.connect(thief, victim)
                    if thief == victim:
                        assert await client.is_closed()
                        seen[thief, victim] = "taken over"
                    else:
                        assert await client.ping() == []
                        assert await observing.ping() == []
                        seen[thief, victim] = "stands"
                    await other.close()
        return seen

    people = (DEVICE, OTHER, MONITOR)
    assert run(scenario) == {(t, v): "taken over" if t == v else "stands" for v in people for t in people}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_who_has_no_account_can_do_nothing(place: Place, stranger: str):
    """Not even in the same breath: everything is sent behind the CONNECT, without waiting for its answer."""
    user, password = STRANGERS[stranger]

    async def scenario() -> None:
        async with observer(place) as cloud, member(place, DEVICE) as victim:
            await victim.subscribe(TOPICS.of(DEVICE, Kind.DESIRED))
            await publish_all(cloud, NAMES, KEPT, retain=True)
            await victim.ping()
            await cloud.ping()
            if stranger == "revoked":
                async with member(place, REVOKED) as live:
                    place.revoke(REVOKED)
                    assert await live.is_closed(), "the connection that it had"
                await until_refused(place)
            foreign = Message(TOPICS.of(OTHER, Kind.PRESENCE), b"offline", retain=True)
            for client_id, will in itertools.product((DEVICE, user or "nobody", "cloud", ""), (foreign, None)):
                client = await RawClient.open(place.address)
                said = [connect_bytes(user, password, client_id, will=will)]
                for name in NAMES:
                    said += [publish_bytes(Message(name, payload, 1, True)) for payload in (PAYLOAD, b"")]
                said += [subscribe_bytes(1, [*NAMES, *WILDCARDS, f"$share/g/{ROOT}/#"], 1), PING]
                client.send(b"".join(said))
                kinds = await whole_answer(client)
                assert kinds in ([], [CONNACK]), f"as {client_id!r}"
                assert client.heard == []
                await client.close()
            assert await victim.ping() == []
            assert await cloud.ping() == []
            assert await kept(cloud) == set(NAMES)

    run(scenario)


async def whole_answer(client: RawClient) -> list[int]:
    """The kinds of packets that come until the broker closes; none at all if it resets the connection."""
    kinds = []
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        async with asyncio.timeout(BOUND):
            while True:
                kind, body = await client.read()
                kinds.append(kind)
                assert kind != CONNACK or body[1] != 0, "let in"
    return kinds


async def until_refused(place: Place) -> None:
    """A revocation reaches the broker within a bound."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        client = await RawClient.open(place.address)
        code = await client.connect(REVOKED)
        await client.close()
        if code:
            return
    raise AssertionError(f"{REVOKED} is still let in after {BOUND} s")


def unsubscribe_bytes(filters: list[str]) -> bytes:
    names = b"".join(len(each).to_bytes(2, "big") + each.encode() for each in filters)
    return packet(0xA2, b"\0\1" + names)
