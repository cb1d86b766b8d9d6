"""Who is connected must still be in the password file: whoever is not any more is cut."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from cloud.bench.raw_mqtt import Bench, Message, password_of, run, settings_for
from shallop_cloud.bench import broker
from shallop_cloud.passwords import hash_password, write_passwords

USERS = ["cloud", "dev-a", "dev-b", "dev-c"]
WILL = Message("shallop/v1/dev-a/presence", b"gone", 1, True)
BOUND_S = 2.0


def test_a_connection_ends_with_its_account_or_its_password_and_others_stay(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, USERS)

    async def scenario(bench: Bench) -> float:
        cloud = await bench.client("cloud")
        await cloud.subscribe(WILL.topic)
        revoked, renewed, stays = (
            await bench.client("dev-a", will=WILL),
            *[await bench.client(each) for each in USERS[2:]],
        )
        began = time.monotonic()
        kept = {user: hash_password(password_of(user)) for user in ("cloud", "dev-c")}  # with another salt
        write_passwords(settings.password_file, {**kept, "dev-b": hash_password("of a robot that was set up anew")})
        assert await revoked.is_closed()
        assert await renewed.is_closed()
        took = time.monotonic() - began
        heard = await cloud.message()
        assert heard is not None
        assert heard.payload == b"gone"
        assert await stays.ping() == []
        return took

    assert run(broker.BenchBroker, settings.amqtt_config(), scenario) < BOUND_S


def test_a_file_that_cannot_be_read_cuts_nobody(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, USERS)

    async def scenario(bench: Bench) -> None:
        robot, other = await bench.client("dev-a"), await bench.client("dev-b")
        settings.password_file.write_text("no password file")
        await bench.client("dev-c")  # the broker has looked at it
        await asyncio.sleep(1.5 * broker.ACCOUNTS_EVERY_S)
        assert await robot.ping() == []
        write_passwords(tmp_path / "later", {"cloud": hash_password("x"), "dev-b": hash_password(password_of("dev-b"))})
        (tmp_path / "later").replace(settings.password_file)
        assert await robot.is_closed()
        assert await other.ping() == []

    run(broker.BenchBroker, settings.amqtt_config(), scenario)
