"""No parser of bytes from outside raises what it does not declare, or takes for ever: a quick look at each of them.

``tests/fuzz/run.py`` looks for as long as one likes.
"""

from __future__ import annotations

import pytest
from fuzz import hunt, parsers
from shallop_cloud.bench import proxy_wire
from shallop_protocol import strict_json

EVERY = {each.name: each for each in parsers.every()}
SERVED = ("requests at the door", "requests at the API")
QUICK = 40
"""Inputs for each."""


@pytest.mark.parametrize("name", [name for name in EVERY if name not in SERVED])
def test_a_parser_raises_what_it_declares(name: str) -> None:
    outcome = hunt.hunt(EVERY[name], inputs=QUICK, seed=1)
    assert outcome.found == [], str(outcome)
    assert outcome.inputs == QUICK


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVED)
def test_what_is_served_answers_whatever_comes(name: str) -> None:
    outcome = hunt.hunt(EVERY[name], inputs=300, seed=1)
    assert outcome.found == [], str(outcome)


def test_the_registry_is_small_enough_for_a_minute_each() -> None:
    assert len(EVERY) == len(parsers.every()) <= 24


@pytest.mark.parametrize("name", EVERY)
def test_seeds_reach_more_than_the_first_check(name: str) -> None:
    """Of the seeds of most parsers at least one is right: mutations begin where it is deep."""
    if name in SERVED:
        return
    parser, right = EVERY[name], 0
    with parser.ready() as parse:
        for data in parser.seeds():
            try:
                parse(data)
            except parser.declared:
                continue
            right += 1
    assert right or name in _NEVER_WHOLLY_RIGHT


_NEVER_WHOLLY_RIGHT = {
    "envelopes", "orders", "echoes", "key lists and trust", "reports, presence, events, hellos", "paths, ids, topics",
    "MQTT at the proxy", "MQTT at the bench broker", "answers and addresses", "settings", "patches, diffs, merges",
}  # fmt: skip
"""Those that ask several parsers the same, of which one or the other says no."""


def test_a_missing_bound_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistakes as one makes them: an index without a look at the length, nesting without a bound."""
    monkeypatch.setattr(proxy_wire, "_byte", lambda data, at: data[at])
    assert any("IndexError" in each.what for each in hunt.hunt(EVERY["MQTT at the proxy"], inputs=500).found)
    monkeypatch.setattr(strict_json, "_check_depth", lambda _: None)
    assert any("RecursionError" in each.what for each in hunt.hunt(EVERY["strict JSON"], inputs=500).found)


def test_what_hangs_or_is_slow_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def spin(data: bytes) -> None:
        while b"slow" in data:
            pass

    def burn(data: bytes) -> None:
        sum(range(1_000_000 if b"slow" in data else 1))

    monkeypatch.setattr(hunt, "HANGS_AFTER_S", 0.05)
    seeds = lambda: [b"slow"]  # noqa: E731
    hanging = parsers.Parser("x", parsers._plain(spin), (), seeds)
    assert [each.what for each in hunt.hunt(hanging, inputs=2).found] == ["hangs"]
    monkeypatch.setattr(hunt, "HANGS_AFTER_S", 20.0)
    slow = parsers.Parser("x", parsers._plain(burn), (), seeds, within_s=0.001)
    assert all(b"slow" in each.data and "took" in each.what for each in hunt.hunt(slow, inputs=20).found)
    assert hunt.hunt(slow, inputs=20).found
