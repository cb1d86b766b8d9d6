"""Attacks by name, each against the real agent on a real broker. docs/threat-model.md has the table of them.

Each says what the attacker has beside the broker, and wants. An attack has failed if the robot's files are, byte for
byte, what they were, if the robot's report, an event or the cloud says what was tried, and if the robot takes its
operator's next order: the fixture ``stage`` looks at the first and the last of these after each test.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import zlib
from collections.abc import Generator, Iterator

import pytest
import system_world
from attacks_world.carried import Carried
from attacks_world.forging import changed, envelope_of, forged, manifest, order_of, payload_of
from attacks_world.people import Refused, Robot, wait
from attacks_world.stage import TOPICS, Stage
from shallop_cloud.link import publisher
from shallop_device import agent, freshness, settings
from shallop_protocol import desired, dsse, echo, keys, messages
from shallop_protocol.statuses import Error
from shallop_protocol.topics import Kind

STRANGER = dsse.signer_from_seed(b"a stranger, whom nobody trusts!!")
HASTY = settings.Freshness.model_construct(stale_after_s=3.0)
"""Sooner stale than a robot's owner may say."""
POISON = {
    b"\0": "not JSON",
    b"\xff\xfe{}": "not UTF-8: byte 0",
    b"null": "not a DSSE envelope",
    b'{"payload":1e999}': "beyond what a double holds",
    b'{"payload":"\\ud800","payloadType":"","signatures":[]}': "not a DSSE envelope",
    b"[" + b"9" * 5000 + b"]": "an integer is too long",
}


@pytest.fixture(
    scope="module", params=["amqtt", pytest.param("mosquitto", marks=[pytest.mark.mosquitto, pytest.mark.slow])]
)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Cloud, broker, robot and attacker, for all attacks on this broker."""
    if request.param == "mosquitto" and system_world.find_mosquitto() is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publisher, "TIDY_S", 0.0)  # so that nothing is under way when an attack begins
        running = Stage(tmp_path_factory.mktemp("stage"), request.param)
        yield running
        running.close()


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    """A robot with its operator's deployment in force; afterwards it must be as before, and obey."""
    shared.begin()
    files, around = shared.robot.files(), shared.robot.around()
    yield shared
    assert shared.robot.is_running
    assert (shared.robot.files(), shared.robot.around()) == (files, around)
    shared.order()


@pytest.fixture
def listing(stage: Stage) -> Iterator[Stage]:
    """The same, with a key list that the robot has just taken; afterwards it must take the next."""
    stage.renew()
    yield stage
    stage.renew()


@pytest.fixture
def frozen(shared: Stage) -> Iterator[Stage]:
    """A robot on a broker that can be made to hold messages back, as the bench broker can. When it gives them, it
    has what it missed."""
    assert shared.kind == "amqtt"
    shared.begin()
    yield shared
    shared.restart()
    shared.order()


@contextlib.contextmanager
def _unchanged(stage: Stage) -> Generator[None]:
    """The robot's files are the same afterwards."""
    files = stage.robot.files()
    yield
    assert stage.robot.files() == files


def _lags(stage: Stage) -> str | None:
    """Why the robot lags, as the cloud shows it."""
    return (stage.device()["lagging"] or {}).get("why")


@pytest.fixture(scope="module")
def carried(shared: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """The attacks on it fail; then the stick as the cloud wrote it is obeyed."""
    directory = tmp_path_factory.mktemp("carried")
    made = shared.must("POST", "/v1/devices", {"name": "amr-carried"})
    robot = Robot(directory / "robot", shared.url, made["token"])
    shared.make("small", robot)
    first = Carried(robot, shared.bundle(robot), directory)
    assert first.apply(first.bundle).exit_code == 0
    shared.make(random.Random(1).randbytes(450_000).hex(), robot)
    stick = Carried(robot, shared.bundle(robot), directory)
    assert b"contents/" in stick.bundle
    yield stick
    assert stick.apply(stick.bundle).exit_code == 0


def _other(stage: Stage) -> Robot:
    """Another robot of the fleet."""
    if "amr-2" not in stage.robots:
        stage.order(robot=stage.add_robot("amr-2"))
    return stage.robots["amr-2"]


def _in_favour_of_a_stranger(stage: Stage, **fields: int) -> keys.KeyList:
    """The next key list, with a key that is the attacker's."""
    entry = keys.SigningKey(key=STRANGER.key.text, state=keys.KeyState.ACTIVE)
    return stage.successor(signing_keys=(entry,), **fields)


def _from_the_cloud(stage: Stage) -> tuple[str, ...]:
    """The topics of all that a robot hears."""
    return (TOPICS.keys, TOPICS.hello, stage.topic(Kind.DESIRED), stage.topic(Kind.ECHO))


def _failed(stage: Stage, bad: desired.Manifest) -> messages.Reason:
    """The reason that the robot reports for what it will never apply, ordered with the stolen key."""
    order = order_of(stage.captured()[-1])
    stage.say(forged(stage.captured()[-1], stage.leaked, deployment=bad, generation=order.generation + 1))

    def reason() -> messages.Reason | None:
        found = [each for report in stage.reports() for each in report.deployments if each.id == bad.id]
        return next((each.reason for each in found if each.error is Error.FAILED), None)

    return wait("it is reported as failed", reason)


# Orders that are not the newest, or not for this robot.


def test_rollback(stage: Stage) -> None:
    """Has: all that ever went over the broker. Wants: an old configuration back in force."""
    stage.say(stage.captured()[-2])
    stage.refused("older_generation", "is older than")


def test_two_orders_of_one_number(stage: Stage) -> None:
    """Has: the signing key. Wants: robots of one fleet to go by different orders, unseen."""
    stage.say(forged(stage.captured()[-1], stage.leaked, deployment=None))
    stage.refused("conflicting_generation", "another order with the same generation")


def test_wrong_device(stage: Stage) -> None:
    """Has: orders for another robot of the fleet. Wants: this robot to run that one's configuration."""
    other = _other(stage)
    stage.say(stage.captured(other)[-1])
    stage.refused("wrong_device", f"the order is for {other.wire}, this is {stage.robot.wire}")


def test_mix_and_match(stage: Stage) -> None:
    """Has: two orders. Wants: a file of the one beside a file of the other."""
    earlier, newest = (order_of(data).deployment for data in stage.captured()[-2:])
    assert earlier is not None
    assert newest is not None
    mixed = order_of(stage.captured()[-1]).model_copy(
        update={"deployment": newest.model_copy(update={"instances": (earlier.instances[0], newest.instances[1])})}
    )
    stage.say(changed(stage.captured()[-1], payload=base64.b64encode(mixed.to_bytes()).decode()))
    stage.refused("bad_signature", "no trusted key signed this")


# Signatures.


def test_signature_stripped(stage: Stage) -> None:
    """Has: an order. Wants: one without a signature to count, so that anything can be ordered."""
    stage.say(changed(stage.captured()[-1], signatures=[]))
    stage.refused("bad_signature", "signatures by: nobody")


def test_signature_of_another_order(stage: Stage) -> None:
    """Has: two orders. Wants: the signature of the one to count for the other."""
    earlier, newest = stage.captured()[-2:]
    stage.say(changed(newest, payload=envelope_of(earlier)["payload"]))
    stage.refused("bad_signature", "no trusted key signed this")


def test_signed_by_a_stranger(stage: Stage) -> None:
    """Has: a key of its own. Wants: to give orders."""
    stage.say(forged(stage.captured()[-1], STRANGER, generation=1_000_000))
    stage.refused("bad_signature", STRANGER.key.keyid)


def test_signed_by_a_stranger_with_a_trusted_name(stage: Stage) -> None:
    """Has: a key of its own, and the name of the trusted one. Wants: the name to be enough."""
    named = envelope_of(stage.captured()[-1])["signatures"][0]["keyid"]
    false = envelope_of(forged(stage.captured()[-1], STRANGER, generation=1_000_000))
    false["signatures"][0]["keyid"] = named
    stage.say(json.dumps(false).encode())
    stage.refused("bad_signature", f"no trusted key signed this (signatures by: {named})")


def test_too_many_signatures(stage: Stage) -> None:
    """Has: time. Wants: the robot to lose its own with verifying."""
    signature = envelope_of(stage.captured()[-1])["signatures"][0]
    stage.say(changed(stage.captured()[-1], signatures=[signature] * 5_000))
    stage.refused("too_large", "5000 signatures")


def test_an_echo_as_an_order(stage: Stage) -> None:
    """Has: something else that the cloud signed. Wants: it to be taken for an order."""
    said = echo.Echo(device=stage.robot.wire, nonce="n" * 16, epoch=1, generation=1)
    stage.say(echo.seal_echo(said, stage.leaked))
    stage.refused("unsupported", echo.PAYLOAD_TYPE)


def test_another_payload_type(stage: Stage) -> None:
    """Has: an order. Wants: its signed bytes to be read as something else than what was signed."""
    stage.say(changed(stage.captured()[-1], payloadType=desired.PAYLOAD_TYPE_GZIP))
    stage.refused("bad_signature", "no trusted key signed this")


def test_order_by_the_roots(stage: Stage) -> None:
    """Has: both root keys. Wants: them to give orders, too."""
    stage.say(forged(stage.captured()[-1], *stage.roots, generation=1_000_000))
    stage.refused("bad_signature", "no trusted key signed this")


def test_key_list_as_an_order(stage: Stage) -> None:
    """Has: the signing key. Wants: what is a key list to be read as an order."""
    stage.say(dsse.seal(keys.PAYLOAD_TYPE, stage.successor().to_bytes(), stage.leaked))
    stage.refused("unsupported", keys.PAYLOAD_TYPE)


# Key lists. The robot tells of each reason to refuse one once, until it took the next.


def test_key_list_by_a_signing_key(listing: Stage) -> None:
    """Has: the signing key. Wants: to say whose orders count."""
    listing.attacker.say(TOPICS.keys, keys.seal_key_list(_in_favour_of_a_stranger(listing), [listing.leaked]))
    listing.tells("key_list_refused", "bad_signature: no trusted key signed this")


def test_key_list_by_too_few_roots(listing: Stage) -> None:
    """Has: one of the two root keys. Wants: it to be enough."""
    listing.attacker.say(TOPICS.keys, keys.seal_key_list(_in_favour_of_a_stranger(listing), listing.roots[:1]))
    listing.tells("key_list_refused", "bad_signature: 1 of the trusted keys signed this, and 2 have to")


def test_key_list_by_one_root_twice(listing: Stage) -> None:
    """Has: one of the two root keys. Wants: its signature to count as two."""
    twice = [listing.roots[0]] * 2
    listing.attacker.say(TOPICS.keys, keys.seal_key_list(_in_favour_of_a_stranger(listing), twice))
    listing.tells("key_list_refused", "bad_signature: 1 of the trusted keys signed this, and 2 have to")


def test_key_list_rollback(listing: Stage) -> None:
    """Has: an earlier key list. Wants: a key that was revoked since to count again."""
    listing.attacker.say(TOPICS.keys, listing.attacker.of(TOPICS.keys)[0])
    listing.tells("key_list_refused", "outdated: key list 1 is older than key list")


def test_key_list_of_a_lower_epoch(listing: Stage) -> None:
    """Has: the holders of the roots, who err. Wants: orders from before the newest epoch to count again."""
    epoch = listing.renew(epoch=listing.listed.epoch + 1).epoch
    listing.attacker.say(TOPICS.keys, keys.seal_key_list(listing.successor(epoch=epoch - 1), listing.roots))
    listing.tells("key_list_refused", f"outdated: key list {listing.listed.version + 1} has epoch {epoch - 1}")


def test_two_key_lists_of_one_number(listing: Stage) -> None:
    """Has: the holders of the roots, who signed twice. Wants: robots to go by different lists, unseen."""
    other = _in_favour_of_a_stranger(listing, version=listing.listed.version)
    listing.attacker.say(TOPICS.keys, keys.seal_key_list(other, listing.roots))
    listing.tells("key_list_refused", f"conflicting: another key list {other.version} is known already")


def test_order_as_a_key_list(listing: Stage) -> None:
    """Has: both root keys. Wants: an order to be read as a key list."""
    order = payload_of(listing.captured()[-1])
    listing.attacker.say(TOPICS.keys, dsse.seal(desired.PAYLOAD_TYPE, order, *listing.roots))
    listing.tells("key_list_refused", f"unsupported: payload type '{desired.PAYLOAD_TYPE}'")


def test_endless_key_list(listing: Stage) -> None:
    """Has: a broker without limits. Wants: to fill the robot's memory."""
    listing.attacker.say(TOPICS.keys, b"[" * 500_000)
    listing.tells("key_list_refused", f"too_large: {keys.MAX_BYTES + 1} bytes, at most {keys.MAX_BYTES}")


def test_poisoned_key_list(listing: Stage) -> None:
    """Has: the retained message. Wants: the agent to die of it, now and at each start."""
    listing.robot.stop()
    listing.attacker.say(TOPICS.keys, b'{"payload":"\\ud800"}')
    listing.robot.start()
    listing.tells("key_list_refused", "malformed:")
    listing.restart()


def test_empty_key_list(listing: Stage) -> None:
    """Has: the retained message. Wants: the robot to trust nobody, or everybody, without a list."""
    listing.attacker.say(TOPICS.keys, b"")
    listing.restart()
    assert listing.report().keys == listing.listed.version


def test_revoked_key(stage: Stage) -> None:
    """Has: a signing key that was stolen and then revoked. Wants: to give orders with it."""
    stolen = stage.leaked
    stage.rotate(keys.KeyState.REVOKED)
    stage.say(forged(stage.captured()[-1], stolen, generation=1_000_000))
    stage.refused("bad_signature", f"no trusted key signed this (signatures by: {stolen.key.keyid})")


def test_order_of_an_earlier_epoch(stage: Stage) -> None:
    """Has: an order from before the newest epoch, signed by a key that still counts. Wants: it to be obeyed."""
    earlier = stage.captured()[-1]
    stage.renew(epoch=stage.listed.epoch + 1)
    wait("the order of the new epoch came", lambda: stage.report().epoch == stage.listed.epoch)
    stage.say(earlier)
    stage.refused("wrong_epoch", f"key list {stage.listed.version} has epoch {stage.listed.epoch}")


def test_fast_forward(shared: Stage) -> None:
    """Has: the signing key. Wants: the robot to be deaf for ever, by the highest number that there is."""
    made, files = shared.order(), shared.robot.files()
    stolen, last = shared.leaked, shared.captured()[-1]
    deafening = forged(last, stolen, generation=messages.MAX_INTEGER)
    shared.say(deafening)
    wait("the robot obeys it", lambda: shared.report().generation == messages.MAX_INTEGER)
    shared.make("nobody hears it")
    shared.refused("older_generation", f"/{messages.MAX_INTEGER}, which is in force")
    assert (shared.robot.files(), shared.report().current) == (files, made)
    shared.rotate(keys.KeyState.REVOKED, epoch=1)
    shared.order()
    shared.say(deafening)
    shared.refused("bad_signature", stolen.key.keyid)
    shared.order()


# Bytes that two readers could take for different things, or that never end.


def test_duplicate_keys_in_the_envelope(stage: Stage) -> None:
    """Has: an order. Wants: one payload to be verified and another one obeyed."""
    data = stage.captured()[-1]
    stage.say(data[:-1] + b',"payload":"e30="}')
    stage.refused("malformed", "key 'payload' stands twice in one object")


def test_duplicate_keys_in_a_signed_order(stage: Stage) -> None:
    """Has: the signing key. Wants: the robot and the cloud's log to read different generations."""
    payload = payload_of(stage.captured()[-1])
    stage.say(dsse.seal(desired.PAYLOAD_TYPE, payload[:-1] + b',"generation":9}', stage.leaked))
    stage.refused("malformed", "key 'generation' stands twice in one object")


def test_trailing_data(stage: Stage) -> None:
    """Has: an order. Wants: to hide a second message behind it."""
    stage.say(stage.captured()[-1] + b"{}")
    stage.refused("malformed", "not JSON")


def test_trailing_data_behind_the_compressed_order(stage: Stage) -> None:
    """Has: the signing key. Wants: bytes behind the gzip member that another reader would unpack."""
    packed = zlib.compressobj(wbits=31)
    payload = packed.compress(payload_of(stage.captured()[-1])) + packed.flush() + b"more"
    stage.say(dsse.seal(desired.PAYLOAD_TYPE_GZIP, payload, stage.leaked))
    stage.refused("malformed", "has more behind it")


def test_endless_data(stage: Stage) -> None:
    """Has: a broker without limits. Wants: to fill the robot's memory."""
    stage.say(b"[" * (8 << 20))
    if stage.kind == "mosquitto":  # MQTT 5: the robot said what it takes, and this broker keeps to it
        stage.restart()
        assert stage.report().refused is None
        return
    stage.refused("too_large", f"{desired.MAX_ENVELOPE_BYTES + 1} bytes, at most {desired.MAX_ENVELOPE_BYTES}")


def test_gzip_bomb(stage: Stage) -> None:
    """Has: the signing key. Wants: to fill the robot's memory with little traffic."""
    packed = zlib.compressobj(wbits=31)
    bomb = packed.compress(bytes(16 << 20)) + packed.flush()
    stage.say(dsse.seal(desired.PAYLOAD_TYPE_GZIP, bomb, stage.leaked))
    stage.refused("too_large", f"unpacks to more than {desired.MAX_PAYLOAD_BYTES} bytes")


def test_deep_nesting(stage: Stage) -> None:
    """Has: the broker. Wants: to overflow the stack of whoever reads it."""
    stage.say(b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    stage.refused("too_large", "nested deeper than")


def test_poison_retained(stage: Stage) -> None:
    """Has: the retained message. Wants: the agent to die of it, now and at each start."""
    for poison, words in POISON.items():
        stage.say(poison)
        stage.refused("malformed", words)
    stage.restart()
    stage.refused("malformed", words)


# What is not said.


def test_empty_retained(stage: Stage) -> None:
    """Has: the retained message. Wants: the robot to take an absent order for one to take everything off."""
    stage.say(b"")
    stage.restart()
    assert stage.report().refused is None


def test_everything_off(stage: Stage) -> None:
    """Has: an order. Wants: the robot to lose its configuration by an order for nothing."""
    nothing = order_of(stage.captured()[-1]).model_copy(update={"deployment": None, "generation": 1_000_000})
    stage.say(changed(stage.captured()[-1], payload=base64.b64encode(nothing.to_bytes()).decode()))
    stage.refused("bad_signature", "no trusted key signed this")


# Orders by whoever has the signing key, before it is revoked: they count, and lead nowhere but into the root.


@pytest.mark.parametrize("path", ["../out", "/tmp/shallop-out", "a/../../out"])
def test_a_path_that_leaves_the_root(stage: Stage, path: str) -> None:
    """Has: the signing key. Wants: to write outside of the configuration root."""
    reason = _failed(stage, manifest({path: b"x", "b": b"y"}))
    assert (reason.code, "path" in reason.message) == ("bad_path", True)


def test_contents_that_are_not_what_the_manifest_says(stage: Stage) -> None:
    """Has: the signing key. Wants: the report to prove other bytes than those that are in force."""
    sound = manifest({"a": b"xyz", "b": b"y"})
    first = sound.instances[0].model_copy(update={"content": "z"})
    reason = _failed(stage, sound.model_copy(update={"instances": (first, sound.instances[1])}))
    assert reason.code == "content_differs"


# Orders that are carried by hand.


def test_partial_bundle(carried: Carried) -> None:
    """Has: the stick on its way to the robot. Wants: a part of a deployment in force."""
    for cut in (carried.bundle[:-2000], carried.bundle[: len(carried.bundle) // 2], carried.bundle[:700]):
        assert "cut short" in carried.refused(cut)


def test_bundle_that_lacks_a_file(carried: Carried) -> None:
    """Has: the stick. Wants: a deployment in force without one of its files."""
    assert "the bundle lacks right/right.txt" in carried.refused(carried.written(without="contents/"))


def test_bundle_with_something_else(carried: Carried) -> None:
    """Has: the stick. Wants: a file of its own on the robot."""
    assert "does not belong there" in carried.refused(carried.written(more="contents/../../x"))


def test_bundle_with_another_order(carried: Carried, stage: Stage) -> None:
    """Has: the stick, and an order for another robot. Wants: it to be obeyed because it came by hand."""
    assert "the order is for" in carried.refused(carried.written(order=stage.captured()[-1]))


# What is said to the cloud.


def test_report_by_another_robot(stage: Stage) -> None:
    """Has: the credential of one robot, stolen. Wants: to speak for another one."""
    known = stage.device()["last_known"]
    report = stage.report().model_copy(update={"seq": 1_000_000, "current": None, "deployments": ()})
    with stage.thief(_other(stage)) as thief, stage.log() as lines:
        thief.say(TOPICS.of(thief.name, Kind.REPORT), report.to_bytes())
        wait("the cloud says so", lambda: any(line.get("code") == "wrong_device" for line in lines))
        thief.say(stage.topic(Kind.REPORT), report.to_bytes(), within=1.0)
    now = stage.device()["last_known"]
    assert (now["seq"], now["current"]) == (known["seq"], known["current"])
    assert not [payload for payload in stage.attacker.of(stage.topic(Kind.REPORT)) if payload == report.to_bytes()]


def test_deployed_with_a_wrong_digest(stage: Stage) -> None:
    """Has: the broker. Wants: a deployment to be called deployed that the robot does not have."""
    other = _other(stage)
    other.stop()
    made, last = stage.make("not there yet", other), stage.report(other)
    entry = last.deployments[-1].model_copy(update={"id": made, "digest": "sha256:" + "0" * 64})
    false = last.model_copy(update={"seq": last.seq + 1, "deployments": (entry,)})
    with stage.log() as lines:
        stage.attacker.say(stage.topic(Kind.REPORT, other), false.to_bytes())
        wait("the cloud says so", lambda: any("recorded is" in line.get("why", "") for line in lines))
    assert stage.must("GET", f"/v1/deployments/{made}")["status"] == "queued"
    other.start()
    stage.order(robot=other)


def test_subscribing_to_the_orders_of_another_robot(stage: Stage) -> None:
    """Has: the credential of one robot, stolen. Wants: to read another robot's configuration."""
    other = _other(stage)
    own, wanted = stage.topic(Kind.DESIRED, other), (stage.topic(Kind.DESIRED), f"{TOPICS.root}/+/desired", "#")
    with stage.thief(other, *wanted, own) as thief:
        stage.say(stage.captured()[-1])
        stage.say(stage.captured(other)[-1], robot=other)
        wait("it hears its own", lambda: thief.heard)
    assert {topic for topic, _ in thief.heard} - {TOPICS.keys, TOPICS.hello} == {own}


def test_hello_storm(stage: Stage) -> None:
    """Has: the broker. Wants: to keep the robot writing and sending."""
    stage.restart()
    before = stage.report().seq
    for _ in range(60):
        stage.attacker.say(TOPICS.hello, b'{"v":1,"spread_s":0}', retain=False)
    wait("it answered", lambda: stage.report().seq > before)
    assert stage.report().seq - before <= 5


def test_poisoned_reports(stage: Stage) -> None:
    """Has: the broker. Wants: the cloud to die of what it hears, or not to hear the robot any more."""
    with stage.log() as lines:
        for poison in (*POISON, b"[" * (1 << 20)):
            stage.attacker.say(stage.topic(Kind.REPORT), poison)
        wait("the cloud says so", lambda: len([line for line in lines if line["event"] == "a message was refused"]) > 6)
    stage.restart()


# What is held back. The bench broker does it here; another one's holder could as well.


@pytest.mark.parametrize("shared", ["amqtt"], indirect=True)
def test_freeze(frozen: Stage) -> None:
    """Has: the broker. Wants: the robot to stay for ever as it is, and nobody to notice."""
    answers = len(frozen.attacker.of(frozen.topic(Kind.ECHO)))
    frozen.restart()
    wait("the cloud answers", lambda: len(frozen.attacker.of(frozen.topic(Kind.ECHO))) > answers)
    with frozen.withheld(*_from_the_cloud(frozen)), _unchanged(frozen):
        frozen.restart(freshness=HASTY)
        frozen.make("never to come")
        wait("the report says that it is stale", lambda: frozen.report().stale)
        frozen.tells("stale", "unanswered:")
        wait("the cloud shows it", lambda: _lags(frozen) == "stale")


@pytest.mark.parametrize("shared", ["amqtt"], indirect=True)
def test_freeze_of_an_order(frozen: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has: the broker. Wants: one order not to arrive, while everything else does."""
    monkeypatch.setattr(freshness, "WITHHELD_S", 0.0)
    with frozen.withheld(frozen.topic(Kind.DESIRED)), _unchanged(frozen):
        frozen.make("never to come")
        frozen.restart()
        known = frozen.report()
        frozen.tells("stale", f"is its newest, not {known.epoch}/{known.generation}, and it does not come")
        wait("the cloud shows it", lambda: _lags(frozen) == "stale")


@pytest.mark.parametrize("shared", ["amqtt"], indirect=True)
def test_freeze_of_the_key_list(frozen: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has: the broker, and a key that is about to be revoked. Wants: the robot not to hear of that."""
    monkeypatch.setattr(freshness, "WITHHELD_S", 0.0)
    with frozen.withheld(TOPICS.keys), _unchanged(frozen):
        listed = frozen.successor()
        frozen.must("PUT", "/v1/keys", json.loads(keys.seal_key_list(listed, frozen.roots)), force=True)
        frozen.restart()
        frozen.tells("stale", f"key list {listed.version} is its newest, not {listed.version - 1}")
        assert frozen.report().keys == listed.version - 1
        wait("the cloud shows it", lambda: _lags(frozen) == "stale")


@pytest.mark.parametrize("shared", ["amqtt"], indirect=True)
def test_replay_of_an_old_echo(frozen: Stage) -> None:
    """Has: an earlier answer of the cloud. Wants: a robot that cannot reach the cloud any more to believe it can."""
    topic = frozen.topic(Kind.ECHO)
    with _unchanged(frozen):
        answers = frozen.attacker.of(topic)
        with frozen.withheld(topic) as slip_in:
            made = frozen.make("on trial", confirm_s=2)
            wait("it asks", lambda: frozen.report().current == made and frozen.report().nonce)
            wait("the true answer is held back", lambda: len(frozen.attacker.of(topic)) > len(answers))
            slip_in(topic, answers[-1])
            wait("it is given up", lambda: frozen.must("GET", f"/v1/deployments/{made}")["status"] == "failed")
        wait("what was there is back", lambda: frozen.report().current != made)
    assert frozen.must("GET", f"/v1/deployments/{made}")["reason"]["code"] == "cut_off"


# Robots that are no more, or begin anew.


def test_replay_after_enrolling_anew(stage: Stage) -> None:
    """Has: orders from before the robot lost its memory. Wants: it to obey one of them."""
    other = _other(stage)
    stage.order(robot=other)
    other.stop()
    stage.say(stage.captured(other)[0], robot=other)
    other.begin_anew(stage.url, stage.must("POST", f"/v1/devices/{other.who.name}:renew-token")["token"])
    stage.reload()
    other.start()

    def said() -> bool:
        refused = [each.refused for each in stage.reports(other) if each.refused]
        return ("outdated", True) in [(each.code, "had when it was enrolled" in each.message) for each in refused]

    wait("its report says so", said)
    stage.order(robot=other)


def test_will_of_a_revoked_device(stage: Stage) -> None:
    """Has: the credential of a robot that is revoked, and a connection with it. Wants: to be taken for that robot by
    the last word of that connection."""
    made = stage.must("POST", "/v1/devices", {"name": "amr-gone"})
    gone = Robot(stage.directory / "amr-gone", stage.url, made["token"])
    stage.reload()
    presence = TOPICS.of(gone.wire, Kind.PRESENCE)
    false = messages.Presence(device=gone.wire, status="online", incarnation="no-robot", connection=1_000_000)
    thief = stage.impostor(gone, will=(presence, false.to_bytes()))
    stage.must("POST", "/v1/devices/amr-gone:revoke")
    stage.reload()
    wait("its connection is cut", lambda: not thief.is_connected)
    thief.close()
    with pytest.raises(Refused):
        stage.impostor(gone)
    known = stage.device("amr-gone")
    assert (known["online"], known["last_known"]) == (False, None)
    assert stage.history()[0]["action"] == "device_revoked"


# What is done to the robot's connection.


def test_takeover_ping_pong(stage: Stage) -> None:
    """Has: the robot's credential, stolen. Wants: the robot to hammer on the broker, and nobody to notice."""
    stage.robot.stop()
    stage.robot.start(retry=settings.Retry(first_s=0.1, cap_s=0.5))
    before, events = len(stage.connections()), len(stage.events())
    for kick in range(agent.CUT_SHORT):
        wait("the robot is connected", lambda kick=kick: len(stage.connections()) > before + kick)
        stage.impostor(stage.robot).close()
    (told,) = wait("the robot tells of it", lambda: stage.events()[events:])
    assert told.code == "connections_cut_short"
    assert "is this device's identity used twice?" in told.message
    assert len(stage.connections()) <= before + agent.CUT_SHORT + 1
