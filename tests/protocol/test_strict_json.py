"""Strict JSON: equal to json.loads on what it takes, and a short list of what it refuses."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shallop_protocol import errors, strict_json

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_reads_what_json_reads(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    data = text.encode("utf-8", "surrogatepass") if ascii_only else text.encode()
    assert strict_json.loads(data, len(data)) == json.loads(text)


@given(VALUES)
def test_writes_what_it_reads(value: object) -> None:
    data = strict_json.dumps(value)
    assert b"\n" not in data
    assert strict_json.loads(data, len(data)) == value


def test_writes_compact_utf8_in_the_order_of_the_keys() -> None:
    assert strict_json.dumps({"b": [1, 2.5, None], "a": "ü"}) == '{"b":[1,2.5,null],"a":"ü"}'.encode()
    with pytest.raises(ValueError, match="Out of range float"):
        strict_json.dumps(float("nan"))


@given(st.text(st.sampled_from('[]{}",:\\1a "'), max_size=80) | st.binary(max_size=30))
@example('["\\\\"]')
@example('{"a":1,"\\u0061":2}')
def test_anything_else_is_refused_and_never_breaks(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    try:
        taken = strict_json.loads(data, 1_000)
    except errors.ProtocolError:
        return
    assert taken == json.loads(data.decode())


MALFORMED = {
    b"\xff": "not UTF-8: byte 0",
    b'"a\xed\xa0\x80"': "not UTF-8: byte 2",
    b"": "not JSON: Expecting value at character 0",
    b"{} {}": "not JSON: Extra data at character 3",
    b"{'a':1}": "not JSON: Expecting property name enclosed in double quotes at character 1",
    b'"\n"': "not JSON: Invalid control character at at character 1",
    b"NaN": "NaN is not a JSON number",
    b"[-Infinity]": "-Infinity is not a JSON number",
    b'{"a":Infinity}': "Infinity is not a JSON number",
    b"1e400": "number 1e400 is beyond what a double holds",
    b"-1e400": "number -1e400 is beyond what a double holds",
    b'{"a":1,"b":2,"a":3}': "key 'a' stands twice in one object",
    b'{"x":[{"a":1,"\\u0061":3}]}': "key 'a' stands twice in one object",
    b"1" * 5_000: "not JSON that this protocol takes: an integer is too long",
}


@pytest.mark.parametrize("data", MALFORMED, ids=lambda data: ascii(data)[:24])
def test_what_readers_might_disagree_on_is_refused(data: bytes) -> None:
    with pytest.raises(errors.Malformed) as refused:
        strict_json.loads(data, 10_000)
    assert refused.value.message == MALFORMED[data]


def test_a_long_key_is_not_repeated_in_full() -> None:
    key = "k" * 5_000
    with pytest.raises(errors.Malformed) as refused:
        strict_json.loads(b'{"%s":1,"%s":2}' % (key.encode(), key.encode()), 20_000)
    assert refused.value.message == f"key '{'k' * 64}' stands twice in one object"


@pytest.mark.parametrize("text", ["9007199254740993", "123456789012345678901234567890", "1e308", "-0.0", "2.50"])
def test_numbers_that_fit_are_read_as_they_stand(text: str) -> None:
    assert repr(strict_json.loads(text.encode(), 100)) == repr(json.loads(text))


def test_the_size_is_bounded() -> None:
    assert strict_json.loads(b'"abc"', 5) == "abc"
    with pytest.raises(errors.TooLarge) as refused:
        strict_json.loads(b'"abc"', 4)
    assert refused.value.message == "5 bytes, at most 4 are taken"


@pytest.mark.parametrize("bomb", [b"[" * 200_000, b'{"a":' * 200_000, b"[" * 33 + b"]" * 33, b'["\\"",' + b"[" * 40])
def test_a_depth_bomb_is_refused_at_once(bomb: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(errors.TooLarge) as refused:
        strict_json.loads(bomb, 2_000_000)
    assert refused.value.message == "nested deeper than 32"
    assert time.perf_counter() - began < 5


def test_32_levels_are_taken() -> None:
    data = b"[" * 32 + b"]" * 32
    assert strict_json.loads(data, 100) == json.loads(data)
    mixed = b'{"a":[' * 16 + b"[]".replace(b"[]", b"1") + b"]}" * 16
    assert strict_json.loads(mixed, 1_000) == json.loads(mixed)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(["[" * 100]),
        json.dumps({"{" * 50: "[" * 50}),
        json.dumps(['"' + "[" * 100]),
        json.dumps(["\\" + "[" * 100]),
        json.dumps(['\\"' + "[" * 100, "\\", "[" * 100]),
        json.dumps(["\\\\", '"\\"', "{" * 100]),
        json.dumps([[1]] * 100),
    ],
)
def test_brackets_in_strings_and_side_by_side_are_no_depth(text: str) -> None:
    assert strict_json.loads(text.encode(), 10_000) == json.loads(text)


@given(st.lists(st.sampled_from(['"', "\\", "[", "]", "a"]), max_size=60).map("".join), st.integers(1, 40))
def test_depth_is_counted_behind_any_string(text: str, depth: int) -> None:
    nested = f"[{json.dumps(text)},{json.dumps('[' * 40)},{'[' * depth}{']' * depth}]".encode()
    if depth + 1 > strict_json.MAX_DEPTH:
        with pytest.raises(errors.TooLarge):
            strict_json.loads(nested, 10_000)
    else:
        assert strict_json.loads(nested, 10_000) == json.loads(nested)
