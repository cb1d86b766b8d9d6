"""Every way of key lists and orders to a robot keeps the rules, and mistakes in them are found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from model_world import key_lists, key_mistakes
from shallop_device import orders
from shallop_protocol import keys, trust


@pytest.fixture(autouse=True)
def _unlogged() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_way_keeps_the_rules() -> None:
    assert key_lists.search() == 137


MISTAKES: dict[str, tuple[object, str, Callable[..., object], str]] = {
    "every listed key counts": (
        trust.Trust,
        "order",
        key_mistakes.obeys_every_listed_key,
        "of epoch [12] counts under list [34]",
    ),
    "every epoch counts": (trust.Trust, "order", key_mistakes.obeys_every_epoch, "of epoch 2 counts under list"),
    "every list is taken": (keys, "check_successor", key_mistakes.takes_every_list, "goes back to list 1"),
    "what was refused is forgotten": (
        orders.Judge,
        "adopt",
        key_mistakes.forgets_what_it_refused,
        "ends with list 4 and order",
    ),
    "no list is followed": (orders.Judge, "renewal", key_mistakes.follows_nothing, "ends with list 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, mistaken, words = MISTAKES[name]
    monkeypatch.setattr(place, attribute, mistaken)
    with pytest.raises(key_lists.Broken, match=words):
        key_lists.search()
