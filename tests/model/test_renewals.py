"""Every way of new key lists from the cloud to a robot keeps the rules, and mistakes in them are found."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping

import pytest
from model_world import key_lists, key_mistakes, memo, renewals
from shallop_device import orders
from shallop_protocol import cloud, desired, device, dsse, keys, trust


@pytest.fixture(autouse=True)
def _unlogged() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    memo.forget()


@pytest.mark.parametrize(
    ("lists", "acts", "wipes", "states"),
    [
        pytest.param(2, 1, 1, 6_811, id="one renewal and a wipe"),
        pytest.param(3, 1, 0, 16_969, id="two renewals", marks=pytest.mark.slow),
        pytest.param(2, 2, 1, 49_806, id="one renewal, two orders and a wipe", marks=pytest.mark.slow),
        pytest.param(3, 1, 1, 57_835, id="two renewals and a wipe", marks=pytest.mark.slow),
        pytest.param(4, 1, 0, 105_757, id="three renewals", marks=pytest.mark.slow),
    ],
)
def test_every_way_keeps_the_rules(lists: int, acts: int, wipes: int, states: int) -> None:
    assert renewals.search(lists, acts, wipes) == states


_works, _takes, _sends, _came_up = renewals._works, renewals._takes, renewals._sends, renewals._came_up
_published, _receive = renewals.shore.published, device.receive


def _raises_nothing(known: cloud.Device, _epoch: int) -> cloud.Device:
    return known


def _raises_nothing_else(known: cloud.Device, epoch: int) -> cloud.Device:
    return dataclasses.replace(known, epoch=epoch)


def _seals_nothing_anew(state: renewals.State) -> tuple[renewals.State, ...]:
    return renewals._ends(state) if state.at is renewals.At.ANEW else _works(state)


def _marks_before_it_sends(state: renewals.State) -> renewals.State:
    taken = _takes(state)
    return taken._replace(sealed=state.version) if state.at is renewals.At.ANEW else taken


def _marks_by_the_list_of_then(state: renewals.State, hand: renewals.Hand) -> tuple[renewals.State, ...]:
    return _sends(state, hand._replace(read=state.version) if hand.is_out else hand)


def _takes_every_epoch(_order: renewals.Order, _version: int) -> bool:
    return True


def _tells_once(state: renewals.State) -> renewals.State:
    return state


def _takes_all_as_told(state: renewals.State) -> renewals.State:
    return state._replace(is_told=True)


def _takes_unrecorded(state: renewals.State) -> renewals.State:
    return _takes(state)._replace(shore=state.shore)


def _records_after_it_sent(state: renewals.State, hand: renewals.Hand) -> tuple[renewals.State, ...]:
    return tuple(then._replace(shore=_published(then.shore)) for then in _sends(state, hand))


def _sends_the_newest_content(state: renewals.State, hand: renewals.Hand) -> tuple[renewals.State, ...]:
    content = state.shore.recorded.desired
    return _sends(state, hand._replace(order=hand.order and hand.order._replace(deployment=content)))


def _signs_with_all_it_has(_version: int) -> list[dsse.Signer]:
    return list(key_lists.SIGNERS.values())


def _hears_nothing(known: cloud.Device, _report: object) -> cloud.Ingested:
    return cloud.Ingested(known)


def _takes_every_generation(memory: device.Memory, order: desired.Desired, now: object) -> device.Received:
    return _receive(dataclasses.replace(memory, order=None), order, now)


@dataclasses.dataclass(frozen=True)
class Mistake:
    """Functions replaced by wrong ones, what is broken by it, and a world that shows it: lists, acts and wipes."""

    wrong: Mapping[tuple[object, str], Callable[..., object]]
    words: str
    world: tuple[int, int, int] = (2, 1, 1)


MISTAKES = {
    "no epoch is raised": Mistake(
        {(cloud, "raise_epoch"): _raises_nothing}, r"at rest, with list 2 and Order\(epoch=1, .* the robot has None"
    ),
    "an epoch is raised and nothing else": Mistake(
        {(cloud, "raise_epoch"): _raises_nothing_else}, r"at rest, .* the robot has Order\(epoch=1, generation=1"
    ),
    "nothing is sealed anew": Mistake(
        {(renewals, "_works"): _seals_nothing_anew}, "at rest, .* there lies Sealed", (3, 1, 0)
    ),
    "it counts as sealed before it is sent": Mistake(
        {(renewals, "_takes"): _marks_before_it_sends}, "at rest, .* there lies Sealed", (3, 1, 0)
    ),
    "it counts as sealed by the list of then": Mistake(
        {(renewals, "_sends"): _marks_by_the_list_of_then}, "at rest, .* there lies Sealed", (4, 1, 0)
    ),
    "an order goes out though its epoch is to be raised": Mistake(
        {(renewals, "_is_of_now"): _takes_every_epoch}, "was of another epoch when it was read"
    ),
    "a list is told once": Mistake({(renewals, "_came_up"): _tells_once}, "at rest, .* the broker retains list None"),
    "a list that another process had counts as told": Mistake(
        {(renewals, "_came_up"): _takes_all_as_told}, "at rest, .* the broker retains list None"
    ),
    "that an order may be out is recorded after it was sent": Mistake(
        {(renewals, "_takes"): _takes_unrecorded, (renewals, "_sends"): _records_after_it_sent},
        "leaves under list 1, and recorded as out is 0",
    ),
    "a number is given twice": Mistake(
        {(renewals, "_sends"): _sends_the_newest_content}, "that number was another order's", (2, 2, 0)
    ),
    "keys that do not count sign": Mistake(
        {(renewals, "_signers"): _signs_with_all_it_has}, "by a key that does not count there"
    ),
    "no report is heard": Mistake({(cloud, "ingest"): _hears_nothing}, "at rest, .* the cloud does not know"),
    "every epoch counts": Mistake(
        {(trust.Trust, "order"): key_mistakes.obeys_every_epoch}, "list 2, which is of another epoch"
    ),
    "every listed key counts": Mistake(
        {(trust.Trust, "order"): key_mistakes.obeys_every_listed_key}, "never signed", (4, 1, 0)
    ),
    "no list is followed": Mistake(
        {(orders.Judge, "renewal"): key_mistakes.follows_nothing}, "at rest, .* the robot has list 1"
    ),
    "what was refused is forgotten": Mistake(
        {(orders.Judge, "adopt"): key_mistakes.forgets_what_it_refused}, "at rest, with list 2 .* the robot has None"
    ),
    "every list is taken": Mistake({(keys, "check_successor"): key_mistakes.takes_every_list}, "goes back to list 1"),
    "every generation is taken": Mistake(
        {(device, "receive"): _takes_every_generation}, "goes back to order", (2, 2, 0)
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake = MISTAKES[name]
    for (place, attribute), wrong in mistake.wrong.items():
        monkeypatch.setattr(place, attribute, wrong)
    memo.forget()
    with pytest.raises(key_lists.Broken, match=mistake.words):
        renewals.search(*mistake.world)
