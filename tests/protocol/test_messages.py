"""Messages: bytes in, a value or a refusal out; every field has a limit, and nothing is guessed."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shallop_protocol import errors, messages
from shallop_protocol.messages import Agent, DeploymentReport, Event, Hello, Presence, Reason, Refusal, Report
from shallop_protocol.statuses import Activity, Error

ROBOT = "dev-7k3qf0h2m9xw4rtc"
AT = "2024-05-17T09:30:00.250Z"
NOW = datetime.datetime(2024, 5, 17, 9, 30, 0, 250_000, tzinfo=datetime.timezone.utc)
DIGEST = "sha256:" + "0f" * 32
ONE = "DPL-7K3QF0H2M9XW4RTC"

ENTRY = {
    "id": ONE,
    "activity": "queued",
    "error": "retrying",
    "attempts": 3,
    "next_attempt_at": AT,
    "reason": {"code": "disk_full", "message": "no space left"},
    "digest": DIGEST,
    "since": AT,
}
REPORT = {
    "v": 1,
    "device": ROBOT,
    "incarnation": "0b8e6c52-1d4f-4c3e-9f0a-6a2d5b7c8e90",
    "seq": 51,
    "at": AT,
    "clock_synced": True,
    "epoch": 1,
    "generation": 17,
    "current": ONE,
    "refused": {"code": "older_generation", "message": "it is older", "generation": 16},
    "deployments": [ENTRY],
    "agent": {"version": "1.0.0", "started_at": AT},
}
PRESENCE = {"v": 1, "device": ROBOT, "status": "online", "incarnation": "a", "connection": 7}
EVENT = {"v": 1, "device": ROBOT, "at": AT, "code": "hook_output", "deployment": ONE, "message": "ok"}


def written(fields: dict, **change: object) -> bytes:
    return json.dumps({**fields, **change}).encode()


def without(fields: dict, name: str) -> bytes:
    return json.dumps({key: value for key, value in fields.items() if key != name}).encode()


def test_a_report_is_read_whole() -> None:
    assert messages.parse_report(written(REPORT), ROBOT) == Report(
        device=ROBOT,
        incarnation="0b8e6c52-1d4f-4c3e-9f0a-6a2d5b7c8e90",
        seq=51,
        at=NOW,
        clock_synced=True,
        epoch=1,
        generation=17,
        current=ONE,
        refused=Refusal(code="older_generation", message="it is older", generation=16),
        deployments=(
            DeploymentReport(
                id=ONE,
                activity=Activity.QUEUED,
                error=Error.RETRYING,
                attempts=3,
                next_attempt_at=NOW,
                reason=Reason(code="disk_full", message="no space left"),
                digest=DIGEST,
                since=NOW,
            ),
        ),
        agent=Agent(version="1.0.0", started_at=NOW),
    )


def test_the_other_messages_are_read_whole() -> None:
    assert messages.parse_presence(written(PRESENCE), ROBOT) == Presence(
        device=ROBOT, status="online", incarnation="a", connection=7
    )
    assert messages.parse_event(written(EVENT), ROBOT) == Event(
        device=ROBOT, at=NOW, code="hook_output", deployment=ONE, message="ok"
    )
    assert messages.parse_hello(b'{"v":1,"spread_s":12.5}') == Hello(spread_s=12.5)
    assert messages.parse_hello(b"{}") == Hello(spread_s=0)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Hello(spread_s=1.5), '{"v":1,"spread_s":1.5}'),
        (
            Presence(device=ROBOT, status="offline", incarnation="a", connection=7),
            f'{{"v":1,"device":"{ROBOT}","status":"offline","incarnation":"a","connection":7}}',
        ),
        (
            Event(device=ROBOT, at=NOW, code="ok", message="größer"),
            f'{{"v":1,"device":"{ROBOT}","at":"2024-05-17T09:30:00.250000Z","code":"ok","deployment":null,"message":"größer"}}',
        ),
    ],
)
def test_messages_are_written_as_compact_json(message: messages.Message, text: str) -> None:
    assert message.to_bytes() == text.encode()
    assert messages.parse(type(message), message.to_bytes(), 10_000) == message


def test_a_report_survives_the_wire() -> None:
    report = messages.parse_report(written(REPORT), ROBOT)
    assert messages.parse_report(report.to_bytes(), ROBOT) == report


def test_unknown_fields_are_passed_over_everywhere() -> None:
    more = {**REPORT, "new": 1, "deployments": [{**ENTRY, "new": 1}], "agent": {**REPORT["agent"], "new": []}}
    assert messages.parse_report(written(more), ROBOT) == messages.parse_report(written(REPORT), ROBOT)


@pytest.mark.parametrize("version", [0, 2, 10**30, -1])
def test_another_version_is_unsupported_whatever_else_it_says(version: int) -> None:
    with pytest.raises(errors.Unsupported) as refused:
        messages.parse_hello(b'{"v":%d,"spread_s":"?"}' % version)
    assert refused.value.message == f"version {version} of the protocol; this software speaks version 1"


@pytest.mark.parametrize("version", ["null", '"1"', "[1]", "1.5"])
def test_a_version_that_is_no_integer_is_malformed(version: str) -> None:
    with pytest.raises(errors.Malformed, match=r"^/v: "):
        messages.parse_hello(f'{{"v":{version}}}'.encode())


@pytest.mark.parametrize("name", ["device", "incarnation", "seq", "at", "epoch", "generation", "agent"])
def test_a_report_without_what_it_needs_is_malformed(name: str) -> None:
    with pytest.raises(errors.Malformed) as refused:
        messages.parse_report(without(REPORT, name), ROBOT)
    assert refused.value.message == f"/{name}: Field required"


ENTRY_LIMITS = [
    ("id", ["DPL-7", "CFG-7K3QF0H2M9XW4RTC", "dpl-7k3qf0h2m9xw4rtc", ONE + "\n", None]),
    ("activity", ["staged", "drifted", "paused", "QUEUED", "", None, 1]),
    ("error", ["broken", "", None, "Failed"]),
    ("attempts", [-1, 2**53, 1.5, "3", True, None]),
    ("next_attempt_at", ["soon", "2024-05-17T09:30:00", 0]),
    ("reason", ["because", {"code": "Bad", "message": ""}, {"code": "", "message": ""},
                {"code": "x" * 65, "message": ""}, {"code": "ok", "message": "m" * 2001}, {"code": "ok"}]),
    ("digest", ["sha256:00", "sha1:" + "0" * 40, DIGEST.upper(), DIGEST + "0"]),
    ("since", [None, "yesterday"]),
]  # fmt: skip
REPORT_LIMITS = [
    ("device", ["", "DEV-1", "a" * 65, "a/b", "a b", "dev\n", None]),
    ("incarnation", ["", "A", "i" * 65]),
    ("seq", [0, -1, 2**53, "51", 51.5, True, None]),
    ("at", [None, "now", "2024-05-17T09:30:00", 1715938200]),
    ("clock_synced", ["yes", 1, None]),
    ("epoch", [-1, 2**53, "1"]),
    ("generation", [-1, 2**53, None]),
    ("current", ["DPL-", "", 1]),
    ("refused", ["x", {"code": "ok", "message": "m" * 2001}, {"code": "ok", "message": "", "generation": -1},
                 {"code": "a-b", "message": ""}]),
    ("deployments", [None, {}, [ENTRY] * 33, [None]]),
    ("agent", [None, {}, {"version": "v" * 65, "started_at": AT}, {"version": "1", "started_at": "x"}]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REPORT_LIMITS for value in values])
def test_every_field_of_a_report_has_a_limit(name: str, value: object) -> None:
    with pytest.raises(errors.Malformed, match=f"^/{name}"):
        messages.parse_report(written(REPORT, **{name: value}), ROBOT)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ENTRY_LIMITS for value in values])
def test_every_field_of_a_deployment_in_a_report_has_a_limit(name: str, value: object) -> None:
    with pytest.raises(errors.Malformed, match=f"^/deployments/0/{name}"):
        messages.parse_report(written(REPORT, deployments=[{**ENTRY, name: value}]), ROBOT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "away"),
        ("status", None),
        ("incarnation", ""),
        ("connection", 0),
        ("connection", 2**53),
        ("connection", "7"),
    ],
)
def test_every_field_of_presence_has_a_limit(name: str, value: object) -> None:
    with pytest.raises(errors.Malformed, match=f"^/{name}"):
        messages.parse_presence(written(PRESENCE, **{name: value}), ROBOT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("at", ""),
        ("code", "Has Space"),
        ("code", "9"),
        ("deployment", "CFG-1"),
        ("message", "m" * 2001),
        ("message", None),
    ],
)
def test_every_field_of_an_event_has_a_limit(name: str, value: object) -> None:
    with pytest.raises(errors.Malformed, match=f"^/{name}"):
        messages.parse_event(written(EVENT, **{name: value}), ROBOT)


@pytest.mark.parametrize("spread", [-1, 3600.5, '"1"', "null"])
def test_the_spread_of_a_hello_has_a_limit(spread: object) -> None:
    with pytest.raises(errors.Malformed, match=r"^/spread_s"):
        messages.parse_hello(f'{{"spread_s":{spread}}}'.encode())


def test_what_is_at_the_limits_is_taken() -> None:
    entry = {**ENTRY, "attempts": 2**53 - 1, "reason": {"code": "c" * 64, "message": "m" * 1000}}
    report = messages.parse_report(
        written(REPORT, seq=2**53 - 1, generation=0, epoch=0, current=None, refused=None, deployments=[entry] * 32),
        ROBOT,
    )
    assert (report.seq, report.generation, len(report.deployments)) == (2**53 - 1, 0, 32)
    assert messages.parse_hello(b'{"spread_s":3600}') == Hello(spread_s=3600)


@pytest.mark.parametrize(
    ("parse", "fields"),
    [
        (messages.parse_report, REPORT),
        (messages.parse_presence, PRESENCE),
        (messages.parse_event, EVENT),
    ],
)
def test_a_message_must_speak_of_the_device_of_its_topic(parse, fields: dict) -> None:
    with pytest.raises(errors.WrongDevice) as refused:
        parse(written(fields), "dev-2")
    assert refused.value.message == f"the message speaks of {ROBOT}, its topic of dev-2"


@pytest.mark.parametrize(
    ("parse", "limit"),
    [
        (lambda data: messages.parse_report(data, ROBOT), 65_536),
        (lambda data: messages.parse_presence(data, ROBOT), 8_192),
        (lambda data: messages.parse_event(data, ROBOT), 8_192),
        (messages.parse_hello, 8_192),
    ],
)
def test_every_kind_has_a_limit_in_bytes(parse, limit: int) -> None:
    with pytest.raises(errors.TooLarge, match=f"at most {limit} are taken"):
        parse(b" " * (limit + 1))
    with pytest.raises(errors.Malformed, match="not JSON"):
        parse(b" " * limit)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"1", b'"x"', b"{", b'{"v":1,"v":1}', b'{"spread_s":NaN}', b"\xff"]
)
def test_what_is_no_message_is_malformed(data: bytes) -> None:
    with pytest.raises(errors.Malformed):
        messages.parse_hello(data)


@pytest.mark.parametrize("text", ["\ud800", "a\udc00b"])
def test_half_a_surrogate_pair_is_no_text(text: str) -> None:
    with pytest.raises(errors.Malformed):
        messages.parse_event(written(EVENT, message=text), ROBOT)


def test_a_refusal_is_short_whatever_was_sent() -> None:
    deep = written(REPORT, agent={"version": "v" * 10_000, "started_at": AT})
    with pytest.raises(errors.Malformed) as refused:
        messages.parse_report(deep, ROBOT)
    assert refused.value.message == "/agent/version: String should have at most 64 characters"


NAMES = st.sampled_from(["v", "device", "seq", "at", "deployments", "id"])
ANY_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@given(ANY_JSON)
def test_no_json_breaks_the_reader(value: object) -> None:
    with pytest.raises(errors.ProtocolError):
        messages.parse_report(json.dumps(value).encode(), ROBOT)


def test_words_are_cut_to_what_a_message_may_hold() -> None:
    assert Reason.of("code", "m" * 2000) == Reason(code="code", message="m" * 2000)
    assert Reason.of("code", "m" * 2001) == Reason(code="code", message="m" * 1999 + "…")


def test_times_travel_in_utc_to_the_millisecond() -> None:
    paris = datetime.timezone(datetime.timedelta(hours=2))
    local = datetime.datetime(2024, 5, 17, 11, 30, 0, 250_999, tzinfo=paris)
    assert messages.utc(local).isoformat() == "2024-05-17T09:30:00.250000+00:00"
