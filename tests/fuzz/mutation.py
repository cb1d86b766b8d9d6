"""Other inputs made of known ones: bits, splices, cuts, repetition, and JSON of the same form with other words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

MOST = 200_000
"""Bytes of an input, so that one of them does not take all of the time."""
MOST_CHANGED = 20_000
"""Bytes of what is changed as JSON."""
INTERESTING = [
    b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[2J", b"\r\n", b"\n\n", b"\t", b" ", b"",
    b"{", b"}", b"[", b"]", b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"\\ud83d\\ude00", b":", b",", b"#", b"/", b"..",
    b"../", b"%00", b"%2e%2e", b"$", b"(", b"(a+)+$", b"*", b"+", b"&a", b"*a", b"!!python/object:os.system", b"<<: ",
    b"- ", b"? ", b"|", b">", b"---\n", b"...\n", b"~", b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999",
    b"0x10", b"1_000", b"0o7", b".inf", b"9" * 40, b"9" * 5_000, b"-1", b"18446744073709551616", b"2001-99-99",
    b"sha256:", b"DEV-", b"$7$", b"$ref", b"\xe2\x80\xae", b"a" * 70, b"\xf0\x9f\xa4\x96", b"= ", b"= [", b"[a.b]\n",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1", b"GET ", b"?x=1", b"\x30\xff",
    b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x01",
]  # fmt: skip
"""What parsers stumble over."""
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**400, 1e308, -0.0, 0.5, "", "x", "\u0000", "\ud800",
    "\u202e", "a" * 3_000, "../x", "DEV-0", [], {}, [[]], {"": None}, {"$ref": "#"}, [None] * 50,
]  # fmt: skip


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One input, a few steps away from those of the corpus."""
    data = rng.choice(corpus)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_STEPS)(rng, data, corpus)[:MOST]
    return data


def _flip(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x00"
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _insert(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(INTERESTING) + data[at:]


def _replace(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + rng.choice(INTERESTING) + data[end:]


def _cut(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    return data[: rng.randint(0, len(data))]


def _drop(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _repeat(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 2, 10, 300)) + data[end:]


def _splice(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = rng.choice(corpus)
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


_BRACKETS = ((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"- ", b""), (b"{a: ", b"}"), (b"a = [", b"]"))


def _nest(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    start, end = rng.choice(
        ((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"- ", b""), (b"{a: ", b"}"), (b"a = [", b"]"))
    )
    times = rng.choice((2, 70, 500, 5_000))
    return start * times + data[:2_000] + end * times


def _line(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    """Lines are what many formats are made of."""
    lines = data.split(b"\n")
    match rng.randrange(3):
        case 0:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        case 1:
            del lines[rng.randrange(len(lines))]
        case _:
            rng.shuffle(lines)
    return b"\n".join(lines)


def _json(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """The same form with another value somewhere, a key more, less or twice."""
    try:
        value = json.loads(data if len(data) < MOST_CHANGED else b"")
    except (ValueError, RecursionError):
        return _insert(rng, data, corpus)
    text = json.dumps(_changed(rng, value))
    if rng.random() < 0.1:
        text = text.replace('"', "\\u0022" if rng.random() < 0.5 else "'", 1)
    return text.encode(errors="surrogatepass")


def _changed(rng: random.Random, value: Any, depth: int = 0) -> Any:
    if depth > 40 or not isinstance(value, (dict, list)) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        times = rng.choice((0, 1, 1, 1, 2, 40) if depth < 2 else (0, 1, 1))
        return [*value[:at], *[_changed(rng, value[at], depth + 1)] * times, *value[at + 1 :]]
    key = rng.choice(list(value))
    changed = {name: each for name, each in value.items() if name != key or rng.random() < 0.8}
    if key in changed:
        changed[key] = _changed(rng, value[key], depth + 1)
    if rng.random() < 0.1:
        changed[rng.choice(("x", "", "\u0000", key.upper(), f" {key}"))] = rng.choice(VALUES)
    return changed


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 200)))


_STEPS: list[Callable[[random.Random, bytes, Sequence[bytes]], bytes]] = [
    _flip, _flip, _insert, _insert, _replace, _replace, _cut, _drop, _repeat, _splice, _nest, _line, _json, _json,
    _json,
]  # fmt: skip
