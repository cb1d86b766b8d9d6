"""Who may log in as what, and do what: every user against every kind of topic, on the running broker."""

import dataclasses
import os
from typing import Any

import pytest
from cloud.bench.raw_mqtt import (
    DISCONNECT_BYTES,
    Bench,
    Message,
    connect_bytes,
    password_of,
    run,
    settings_for,
)
from shallop_cloud.bench.broker import BenchBroker
from shallop_cloud.passwords import hash_password, read_passwords, write_passwords

ROOT = "shallop/v1"
USERS = ["cloud", "monitor", "dev-a", "dev-b", "cloud-7"]
ACCEPTED, ID_REJECTED, NOT_AUTHORIZED = 0, 2, 5
REFUSED = 0x80


@pytest.fixture
def config(tmp_path) -> dict[str, Any]:
    return settings_for(tmp_path, USERS).amqtt_config()


@pytest.mark.parametrize(
    ("user", "options", "code"),
    [
        ("dev-a", {}, ACCEPTED),
        ("dev-a", {"clean": False}, ACCEPTED),
        ("dev-a", {"password": "secret of dev-b"}, NOT_AUTHORIZED),
        ("dev-a", {"password": ""}, NOT_AUTHORIZED),
        ("dev-a", {"password": None}, NOT_AUTHORIZED),
        ("dev-c", {}, NOT_AUTHORIZED),
        ("", {}, NOT_AUTHORIZED),
        (None, {}, NOT_AUTHORIZED),
        (None, {"client_id": "dev-a"}, NOT_AUTHORIZED),
        (None, {"client_id": "dev-a", "password": "secret of dev-a"}, NOT_AUTHORIZED),
        ("dev-a", {"client_id": "dev-b"}, ID_REJECTED),
        ("dev-a", {"client_id": "cloud"}, ID_REJECTED),
        ("dev-a", {"client_id": "monitor"}, ID_REJECTED),
        ("dev-a", {"client_id": "dev-a-2"}, ID_REJECTED),
        ("dev-a", {"client_id": ""}, ID_REJECTED),
        ("monitor", {}, ACCEPTED),
        ("monitor", {"client_id": "mosq-x7"}, ACCEPTED),
        ("monitor", {"client_id": ""}, ACCEPTED),
        ("monitor", {"client_id": "dev-a"}, ID_REJECTED),
        ("monitor", {"client_id": "cloud"}, ID_REJECTED),
        ("monitor", {"client_id": "cloud-2"}, ID_REJECTED),
        ("cloud", {}, ACCEPTED),
        ("cloud", {"client_id": "cloud-2"}, ACCEPTED),
        ("cloud", {"client_id": ""}, ACCEPTED),
        ("cloud", {"client_id": "mosq-x7"}, ID_REJECTED),
        ("cloud", {"client_id": "dev-a"}, ID_REJECTED),
        ("cloud", {"client_id": "monitor"}, ID_REJECTED),
        ("cloud", {"client_id": "cloud-7"}, ID_REJECTED),
        ("cloud-7", {}, ACCEPTED),
    ],
)
def test_logging_in(config, user: str | None, options: dict[str, Any], code: int):
    async def scenario(bench: Bench) -> int:
        client = await bench.open()
        found = await client.connect(user, **options)
        assert await client.is_closed() if found else await client.ping() == []
        return found

    assert run(BenchBroker, config, scenario) == code


def test_nobody_is_kicked_off_by_another_user_with_its_client_id(config):
    async def scenario(bench: Bench) -> None:
        victims = [await bench.client(user) for user in USERS]
        for thief in USERS:
            for victim in USERS:
                if thief != victim:
                    client = await bench.open()
                    assert await client.connect(thief, victim) == ID_REJECTED
        assert [await victim.ping() for victim in victims] == [[]] * len(USERS)

    run(BenchBroker, config, scenario)


FILTERS = {
    "own desired": f"{ROOT}/dev-a/desired",
    "own report": f"{ROOT}/dev-a/report",
    "another's desired": f"{ROOT}/dev-b/desired",
    "another's report": f"{ROOT}/dev-b/report",
    "every desired": f"{ROOT}/+/desired",
    "every report": f"{ROOT}/+/report",
    "own everything": f"{ROOT}/dev-a/+",
    "everything below": f"{ROOT}/#",
    "everything": "#",
    "hello": f"{ROOT}/cloud/hello",
    "elsewhere": "other/v1/dev-a/desired",
    "invalid": f"{ROOT}/dev-a#",
}
MAY_SUBSCRIBE = {
    "dev-a": {"own desired", "hello"},
    "monitor": {"own report", "another's report", "every report"},
    "cloud": {name for name in FILTERS if name not in ("everything", "elsewhere", "invalid")},
}


@pytest.mark.parametrize("user", MAY_SUBSCRIBE)
def test_subscribing(config, user: str):
    async def scenario(bench: Bench) -> set[str]:
        client = await bench.client(user)
        codes = {name: (await client.subscribe(each))[0] for name, each in FILTERS.items()}
        assert set(codes.values()) == {1, REFUSED}
        return {name for name, code in codes.items() if code == 1}

    assert run(BenchBroker, config, scenario) == MAY_SUBSCRIBE[user]


TOPICS = [f"{ROOT}/{device}/{kind}" for device in ("dev-a", "dev-b", "dev-new") for kind in
          ("desired", "report", "presence", "event", "other")] + [f"{ROOT}/cloud/hello"]  # fmt: skip
MAY_PUBLISH = {
    "dev-a": {f"{ROOT}/dev-a/report", f"{ROOT}/dev-a/presence", f"{ROOT}/dev-a/event"},
    "monitor": set[str](),
    "cloud": set(TOPICS),
}


@pytest.mark.parametrize("user", MAY_PUBLISH)
def test_publishing_is_acknowledged_and_only_what_is_allowed_is_delivered_or_retained(config, user: str):
    async def scenario(bench: Bench) -> tuple[set[str], set[str]]:
        watcher, client = await bench.client("cloud", "cloud-watcher"), await bench.client(user)
        await watcher.subscribe(f"{ROOT}/#")
        for topic in [*TOPICS, "elsewhere", "$SYS/x"]:
            await client.publish(topic, b"x", retain=True)
        delivered = {message.topic for message in await watcher.ping()}
        await watcher.subscribe(f"{ROOT}/#")
        return delivered, {message.topic for message in await watcher.ping()}

    assert run(BenchBroker, config, scenario) == (MAY_PUBLISH[user], MAY_PUBLISH[user])


@pytest.mark.parametrize("user", MAY_PUBLISH)
def test_clearing_what_is_retained_needs_the_same_right_as_publishing(config, user: str):
    async def scenario(bench: Bench) -> set[str]:
        cloud, client = await bench.client("cloud", "cloud-watcher"), await bench.client(user)
        for topic in TOPICS:
            await cloud.publish(topic, b"kept", retain=True)
        for topic in TOPICS:
            await client.publish(topic, b"", retain=True)
        await cloud.subscribe(f"{ROOT}/#")
        return set(TOPICS) - {message.topic for message in await cloud.ping()}

    assert run(BenchBroker, config, scenario) == MAY_PUBLISH[user]


@pytest.mark.parametrize("user", MAY_PUBLISH)
def test_a_will_needs_the_same_right_as_publishing(config, user: str):
    async def scenario(bench: Bench) -> set[str]:
        watcher = await bench.client("cloud", "cloud-watcher")
        await watcher.subscribe(f"{ROOT}/#")
        heard: set[str] = set()
        for topic in TOPICS:
            client = await bench.open()
            code = await client.connect(user, will=Message(topic, b"gone"))
            assert code in (ACCEPTED, NOT_AUTHORIZED)
            client.cut()
            if code == ACCEPTED:
                message = await watcher.message()
                assert message == Message(topic, b"gone")
                heard.add(topic)
        assert await watcher.ping() == []
        return heard

    assert run(BenchBroker, config, scenario) == MAY_PUBLISH[user]


def test_a_device_gets_nothing_of_another_live_or_retained(config):
    async def scenario(bench: Bench) -> list[Message]:
        cloud, device = await bench.client("cloud"), await bench.client("dev-a")
        other = f"{ROOT}/dev-b/desired"
        await cloud.publish(other, b"retained", retain=True)
        assert await device.subscribe(other, f"{ROOT}/+/desired", f"{ROOT}/#", "#") == [REFUSED] * 4
        await cloud.publish(other, b"live")
        return await device.ping()

    assert run(BenchBroker, config, scenario) == []


def test_a_granted_wildcard_delivers_only_what_its_user_may_receive(config):
    """``{root}/+/report`` also selects ``{root}/cloud/report``, which is no device's."""

    async def scenario(bench: Bench) -> list[Message]:
        cloud, monitor = await bench.client("cloud"), await bench.client("monitor")
        topics = [f"{ROOT}/cloud/report", f"{ROOT}/dev-a/report"]
        for topic in topics:
            await cloud.publish(topic, b"retained", retain=True)
        await monitor.subscribe(f"{ROOT}/+/report")
        for topic in topics:
            await cloud.publish(topic, b"live")
        return await monitor.ping()

    own = Message(f"{ROOT}/dev-a/report", b"retained", retain=True)
    assert run(BenchBroker, config, scenario) == [own, dataclasses.replace(own, payload=b"live", retain=False)]


def test_every_device_hears_hello(config):
    async def scenario(bench: Bench) -> list[list[Message]]:
        devices = [await bench.client("dev-a"), await bench.client("dev-b")]
        for device in devices:
            await device.subscribe(f"{ROOT}/cloud/hello")
        await (await bench.client("cloud")).publish(f"{ROOT}/cloud/hello", b"hi")
        return [await device.ping() for device in devices]

    assert run(BenchBroker, config, scenario) == [[Message(f"{ROOT}/cloud/hello", b"hi")]] * 2


def test_another_root_is_another_world(tmp_path):
    config = settings_for(tmp_path, ["dev-a"], topic_root="acme/bench").amqtt_config()

    async def scenario(bench: Bench) -> list[int]:
        device = await bench.client("dev-a")
        return await device.subscribe("acme/bench/dev-a/desired", f"{ROOT}/dev-a/desired")

    assert run(BenchBroker, config, scenario) == [1, REFUSED]


def test_a_will_is_not_published_after_a_disconnect(config):
    async def scenario(bench: Bench) -> list[Message]:
        monitor = await bench.client("monitor")
        await monitor.subscribe(f"{ROOT}/dev-a/presence")
        device = await bench.client("dev-a", will=Message(f"{ROOT}/dev-a/presence", b"offline"))
        device.send(DISCONNECT_BYTES)
        assert await device.is_closed()
        hasty = await bench.open()
        hasty.send(
            connect_bytes("dev-a", password_of("dev-a"), "dev-a", will=Message(f"{ROOT}/dev-a/presence", b"offline"))
            + DISCONNECT_BYTES
        )
        assert await hasty.is_closed()
        return await monitor.ping()

    assert run(BenchBroker, config, scenario) == []


def test_the_password_file_is_read_again_when_it_changes(tmp_path):
    settings = settings_for(tmp_path, ["dev-a"])
    path = settings.password_file

    async def scenario(bench: Bench) -> list[int]:
        async def code(user: str, password: str) -> int:
            return await (await bench.open()).connect(user, password=password)

        codes = [await code("dev-new", "token")]
        write_passwords(path, {**read_passwords(path), "dev-new": hash_password("token")})
        codes.append(await code("dev-new", "token"))
        write_passwords(path, {"dev-new": hash_password("other")})
        codes += [
            await code("dev-new", "token"),
            await code("dev-new", "other"),
            await code("dev-a", "secret of dev-a"),
        ]
        path.write_text("nonsense")
        codes.append(await code("dev-new", "other"))
        path.unlink()
        codes += [await code("dev-new", "other"), await code("dev-a", "secret of dev-a")]
        return codes

    good, bad = ACCEPTED, NOT_AUTHORIZED
    assert run(BenchBroker, settings.amqtt_config(), scenario) == [bad, good, bad, good, bad, good, good, bad]


def test_a_new_password_counts_even_if_the_file_looks_the_same(tmp_path):
    """Two writes within one tick of the file system's clock: what looks wrong is read again before it is refused."""
    settings = settings_for(tmp_path, ["dev-a"])
    path = settings.password_file
    status = path.stat()

    async def scenario(bench: Bench) -> int:
        await bench.client("dev-a")
        with path.open("r+") as file:
            file.write(f"dev-a:{hash_password('another')}\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return await (await bench.open()).connect("dev-a", password="another")

    assert run(BenchBroker, settings.amqtt_config(), scenario) == ACCEPTED
