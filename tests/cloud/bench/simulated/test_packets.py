"""The MQTT of simulated robots: what they write, and what they read however it is cut."""

from __future__ import annotations

import pytest
from shallop_cloud.bench.simulated import packets
from shallop_cloud.bench.simulated.packets import Will, WireError

PUBLISH = packets.publish(b"shallop/v1/dev-1/report", b"payload", 258, retain=True)
STREAM = b"\x20\x02\x00\x00" + PUBLISH + packets.PINGREQ + packets.puback(b"\x01\x02")
WHOLE = [(0x20, b"\0\0"), (0x33, PUBLISH[2:]), (0xC0, b""), (0x40, b"\x01\x02")]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_packets_are_found_wherever_the_stream_is_cut(cut: int) -> None:
    buffer = bytearray(STREAM[:cut])
    found = list(packets.split(buffer))
    buffer += STREAM[cut:]
    assert [*found, *packets.split(buffer)] == WHOLE
    assert not buffer


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_lengths(size: int) -> None:
    packet = packets.publish(b"t", bytes(size), 1, retain=False)
    [(first, body)] = packets.split(bytearray(packet))
    assert first == 0x32
    assert packets.parse_publish(first, body) == (b"t", b"\0\1", bytes(size))


def test_a_publish_without_a_number() -> None:
    assert packets.parse_publish(0x30, b"\0\1tpayload") == (b"t", None, b"payload")


def test_a_connect_with_all_that_it_can_have() -> None:
    written = packets.connect("id", "user", "word", 30, Will(b"topic", b"gone"))
    assert written == b"\x10\x27\0\4MQTT\4\xee\0\x1e\0\2id\0\5topic\0\4gone\0\4user\0\4word"


def test_a_connect_without_account_and_will() -> None:
    assert packets.connect("id", "", "", 30, None) == b"\x10\x0e\0\4MQTT\4\x02\0\x1e\0\2id"


def test_a_subscription() -> None:
    assert packets.subscribe(7, [b"a/b", b"c"]) == b"\x82\x0c\0\7\0\3a/b\1\0\1c\1"


def test_a_length_that_never_ends() -> None:
    with pytest.raises(WireError, match="more than four bytes"):
        list(packets.split(bytearray(b"\x30\xff\xff\xff\xff\x01")))


def test_a_publish_that_is_cut_short() -> None:
    with pytest.raises(WireError, match="cut short"):
        packets.parse_publish(0x32, b"\0\5top")
