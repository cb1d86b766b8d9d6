"""Ids: made from random bytes, typed by people in their own way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shallop_protocol import ids
from shallop_protocol.ids import IdError, Prefix


@pytest.mark.parametrize(
    ("random", "made"),
    [
        (bytes(10), "DPL-0000000000000000"),
        (b"\xff" * 10, "DPL-ZZZZZZZZZZZZZZZZ"),
        (bytes(9) + b"\x01", "DPL-0000000000000001"),
        (b"\x80" + bytes(9), "DPL-G000000000000000"),
        (bytes(range(10)), "DPL-000G40R40M30E209"),
    ],
)
def test_an_id_is_its_bytes_in_base32(random: bytes, made: str) -> None:
    assert ids.make(Prefix.DEPLOYMENT, random) == made


@pytest.mark.parametrize("length", [0, 9, 11])
def test_an_id_takes_ten_bytes(length: int) -> None:
    with pytest.raises(ValueError, match=f"an id takes 10 random bytes, not {length}"):
        ids.make(Prefix.DEVICE, bytes(length))


@given(st.sampled_from(Prefix), st.binary(min_size=10, max_size=10))
def test_what_is_made_is_an_id_and_survives_being_typed(prefix: Prefix, random: bytes) -> None:
    made = ids.make(prefix, random)
    assert ids.is_id(made)
    assert ids.normalize(f" {made.lower()}\n", prefix) == made
    assert ids.from_wire(ids.on_wire(made)) == made
    number = 0
    for digit in made[4:]:
        number = number * 32 + ids.ALPHABET.index(digit)
    assert number.to_bytes(10, "big") == random


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("DPL-7K3QF0H2M9XW4RTC", True),
        ("CFG-7K3QF0H2M9XW4RTC", True),
        ("dpl-7k3qf0h2m9xw4rtc", False),
        ("DPL-7K3QF", False),
        ("DPL-7K3QF0H2M9XW4RTCC", False),
        ("DPL-7K3QF0H2M9XW4RTC\n", False),
        ("DPL-7K3QF0H2M9XW4RTU", False),
        ("XXX-7K3QF0H2M9XW4RTC", False),
        ("", False),
    ],
)
def test_a_whole_id_is_told_from_anything_else(text: str, is_one: bool) -> None:
    assert ids.is_id(text) is is_one


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("dpl-7k3qf", "DPL-7K3QF"),
        ("DPL-7K3QF", "DPL-7K3QF"),
        ("  Dpl-oil0q ", "DPL-0110Q"),
        ("dpl-7k3qf0h2m9xw4rtc", "DPL-7K3QF0H2M9XW4RTC"),
    ],
)
def test_people_may_type_the_beginning_in_their_own_way(typed: str, meant: str) -> None:
    assert ids.normalize(typed, Prefix.DEPLOYMENT) == meant


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("dpl-7k3q", "give 5 to 16 characters after DPL-"),
        ("dpl-7k3qf0h2m9xw4rtcc", "give 5 to 16 characters after DPL-"),
        ("dev-7k3qf", "expected DPL- and at least 5 characters"),
        ("7k3qf", "expected DPL- and at least 5 characters"),
        ("DPL", "expected DPL- and at least 5 characters"),
        ("", "expected DPL- and at least 5 characters"),
        ("dpl-7k3qu", "ids use 0-9 and A-Z without I, L, O, U"),
        ("dpl-7k3q*", "ids use 0-9 and A-Z without I, L, O, U"),
        ("dpl--7k3qf", "ids use 0-9 and A-Z without I, L, O, U"),
    ],
)
def test_what_cannot_be_an_id_is_refused_with_the_reason(typed: str, words: str) -> None:
    with pytest.raises(IdError, match=re.escape(words)):
        ids.normalize(typed, Prefix.DEPLOYMENT)
