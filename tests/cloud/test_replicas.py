"""Two servers on one PostgreSQL, as far as they need no broker: whatever they do at once is as if one did it."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from cloud_world import World
from postgres_world import Server
from shallop_cloud import errors
from shallop_cloud.link.publisher import Publisher
from shallop_cloud.store import devices, history, tables
from shallop_protocol.topics import Kind
from system_world import wait

SCHEMA = {"entry": "a.json", "documents": {"a.json": '{"type": "object"}'}}


class Line:
    """The broker's side: the topics that came."""

    def __init__(self) -> None:
        self.is_up = True
        self.sent: list[str] = []

    def publish_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> int:
        self.sent += [topic for topic, _ in messages]
        return len(messages)


@contextlib.contextmanager
def _publishing(world: World) -> Iterator[Line]:
    """What leaves while a server with this world's database holds the link."""
    line, shore = Line(), world.ashore.shore
    publisher = Publisher(shore.database, shore.keyring, shore.topics, line, shore.limits.envelope, poll_s=0.05)
    publisher.start()
    yield line
    assert publisher.is_alive
    publisher.stop()


@pytest.fixture
def pair(tmp_path: Path, postgres: Server) -> Iterator[tuple[World, World]]:
    """Two shores with directories of their own and one database."""
    url = postgres.create()
    worlds: list[World] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        worlds.append(World(tmp_path / name, url))
        worlds[-1].ashore.app.openapi()  # FastAPI completes its routes at first use, which two threads must not do
    yield worlds[0], worlds[1]
    for world in worlds:
        world.close()
    postgres.drop(url)


def _at_once(*acts: Callable[[], httpx.Response]) -> Counter[int]:
    """How often each status was answered when all of these were asked for together."""
    gate = threading.Barrier(len(acts))
    outcomes: list[int] = []

    def do(act: Callable[[], httpx.Response]) -> None:
        gate.wait()
        outcomes.append(act().status_code)

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(outcomes)


def _check_history(world: World) -> None:
    with world.ashore.shore.database.read() as connection:
        assert history.verify(connection).whole


def test_of_fifty_on_each_one_wins(pair: tuple[World, World]) -> None:
    one, two = pair
    one.release()
    one.device()
    key = one.order("max: 1\n", staged=True)
    deploy = [lambda world=world: world.api("POST", f"/v1/deployments/{key}:deploy", {}) for world in pair]
    assert _at_once(*(deploy * 50)) == {200: 1, 409: 99}
    actions = [row["action"] for row in two.must("GET", f"/v1/deployments/{key}/history")["data"]]
    assert actions == ["staged", "queued"]
    _check_history(one)


def test_no_order_is_lost(pair: tuple[World, World]) -> None:
    """Each of them raises the generation by one, and takes the place of the one before."""
    one, two = pair
    one.release()
    robot = one.device()
    configs = [{"config_type": "motion", "content": "max: 1\n"}]
    body = {"device": "amr-1", "release": "1.0.0", "configs": configs}
    order = [lambda world=world: world.api("POST", "/v1/deployments", body) for world in pair]
    assert _at_once(*(order * 10)) == {201: 20}
    with two.ashore.shore.database.read() as connection:
        assert devices.load(connection, robot.id).generation == 20
    rows = two.must("GET", "/v1/deployments", limit=100)["data"]
    assert Counter(row["target_status"] for row in rows) == {"deployed": 1, "archived": 19}
    _check_history(one)


def test_one_archives_what_the_other_deploys(pair: tuple[World, World]) -> None:
    """Whoever comes second decides on what the first left, and not on what it read before."""
    one, two = pair
    one.release()
    one.device()
    for _ in range(8):
        key = one.order("max: 1\n", staged=True)
        outcomes = _at_once(
            lambda key=key: one.api("POST", f"/v1/deployments/{key}:deploy", {}),
            lambda key=key: two.api("POST", f"/v1/deployments/{key}:archive", {}),
        )
        assert outcomes in ({200: 2}, {200: 1, 409: 1})
        assert one.statuses(key)[0] == "archived"
    _check_history(one)


def test_batches_that_overlap_do_not_wait_for_each_other_for_ever(pair: tuple[World, World]) -> None:
    one, two = pair
    one.release()
    names = [f"amr-{number}" for number in range(12)]
    for name in names:
        one.device(name)
    configs = [{"config_type": "motion", "content": "max: 1\n"}]
    body = {"release": "1.0.0", "configs": configs}
    outcomes = _at_once(
        *(lambda: one.api("POST", "/v1/deployments:batch", {**body, "devices": names}) for _ in range(4)),
        *(lambda: two.api("POST", "/v1/deployments:batch", {**body, "devices": names[::-1]}) for _ in range(4)),
    )
    assert outcomes == {200: 8}
    _check_history(one)


def test_a_token_enrols_once(pair: tuple[World, World]) -> None:
    one, two = pair
    for number in range(5):
        token = one.must("POST", "/v1/devices", {"name": f"amr-{number}"})["token"]
        outcomes = _at_once(
            lambda body={"token": token, "secret": "a" * 40}: one.api("POST", "/v1/enrolments", body),
            lambda body={"token": token, "secret": "b" * 40}: two.api("POST", "/v1/enrolments", body),
        )
        assert outcomes == {201: 1, 401: 1}


def test_releases_with_one_schema_share_it(pair: tuple[World, World]) -> None:
    two = pair[1]
    types = [{"name": "motion", "schema": SCHEMA, "format": "json", "path": "motion.json"}]
    make = [
        lambda world=world, number=number: world.api(
            "POST", "/v1/releases", {"version": f"1.0.{number}", "config_types": types}
        )
        for number, world in enumerate(pair * 4)
    ]
    assert _at_once(*make) == {201: 8}
    releases = two.must("GET", "/v1/releases")["data"]
    assert len({release["config_types"][0]["schema_id"] for release in releases}) == 1


def test_contents_that_two_record_at_once_are_kept_once(pair: tuple[World, World]) -> None:
    one, _ = pair
    one.release()
    configs = [{"config_type": "motion", "content": "the same\n"}]
    order: list[Callable[[], httpx.Response]] = []
    for number, world in enumerate(pair * 5):
        name = f"amr-{number}"
        one.device(name)
        body = {"device": name, "release": "1.0.0", "configs": configs}
        order.append(lambda world=world, body=body: world.api("POST", "/v1/deployments", body))
    assert _at_once(*order) == {201: 10}
    with one.ashore.shore.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.contents)).scalar_one() == 1


def test_two_that_wait_for_each_other_are_told_apart(pair: tuple[World, World]) -> None:
    """PostgreSQL ends one of them; whoever asked for it may ask again."""
    one, two = pair
    first, second = sorted(one.device(name).id for name in ("a", "b"))
    met = threading.Barrier(2)
    outcomes: list[str] = []

    def hold(world: World, keys: tuple[str, str]) -> None:
        try:
            with world.ashore.shore.database.write() as connection:
                devices.hold(connection, [keys[0]])
                met.wait()
                devices.hold(connection, [keys[1]])
            outcomes.append("done")
        except errors.Busy as error:
            outcomes.append(error.code)

    threads = [
        threading.Thread(target=hold, args=(one, (first, second))),
        threading.Thread(target=hold, args=(two, (second, first))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["database_busy", "done"]


def test_the_password_file_of_each_has_the_robots_of_all(pair: tuple[World, World]) -> None:
    one, two = pair
    token = one.must("POST", "/v1/devices", {"name": "amr-1"})["token"]
    enrolled = one.must("POST", "/v1/enrolments", {"token": token, "secret": "s" * 40})
    credentials = two.ashore.shore.credentials
    assert enrolled["mqtt"]["username"] not in credentials.path.read_text()
    credentials.follow()
    assert enrolled["mqtt"]["username"] in credentials.path.read_text()


def test_the_password_file_is_not_written_for_nothing(pair: tuple[World, World]) -> None:
    one, two = pair
    credentials = two.ashore.shore.credentials
    one.release()
    written = credentials.path.stat().st_ino  # each write makes a new file
    credentials.follow()
    assert credentials.path.stat().st_ino == written


def test_what_one_takes_the_other_publishes(pair: tuple[World, World]) -> None:
    one, two = pair
    two.release()
    robot = two.device()
    with _publishing(one) as line:
        two.order("max: 1\n")
        wait("it leaves", lambda: line.sent == [f"shallop/v1/{robot.id.lower()}/desired"], within=5)


def test_a_restart_of_the_database_is_survived(pair: tuple[World, World], postgres: Server) -> None:
    world = pair[0]
    world.release()
    robot = world.device()
    topics = world.ashore.shore.topics
    with _publishing(world) as line:
        key = world.order("max: 1\n")
        wait("it leaves", lambda: len(line.sent) == 1)
        robot.obey()
        world.ingest.start()
        postgres.stop()
        refused = world.api("GET", "/v1/devices")
        shown = (refused.status_code, refused.json()["code"], refused.headers["Retry-After"])
        assert shown == (503, "database_busy", "1")
        world.ingest.received(topics.of(robot.id.lower(), Kind.REPORT), robot.report().to_bytes())
        postgres.start()
        wait("what was told meanwhile is recorded", lambda: world.statuses(key)[1] == "deployed", within=20)
        world.order("max: 2\n")
        wait("the next order leaves", lambda: line.sent.count(topics.of(robot.id.lower(), Kind.DESIRED)) > 1)
        world.ingest.stop()
        assert world.ingest.dropped == {}


def test_a_text_that_postgresql_cannot_keep_is_refused(pair: tuple[World, World]) -> None:
    database = pair[0].ashore.shore.database
    with pytest.raises(errors.Invalid, match="NUL"), database.read() as connection:
        devices.find(connection, key="a\0b")


def test_a_restart_between_two_requests_is_not_noticed(pair: tuple[World, World], postgres: Server) -> None:
    one, _ = pair
    one.must("GET", "/v1/devices")
    postgres.stop()
    postgres.start()
    one.must("GET", "/v1/devices")
