"""No schema and no document keeps a process busy for over a second, or ends it."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from shallop_cloud.configs import ConfigSchema, Format, Refused

SECONDS = 4.0 if sys.gettrace() is None else 40.0
"""Of this thread's processor time, so that a busy machine does not fail the test. Measuring coverage slows it down."""


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def fan(branch: Any, levels: int) -> Any:
    """References that double at each level."""
    defs = {f"n{n}": branch([{"$ref": f"#/$defs/n{n + 1}"}] * 2) for n in range(levels)}
    return {"$ref": "#/$defs/n0", "$defs": {**defs, f"n{levels}": {"type": "string"}}}


def chain(levels: int, last: Any) -> Any:
    defs = {f"n{n}": {"$ref": f"#/$defs/n{n + 1}"} for n in range(levels)}
    return {"$ref": "#/$defs/n0", "$defs": {**defs, f"n{levels}": last}}


def both_ways(**more: Any) -> Any:
    deeper = {"properties": {"a": {"$ref": "#"}}}
    return {"allOf": [deeper, deeper], **more}


SCHEMA_BOMBS: dict[str, Any] = {
    "self-reference": {"$ref": "#"},
    "long chain": chain(5_000, {}),
    "pattern": {"pattern": "^(a+)+$"},
    "polynomial pattern": {"items": {"pattern": "a*a*a*a*a*a*a*a*a*b"}},
    "many patterns": {"patternProperties": {f"^x{n}[a-z]*$": True for n in range(20_000)}},
    "large counts": {"pattern": "(((a{100}){100}){100}){100}"},
    "many schemas": {"allOf": [{} for _ in range(40_000)]},
    "many broken schemas": {"allOf": [5 for _ in range(40_000)]},
    "many properties": {"properties": {f"p{n}": {"type": "number", "maximum": n} for n in range(8_000)}},
    "fan of alternatives": fan(lambda branches: {"anyOf": branches}, 20),
    "fan of one-of": fan(lambda branches: {"oneOf": branches}, 20),
    "fan of if": fan(lambda branches: {"if": branches[0], "then": branches[1], "else": branches[1]}, 20),
    "fan of not": fan(lambda branches: {"not": {"allOf": branches}}, 20),
    "doubling at each level": both_ways(),
    "doubling, unevaluated": both_ways(unevaluatedProperties=False),
    "chain at each level": chain(50, {"properties": {"a": {"$ref": "#"}}}),
    "many constants": {"anyOf": [{"const": n} for n in range(2_000)]},
    "large enum": {"items": {"enum": [{"a": [n] * 9} for n in range(4_000)]}},
    "unique": {"uniqueItems": True, "items": {"uniqueItems": True}},
    "dependencies": {"anyOf": [{"items": {"dependentRequired": {"a": [f"k{n}" for n in range(4_000)]}}}, False]},
    "required": {"anyOf": [{"items": {"required": [f"k{n}" for n in range(4_000)]}}, False]},
    "suggestions": {"items": {"properties": {f"key{n}": True for n in range(900)}, "additionalProperties": False}},
    "contains": {"items": {"contains": {"contains": {"type": "string"}}}},
    "long texts": {"anyOf": [{"maxLength": n} for n in range(2_000)]},
}

DOCUMENT_BOMBS: dict[str, Any] = {
    "deep": nested(62),
    "small objects": [{"a": n, "key": [n]} for n in range(8_000)],
    "lists": [[n] * 40 for n in range(1_200)],
    "colliding numbers": [n * (2**61 - 1) for n in range(20_000)],
    "long text": "a" * 1_000_000,
    "long texts": ["ab" * 5_000 + "!"] * 80,
    "long keys": {"x" * 10_000 + str(n): n for n in range(80)},
}

HURT_BY = {
    **dict.fromkeys((name for name in SCHEMA_BOMBS if name.startswith(("fan", "doubling", "chain"))), ("deep",)),
    "polynomial pattern": ("long texts",),
    "many constants": ("small objects", "long texts", "long keys"),
    "large enum": ("small objects", "long texts"),
    "unique": ("small objects", "lists", "colliding numbers", "long texts"),
    "contains": ("lists",),
    "long texts": ("long text",),
}


def elapsed_since(started: float) -> float:
    return time.thread_time() - started


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    return {name: json.dumps(value).encode() for name, value in DOCUMENT_BOMBS.items()}


@pytest.mark.parametrize("name", SCHEMA_BOMBS)
def test_schema_bombs(name: str, documents: dict[str, bytes]) -> None:
    wire = {"entry": "s.json", "documents": {"s.json": json.dumps(SCHEMA_BOMBS[name])}}
    started = time.thread_time()
    try:
        made = ConfigSchema.from_json(wire)
    except Refused:
        return
    finally:
        assert elapsed_since(started) < SECONDS
    for title in HURT_BY.get(name, ("small objects",)):
        started = time.thread_time()
        assert len(made.check(documents[title], Format.JSON)) <= 50
        assert elapsed_since(started) < SECONDS, title


def yaml_bombs() -> Iterator[bytes]:
    letters = [f"a{n}" for n in range(12)]
    yield "\n".join(
        [f"{letters[0]}: &{letters[0]} [x,x,x,x,x,x,x,x,x]"]
        + [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise(letters)]
    ).encode()
    yield b"[" * 200_000
    yield b"{a: " * 200_000
    yield b"- " * 200_000
    yield b"? " * 200_000
    yield b"&a " * 100_000
    yield b"- x\n" * 200_000
    yield b"a: " + b"9" * 900_000
    yield b"a: " + b"'" * 900_000
    yield b"a: |\n" + b" x\n" * 300_000
    yield b"".join(b"k%d: 1\n" % n for n in range(90_000))
    yield b"#" * 1_000_000
    yield b"\n" * 1_000_000


@pytest.mark.parametrize("content", list(yaml_bombs()), ids=lambda content: ascii(content[:10]))
def test_yaml_bombs(content: bytes) -> None:
    started = time.thread_time()
    ConfigSchema.opaque().check(content, Format.YAML)
    assert elapsed_since(started) < SECONDS


JSON_BOMBS = [
    b"[" * 1_000_000,
    b'{"a":' * 200_000,
    b"[1," * 1000,
    b"1" * 1_000_000,
    b'"' + b"\\u0061" * 170_000,
]


@pytest.mark.parametrize("content", JSON_BOMBS, ids=lambda content: ascii(content[:10]))
def test_json_bombs(content: bytes) -> None:
    started = time.thread_time()
    assert len(ConfigSchema.opaque().check(content, Format.JSON)) == 1
    assert elapsed_since(started) < SECONDS


def test_what_is_too_much_work_says_so() -> None:
    made = ConfigSchema.from_json({"entry": "s.json", "documents": {"s.json": json.dumps(both_ways())}})
    content = json.dumps(nested(60)).encode()
    assert [each.message for each in made.check(content, Format.JSON)] == [
        "takes too long to check: make the document smaller, or its schema simpler"
    ]
    too_deep = ConfigSchema.from_json(
        {"entry": "s.json", "documents": {"s.json": json.dumps(SCHEMA_BOMBS["chain at each level"])}}
    )
    assert [each.message for each in too_deep.check(content, Format.JSON)] == [
        "document and schema together are nested too deep to be checked"
    ]
