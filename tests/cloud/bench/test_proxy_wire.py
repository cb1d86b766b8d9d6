"""How the proxy finds packets in a stream, and what it reads in them."""

import itertools

import pytest
from cloud.bench.raw_mqtt import Message as Sent
from cloud.bench.raw_mqtt import connect_bytes, packet, publish_bytes, text
from hypothesis import given
from hypothesis import strategies as st
from shallop_cloud.bench.proxy_wire import Connect, Cutter, Message, NotMqtt, Packet, PacketType, connect_of, message_of

STREAM = [
    connect_bytes("dev-a", "secret", "dev-a"),
    publish_bytes(Sent("t", b"x" * 300, 1), 7),
    packet(0x40, b"\x00\x07"),
    b"\xc0\x00",
    publish_bytes(Sent("t", b"", 0)),
]


@given(st.lists(st.integers(0, sum(map(len, STREAM))), max_size=8))
def test_packets_are_the_same_however_the_stream_is_torn(places):
    data = b"".join(STREAM)
    edges = [0, *sorted(places), len(data)]
    cutter = Cutter()
    found = [each for start, end in itertools.pairwise(edges) for each in cutter.feed(data[start:end])]
    assert [each.data for each in found] == STREAM
    assert [each.type for each in found] == [
        PacketType.CONNECT,
        PacketType.PUBLISH,
        PacketType.PUBACK,
        PacketType.PINGREQ,
        PacketType.PUBLISH,
    ]


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02", b"\x30\xff\xff\xff\xff\x01"])
def test_what_is_no_mqtt_passes_as_it_is(garbage):
    cutter = Cutter()
    assert [each.data for each in cutter.feed(STREAM[0])] == [STREAM[0]]
    passed = b"".join(each.data for part in (garbage[:1], garbage[1:], STREAM[1]) for each in cutter.feed(part))
    assert passed == garbage + STREAM[1]
    assert [each.type for each in cutter.feed(b"more")] == [PacketType.NONE]


def _only(data: bytes) -> Packet:
    (found,) = Cutter().feed(data)
    return found


def test_a_connect_says_who_and_which_version():
    assert connect_of(_only(connect_bytes("u", "p", "dev-a"))) == Connect("dev-a", 4)
    expiry = b"\x05\x11\x00\x00\x00\x3c"
    assert connect_of(_only(connect_bytes("u", "p", "dev-a", level=5, properties=expiry))) == Connect("dev-a", 5)
    assert connect_of(_only(connect_bytes("u", "p", "dev-a", name="MQIsdp", level=3))) == Connect("dev-a", 3)


def test_a_message_of_either_version():
    data = publish_bytes(Sent("a/b", b"payload", 1, retain=True), 258)
    assert message_of(_only(data), 4) == Message("a/b", b"payload", 1, True, False, 258)
    properties = b"\x02\x01\x01"
    data = packet(0x3A, text("a/b") + b"\x00\x09" + properties + b"payload")
    assert message_of(_only(data), 5) == Message("a/b", b"payload", 1, False, True, 9)
    assert message_of(_only(publish_bytes(Sent("a", b"p", 0))), 4) == Message("a", b"p", 0, False, False, None)


@pytest.mark.parametrize(
    "data",
    [b"\x10\x00", b"\x10\x02\x00\x09", connect_bytes("u", "p", "x", level=5, properties=b"\xff")[:20], b"\x30\x00"],
)
def test_what_is_cut_off_is_said_to_be_so(data):
    found = Packet(data, 2)
    with pytest.raises(NotMqtt):
        connect_of(found)
    with pytest.raises(NotMqtt):
        message_of(found, 5)


def test_a_message_sent_again_has_dup_set_unless_it_is_of_qos_0():
    once = publish_bytes(Sent("t", b"x", 1, retain=True), 7)
    assert _only(once).again().data == b"\x3b" + once[1:]
    once = publish_bytes(Sent("t", b"x", 0))
    assert _only(once).again().data == once


def test_damage_changes_one_byte_of_the_body():
    once = publish_bytes(Sent("t", b"x", 1), 7)
    assert _only(once).damaged(0, 0x80).data == once[:2] + b"\x80" + once[3:]
