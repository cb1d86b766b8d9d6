"""Every way of key lists and orders to a robot keeps the rules, and mistakes in them are found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from model_world import key_lists
from shallop_device import orders
from shallop_protocol import desired, errors, keys, trust


@pytest.fixture(autouse=True)
def _unlogged() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_way_keeps_the_rules() -> None:
    assert key_lists.search() == 137


def _obeys_every_listed_key(believed: trust.Trust, data: bytes) -> desired.Desired:
    known = {each.public.keyid: each.public for each in believed.listed.signing_keys}
    order = desired.open_desired(data, known, believed.device)
    if order.epoch != believed.listed.epoch:
        raise errors.WrongEpoch("of another epoch")
    return order


def _obeys_every_epoch(believed: trust.Trust, data: bytes) -> desired.Desired:
    return desired.open_desired(data, believed.listed.active, believed.device)


def _takes_every_list(_known: keys.KeyList, _new: keys.KeyList) -> None:
    pass


def _forgets_what_it_refused(judge: orders.Judge, renewal: orders.Renewal) -> None:
    judge._trust = renewal.trust


def _never_follows(_judge: orders.Judge, _data: bytes) -> None:
    pass


MISTAKES: dict[str, tuple[object, str, Callable[..., object], str]] = {
    "every listed key counts": (trust.Trust, "order", _obeys_every_listed_key, "of epoch [12] counts under list [34]"),
    "every epoch counts": (trust.Trust, "order", _obeys_every_epoch, "of epoch 2 counts under list"),
    "every list is taken": (keys, "check_successor", _takes_every_list, "goes back to list 1"),
    "what was refused is forgotten": (orders.Judge, "adopt", _forgets_what_it_refused, "ends with list 4 and order"),
    "no list is followed": (orders.Judge, "renewal", _never_follows, "ends with list 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, mistaken, words = MISTAKES[name]
    monkeypatch.setattr(place, attribute, mistaken)
    with pytest.raises(key_lists.Broken, match=words):
        key_lists.search()
