"""A revoked device: every credential is dead, the broker forgets it, and what it says is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import certificates_world
import pytest
from cloud_world import Robot, World
from config_world import refused
from cryptography import x509
from shallop_cloud import authorities, passwords
from shallop_cloud.link.publisher import Publisher
from shallop_cloud.store import renewals, tables
from shallop_protocol import ids, messages
from shallop_protocol.topics import Kind

SECRET = "a-secret-of-the-robot-of-at-least-32-characters"
PATH = "/v1/devices/amr-1"
REVOKE = f"{PATH}:revoke"


class Line:
    """Stands where the connection does, as a broker that keeps what is retained."""

    def __init__(self) -> None:
        self.is_up = True
        self.sent: list[tuple[str, bytes]] = []
        self.retained: dict[str, bytes] = {}

    def publish_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> int:
        if not self.is_up:
            return 0
        self.sent += messages
        for topic, payload in messages if retain else ():
            self.retained[topic] = payload
            if not payload:
                del self.retained[topic]
        return len(messages)

    def deliver_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> bool:
        return self.publish_many(messages, retain=retain) == len(messages)

    def of(self, robot: Robot) -> set[str]:
        """The kinds that are retained for a device."""
        wire = ids.on_wire(robot.id)
        return {topic.rpartition("/")[2] for topic in self.retained if topic.split("/")[-2] == wire}

    def hear(self, robot: Robot, kind: Kind, payload: bytes) -> None:
        """The device publishes it."""
        self.retained[f"shallop/v1/{ids.on_wire(robot.id)}/{kind.value}"] = payload


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def sender(world: World, line: Line) -> Publisher:
    shore = world.ashore.shore
    return Publisher(shore.database, shore.keyring, shore.topics, line, shore.limits.envelope)


@pytest.fixture
def robot(world: World) -> Robot:
    """Enrolled, with a certificate and an order in force."""
    authority = authorities.BuiltIn.at(world.directory / "ca", world.ashore.shore.database)
    world.sign_certificates(authority)
    world.release()
    made = world.must("POST", "/v1/devices", {"name": "amr-1"})
    enrol(world, made["token"])
    robot = Robot(world, made["id"])
    world.order("max: 1\n")
    robot.settle()
    return robot


def enrol(world: World, token: str, secret: str = SECRET) -> dict[str, Any]:
    return world.must("POST", "/v1/enrolments", {"token": token, "secret": secret, "csr": certificates_world.request()})


def presence(robot: Robot, status: str, connection: int) -> bytes:
    said = messages.Presence(device=ids.on_wire(robot.id), status=status, incarnation="one", connection=connection)
    return said.to_bytes()


def accounts(world: World) -> set[str]:
    return set(passwords.read_passwords(world.directory / "mqtt" / "passwords"))


def fetched(world: World, robot: Robot, password: str = SECRET) -> int:
    """What the server says to the device's HTTP credential; 404 if it is right, for there is no such content."""
    digest = f"sha256:{'0' * 64}"
    return world.client.get(f"/v1/device/contents/{digest}", auth=(ids.on_wire(robot.id), password)).status_code


def test_every_credential_dies_at_once(world: World, robot: Robot) -> None:
    assert ids.on_wire(robot.id) in accounts(world)
    assert fetched(world, robot) == 404
    waiting = world.must("POST", f"{PATH}:renew-token")["token"]
    shown = world.must("POST", REVOKE)
    assert shown["revoked_at"]
    assert (shown["online"], shown["token_expires_at"]) == (False, None)
    assert ids.on_wire(robot.id) not in accounts(world)
    assert fetched(world, robot) == 401
    body = {"token": waiting, "secret": SECRET}
    assert refused(world, "/v1/enrolments", body) == (401, "token_invalid")
    crl = x509.load_pem_x509_crl((world.directory / "ca" / "crl.pem").read_bytes())
    (entry,) = [each for each in world.must("GET", f"{PATH}/history")["data"] if each["action"] == "device_revoked"]
    assert [f"{each.serial_number:x}" for each in crl] == [entry["after"]["certificate"]]


def test_asking_again_with_the_token_of_before_is_refused(world: World) -> None:
    token = world.must("POST", "/v1/devices", {"name": "amr-1"})["token"]
    enrol(world, token)
    world.must("POST", REVOKE)
    assert refused(world, "/v1/enrolments", {"token": token, "secret": SECRET}) == (401, "token_invalid")


def test_revoked_again_it_has_one_row_and_the_broker_is_told_again(
    world: World, robot: Robot, line: Line, sender: Publisher
) -> None:
    first = world.must("POST", REVOKE)["revoked_at"]
    sender.round()
    line.sent.clear()
    assert world.must("POST", REVOKE)["revoked_at"] == first
    sender.round()
    assert [payload for _, payload in line.sent] == [b"", b"", b""]
    actions = [each["action"] for each in world.must("GET", f"{PATH}/history")["data"]]
    assert actions.count("device_revoked") == 1


def test_one_that_was_never_enrolled(world: World) -> None:
    token = world.must("POST", "/v1/devices", {"name": "amr-1"})["token"]
    assert world.must("POST", REVOKE)["revoked_at"]
    assert refused(world, "/v1/enrolments", {"token": token, "secret": SECRET}) == (401, "token_invalid")


def test_the_broker_forgets_what_it_keeps_and_no_order_follows(
    world: World, robot: Robot, line: Line, sender: Publisher
) -> None:
    world.order("max: 2\n")
    sender.round()
    line.hear(robot, Kind.REPORT, robot.report().to_bytes())
    line.hear(robot, Kind.PRESENCE, presence(robot, "online", 1))
    assert line.of(robot) == {"desired", "report", "presence"}
    sender.assert_again(robot.id)  # was asked for before the revoke
    world.must("POST", REVOKE)
    world.order("max: 3\n")
    sender.round()
    assert line.of(robot) == set()
    line.sent.clear()
    sender.round()
    assert line.sent == [], "once is enough while nothing is heard of it"


def test_a_new_key_list_brings_nothing_back(world: World, robot: Robot, line: Line, sender: Publisher) -> None:
    """All that lies on the broker is sealed anew then."""
    other = world.device("amr-2")
    world.order("max: 2\n", "amr-2")
    world.must("POST", REVOKE)
    with world.ashore.shore.database.write() as connection:
        connection.execute(tables.devices.update().values(sealed=0))
    sender.round()
    assert line.of(other) == {"desired"}
    assert line.of(robot) == set()
    with world.ashore.shore.database.read() as connection:
        assert renewals.sealed_before(connection, 1, 10) == []


def test_whenever_the_broker_is_back_it_is_told_again(
    world: World, robot: Robot, line: Line, sender: Publisher
) -> None:
    world.must("POST", REVOKE)
    line.is_up = False
    sender.round()
    line.is_up = True
    line.hear(robot, Kind.REPORT, b"brought back by the broker")
    sender.came_up()
    sender.round()
    assert line.of(robot) == set()
    line.hear(robot, Kind.REPORT, b"brought back by the broker")
    sender.came_up()
    sender.round()
    assert line.of(robot) == set()


def test_what_it_still_says_is_counted_and_purged(world: World, robot: Robot, line: Line, sender: Publisher) -> None:
    """Its last will among it, which comes when the broker ends its connection."""
    world.hear(robot.id, Kind.PRESENCE, presence(robot, "online", 1))
    world.must("POST", REVOKE)
    before = world.must("GET", PATH)
    robot.seq += 10
    world.hear(robot.id, Kind.REPORT, robot.report().to_bytes())
    world.hear(robot.id, Kind.PRESENCE, presence(robot, "online", 2))
    world.hear(robot.id, Kind.PRESENCE, presence(robot, "offline", 2))
    after = world.must("GET", PATH)
    assert [after[name] for name in ("online", "last_heard_at")] == [before["online"], before["last_heard_at"]]
    assert after["last_known"]["seq"] == before["last_known"]["seq"]
    assert world.ingest.dropped["revoked_device"] == 3
    assert world.publisher.purged == [robot.id] * 3
    sender.round()
    line.hear(robot, Kind.PRESENCE, presence(robot, "offline", 2))
    sender.purge(robot.id)
    sender.round()
    assert line.of(robot) == set()


def test_one_that_is_revoked_keeps_no_other_from_being_heard(world: World, robot: Robot) -> None:
    other = world.device("amr-2")
    world.must("POST", REVOKE)
    topics = world.ashore.shore.topics
    heard = [(topics.of(ids.on_wire(each.id), Kind.REPORT), each.report().to_bytes()) for each in (robot, other, robot)]
    world.ingest.record(heard)
    assert world.must("GET", "/v1/devices/amr-2")["last_known"]["seq"] == 1
    assert world.ingest.dropped["revoked_device"] == 2


def test_a_report_that_is_brought_by_hand_does_not_count_either(world: World, robot: Robot) -> None:
    world.must("POST", REVOKE)
    report = robot.report().model_dump(mode="json")
    assert refused(world, f"{PATH}/report", report) == (409, "device_revoked")


def test_enrolled_anew_it_is_heard_and_gets_its_orders(
    world: World, robot: Robot, line: Line, sender: Publisher
) -> None:
    world.must("POST", REVOKE)
    wanted = world.order("max: 2\n")
    sender.round()
    renewed = world.must("POST", f"{PATH}:renew-token")
    assert renewed["revoked_at"], "a token alone brings nothing back"
    ordered = len(world.ashore.ordered)
    answer = enrol(world, renewed["token"], "another-secret-of-at-least-32-characters")
    assert answer["mqtt"]["certificate"]
    assert len(world.ashore.ordered) > ordered, "the link is told that orders were held back"
    shown = world.must("GET", PATH)
    assert (shown["revoked_at"], shown["current"]) == (None, wanted)
    sender.round()
    assert line.of(robot) == {"desired"}
    robot.settle()
    assert world.statuses(wanted)[3] == "deployed"
    assert ids.on_wire(robot.id) in accounts(world)
    assert fetched(world, robot, "another-secret-of-at-least-32-characters") == 404
    sender.came_up()
    sender.round()
    assert line.of(robot) == {"desired"}


def test_archive_and_revoke_are_two_things(world: World, robot: Robot) -> None:
    world.must("POST", f"{PATH}:archive")
    assert ids.on_wire(robot.id) in accounts(world), "what is archived may still report"
    shown = world.must("POST", REVOKE)
    assert shown["archived_at"]
    assert shown["revoked_at"]
    assert world.must("POST", f"{PATH}:restore")["revoked_at"]
    assert world.must("GET", f"{PATH}/why")["verdict"] == "revoked"
