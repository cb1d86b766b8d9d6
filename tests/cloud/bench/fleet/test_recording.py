"""What crosses a broker, on a real one: kept line by line, and said again."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shallop_cloud import passwords
from shallop_cloud.bench import broker_run, broker_settings
from shallop_cloud.bench.fleet import recording
from shallop_cloud.bench.fleet.errors import BenchError
from shallop_cloud.bench.fleet.recording import Recorded, RecordingError
from shallop_cloud.link.connection import BrokerUrl
from shallop_protocol.topics import CLOUD, MONITOR, Kind, Topics

TOPICS = Topics()
DESIRED = TOPICS.of("dev-a", Kind.DESIRED)
REPORT = TOPICS.of("dev-a", Kind.REPORT)
EVENT = TOPICS.of("dev-a", Kind.EVENT)


@given(
    st.builds(
        Recorded,
        at=st.floats(0, 1e8).map(lambda at: round(at, 6)),
        topic=st.sampled_from([DESIRED, REPORT, TOPICS.hello]),
        retained=st.booleans(),
        payload=st.binary(max_size=64),
    )
)
def test_a_line_says_the_message_again(message: Recorded) -> None:
    assert list(recording.read([message.to_line()])) == [message]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "line 2 is no recorded message"),
        ("[]", "line 2 is no recorded message"),
        ('{"at": 1, "topic": "a"}', "line 2 is no recorded message"),
        ('{"at": -1, "topic": "a", "retained": false, "payload": ""}', "at must be seconds"),
        ('{"at": true, "topic": "a", "retained": false, "payload": ""}', "at must be seconds"),
        ('{"at": 1, "topic": "a/+", "retained": false, "payload": ""}', "topic must be one"),
        ('{"at": 1, "topic": "a", "retained": 1, "payload": ""}', "retained must be true or false"),
        ('{"at": 1, "topic": "a", "retained": false, "payload": "%"}', "payload must be base64"),
        ('{"at": 0.25, "topic": "a", "retained": false, "payload": ""}', "goes back in time, from 0.5 s to 0.25 s"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        list(recording.read([Recorded(0.5, DESIRED, False, b"").to_line(), line]))


def test_some_kinds_alone() -> None:
    messages = [Recorded(0, topic, False, b"") for topic in (DESIRED, REPORT, TOPICS.hello, "elsewhere")]
    assert [each.topic for each in recording.only(messages, TOPICS, frozenset([Kind.REPORT]))] == [REPORT]
    assert list(recording.only(messages, TOPICS, frozenset())) == messages


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerUrl]:
    """A bench broker, with the cloud's account."""
    file = tmp_path / "passwords"
    users = {user: passwords.hash_password("secret") for user in (CLOUD, MONITOR)}
    passwords.write_passwords(file, users)
    with broker_run.BrokerThread(broker_settings.BrokerSettings("127.0.0.1:0", file)) as running:
        yield BrokerUrl(*running.address, CLOUD, "secret")


def _record(broker: BrokerUrl, count: int) -> list[Recorded]:
    """What is retained, and what comes until there is so much."""
    out, bound = io.StringIO(), threading.Event()
    timer = threading.Timer(20, bound.set)
    timer.start()
    try:
        recording.record(broker, "3.1.1", TOPICS, out, lambda known: known < count and not bound.is_set())
    finally:
        timer.cancel()
        timer.join()
    return list(recording.read(out.getvalue().splitlines()))


def _replay(broker: BrokerUrl, messages: list[Recorded], speed: float = 1000) -> int:
    return recording.replay(broker, "3.1.1", TOPICS, messages, speed, lambda: True)


def test_what_is_replayed_is_recorded_and_retained_by_its_kind(broker: BrokerUrl) -> None:
    said = [
        Recorded(0.0, DESIRED, False, b"an order"),
        Recorded(0.1, EVENT, True, b"an event"),
        Recorded(5.0, REPORT, False, b"\x00a report\xff"),
    ]
    assert _replay(broker, said) == 3
    kept = _record(broker, 2)
    assert sorted((each.topic, each.retained, each.payload) for each in kept) == [
        (DESIRED, True, b"an order"),
        (REPORT, True, b"\x00a report\xff"),
    ]


def test_what_comes_while_it_records(broker: BrokerUrl) -> None:
    said = [Recorded(at, EVENT, False, str(at).encode()) for at in (0.0, 0.2, 0.4)]
    heard: list[list[Recorded]] = []
    recorder = threading.Thread(target=lambda: heard.append(_record(broker, 3)))
    recorder.start()
    bound = 100
    while recorder.is_alive() and (bound := bound - 1):  # until the recorder was there for a whole turn
        _replay(broker, said, speed=10)
    recorder.join(20)
    assert {each.payload for each in heard[0]} <= {each.payload for each in said}
    assert len(heard[0]) == 3
    assert not any(each.retained for each in heard[0])


def test_a_wrong_account(broker: BrokerUrl) -> None:
    with pytest.raises(BenchError, match="refused"):
        _replay(BrokerUrl(broker.host, broker.port, CLOUD, "wrong"), [])


def test_an_account_that_may_not_hear_everything(broker: BrokerUrl) -> None:
    with pytest.raises(BenchError, match="refused: the subscription to everything"):
        _record(BrokerUrl(broker.host, broker.port, MONITOR, "secret"), 1)


def test_no_broker(broker: BrokerUrl) -> None:
    with pytest.raises(BenchError, match=r"cannot reach the broker at mqtt://127\.0\.0\.1:9: .*is it running"):
        _replay(BrokerUrl("127.0.0.1", 9), [])
