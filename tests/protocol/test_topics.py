"""Topics, and who may do what with them: the whole matrix."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shallop_protocol import topics
from shallop_protocol.topics import Access, Kind, TopicError, Topics

SEA = Topics()
ROOT = "shallop/v1"
SELF, OTHER = "dev-1", "dev-2"
USERS = (SELF, OTHER, "cloud", "monitor", "stranger", "", "+", "#", "hello", "DEV-1", "dev-1/..", "cloud ")

OWN = {kind: f"{ROOT}/{SELF}/{kind.value}" for kind in Kind if kind not in topics.TO_ALL}
BROADCAST = {f"{ROOT}/cloud/hello", f"{ROOT}/cloud/keys"}
BELOW = [
    *OWN.values(),
    *sorted(BROADCAST),
    f"{ROOT}/cloud/desired",
    f"{ROOT}/cloud/report",
    f"{ROOT}/monitor/report",
    f"{ROOT}/{SELF}/hello",
    f"{ROOT}/{SELF}",
    f"{ROOT}/{SELF}/",
    f"{ROOT}/{SELF}/report/",
    f"{ROOT}/{SELF}/report/deeper",
    f"{ROOT}/{SELF}/{SELF}/report",
    f"{ROOT}/{SELF}/unknown",
    f"{ROOT}//report",
    f"{ROOT}/DEV-1/report",
    f"{ROOT}/report",
    f"{ROOT}/",
]
BELOW_WILD = [
    f"{ROOT}/#",
    f"{ROOT}/+/#",
    f"{ROOT}/+/+",
    f"{ROOT}/+/desired",
    f"{ROOT}/+/report",
    f"{ROOT}/+/presence",
    f"{ROOT}/+/event",
    f"{ROOT}/+/hello",
    f"{ROOT}/{SELF}/#",
    f"{ROOT}/{SELF}/+",
    f"{ROOT}/cloud/+",
    f"{ROOT}/+/+/report",
]
OUTSIDE = [
    "",
    "#",
    "+",
    "+/+/+/+",
    "shallop/#",
    "shallop/+/dev-1/report",
    "shallop/v1",
    "shallop/v2/dev-1/report",
    "/shallop/v1/dev-1/report",
    "x/shallop/v1/dev-1/report",
    "other/dev-1/report",
    "dev-1/report",
    "$SYS/#",
    "$SYS/broker/version",
    f"$share/g/{ROOT}/+/report",
    f"$share/g/{ROOT}/{SELF}/desired",
    f"$queue/{ROOT}/{SELF}/desired",
]
EVERYTHING = BELOW + BELOW_WILD + OUTSIDE

HEARD = {f"{ROOT}/{name}/{kind}" for name in (SELF, "+") for kind in ("report", "presence", "event")}
ALLOWED: dict[str, dict[Access, set[str]]] = {
    SELF: {
        Access.PUBLISH: {OWN[Kind.REPORT], OWN[Kind.PRESENCE], OWN[Kind.EVENT]},
        Access.SUBSCRIBE: {OWN[Kind.DESIRED], OWN[Kind.ECHO], *BROADCAST},
        Access.RECEIVE: {OWN[Kind.DESIRED], OWN[Kind.ECHO], *BROADCAST},
    },
    "cloud": {
        Access.PUBLISH: set(BELOW),
        Access.SUBSCRIBE: {*BELOW, *BELOW_WILD},
        Access.RECEIVE: {*BELOW, *BELOW_WILD},
    },
    "monitor": {Access.PUBLISH: set(), Access.SUBSCRIBE: HEARD, Access.RECEIVE: HEARD},
}
BROADCAST_ONLY = {Access.PUBLISH: set[str](), Access.SUBSCRIBE: BROADCAST, Access.RECEIVE: BROADCAST}
"""What is left to anybody whom the broker let in, on the topics of somebody else."""


@pytest.mark.parametrize(("user", "access"), list(itertools.product(USERS, Access)))
def test_the_whole_matrix_of_access(user: str, access: Access) -> None:
    allowed = {topic for topic in EVERYTHING if SEA.allows(user, access, topic)}
    assert allowed == ALLOWED.get(user, BROADCAST_ONLY)[access]


@given(st.sampled_from([OTHER, "stranger", "", "+", "#"]), st.sampled_from(Access), st.text(max_size=8))
def test_nobody_reaches_anothers_topics(user: str, access: Access, tail: str) -> None:
    assert not SEA.allows(user, access, f"{ROOT}/{SELF}/{tail}")


@given(st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True).filter(topics.is_wire_id))
def test_every_device_has_its_own_topics_under_any_root(device: str) -> None:
    sea = Topics("a/b-c_D/e")
    for kind in topics.FROM_DEVICE | topics.TO_DEVICE:
        topic = sea.of(device, kind)
        assert topic == f"a/b-c_D/e/{device}/{kind.value}"
        assert sea.parse(topic) == (device, kind)
        assert sea.allows(device, Access.PUBLISH, topic) is (kind in topics.FROM_DEVICE)
        assert sea.allows(device, Access.RECEIVE, topic) is (kind in topics.TO_DEVICE)
        assert not SEA.allows(device, Access.PUBLISH, topic)


def test_the_names_of_topics() -> None:
    assert SEA.hello == "shallop/v1/cloud/hello"
    assert SEA.of(SELF, Kind.DESIRED) == "shallop/v1/dev-1/desired"
    assert SEA.every(Kind.REPORT) == "shallop/v1/+/report"
    assert SEA.keys == "shallop/v1/cloud/keys"
    assert {kind for kind in Kind if kind not in topics.RETAINED} == {Kind.EVENT, Kind.HELLO, Kind.ECHO}
    assert set(Kind) == topics.FROM_DEVICE | topics.TO_DEVICE | topics.TO_ALL


@pytest.mark.parametrize("topic", [topic for topic in EVERYTHING if topic not in OWN.values()])
def test_only_a_devices_own_topics_parse(topic: str) -> None:
    assert SEA.parse(topic) is None


@pytest.mark.parametrize(
    "device", ["", "cloud", "monitor", "DEV-1", "a" * 65, "a/b", "+", "#", "dev-1\n", "dév", "a.b"]
)
def test_what_cannot_stand_in_a_topic_is_refused(device: str) -> None:
    assert not topics.is_wire_id(device)
    with pytest.raises(TopicError, match="on the wire must be 1 to 64 of a-z, 0-9, '-', and not reserved"):
        SEA.of(device, Kind.REPORT)


@pytest.mark.parametrize("root", ["", "/", "a//b", "/a", "a/", "a/+", "#", "$share/x", "a b", "ä", "a\n"])
def test_a_root_with_odd_segments_is_refused(root: str) -> None:
    with pytest.raises(TopicError, match="each segment must be letters, digits, '_' or '-'"):
        Topics(root)


@pytest.mark.parametrize("root", ["a/b/c/d/e/f", "r" * 127])
def test_a_root_that_is_too_long_or_deep_is_refused(root: str) -> None:
    with pytest.raises(TopicError, match="is too long: at most 5 segments, 126 bytes"):
        Topics(root)


@pytest.mark.parametrize("root", ["a/b/c/d/e", "r" * 126, "A-_9"])
def test_the_longest_topic_keeps_within_what_brokers_accept(root: str) -> None:
    longest = Topics(root).of("d" * 64, Kind.PRESENCE)
    assert longest.count("/") <= topics.MAX_SLASHES
    assert len(longest) <= topics.MAX_TOPIC_BYTES
