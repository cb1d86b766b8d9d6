"""What comes next on the way of a deployment into force: one row for each thing that can be so."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from shallop_device import gates, testing
from shallop_device.gates import Announce, Ask, Await, Bring, Check, Confirm, Fetch, Probe, Reject, Stage
from shallop_protocol.messages import MAX_TEXT

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
MANIFEST = testing.Shore().manifest({"f": "1", "g": "2"})
CHECK = gates.Rules(check=True)
HOOKS = gates.Rules(applied=True, health=gates.Health(window=10.0, interval=1.0, passes=2))
HEALTH = gates.Rules(health=gates.Health(window=10.0, interval=1.0, passes=2))
ACKS = gates.Rules(health=gates.Health(window=10.0, interval=1.0, passes=0, acks=frozenset({"nav2", "arm"})))
CONFIRM = gates.Rules(confirm_s=60.0)
APPLIED = gates.Rules(applied=True)
ALL = gates.Rules(check=True, applied=True, health=HOOKS.health, confirm_s=60.0)

TRIAL = gates.Trial(MANIFEST.id, 100.0, AT, "nonce-nonce-nonce")
TAKEN_UP = dataclasses.replace(TRIAL, old_lines=1)
HOLD = gates.Hold("docking", "parking", 130.0, AT + datetime.timedelta(seconds=30))
LATER = gates.Hold("arm", "", 140.0, AT + datetime.timedelta(seconds=40))


def waits(code: str, until: float | None = None, words: str = "", end: float | None = None):
    """An Await, in short: its code, when it wakes, a part of what it says, and when it ends for people."""
    return code, until, words, end


def on_trial(trial: gates.Trial = TRIAL, **more):
    return gates.Situation(MANIFEST, is_current=True, trial=trial, **more)


def of(**more):
    return gates.Situation(MANIFEST, **more)


def trial(base: gates.Trial = TAKEN_UP, **more):
    return dataclasses.replace(base, **more)


WELL = trial(passes=2, tried_at=104.0)

ROWS = {
    # What is not there is fetched, whatever else is so.
    "fetch": (ALL, of(missing=MANIFEST.instances, holds=[HOLD]), 0, Fetch(MANIFEST.instances)),
    "fetching": (ALL, of(missing=MANIFEST.instances, under_way="fetch"), 0, waits("fetching", None, "0.0 MB: f, g")),
    "fetching_many": (
        ALL,
        of(missing=MANIFEST.instances * 3, under_way="fetch"),
        0,
        waits("fetching", None, "f, g, f and 3 more"),
    ),
    "fetch_after_the_hook": (ALL, of(missing=MANIFEST.instances, under_way="applied"), 0, waits("busy")),
    # What was in force is written anew, and no gate is asked.
    "heal": (ALL, of(is_confirmed=True, is_current=True, holds=[HOLD], trials=9), 0, Bring()),
    "bring back": (ALL, of(is_confirmed=True, trials=9), 0, Bring()),
    "bring back, but held": (
        ALL,
        of(is_confirmed=True, holds=[HOLD]),
        0,
        waits("held", 130.0, "held by docking: parking", 30),
    ),
    "heal_beside_a_hook": (
        ALL,
        of(is_confirmed=True, is_current=True, is_whole=False, under_way="applied"),
        0,
        Bring(),
    ),
    # Before the switch.
    "free": (gates.Rules(), of(), 0, Bring()),
    "held": (CHECK, of(holds=[LATER, HOLD]), 0, waits("held", 130.0, "held by arm; held by docking: parking", 40)),
    "offline": (CONFIRM, of(), 0, waits("offline", None, "no connection")),
    "online": (CONFIRM, of(is_online=True), 0, Bring()),
    "stage": (CHECK, of(), 0, Stage()),
    "check": (CHECK, of(is_staged=True), 0, Check()),
    "checking": (CHECK, of(is_staged=True, under_way="check"), 0, waits("checking")),
    "checked": (CHECK, of(is_staged=True, is_checked=True), 0, Bring()),
    "after_the_hook": (gates.Rules(), of(under_way="applied"), 0, waits("busy", None, "the hook applied still runs")),
    # In sight without a trial: the agent was restarted, and begins one anew.
    "again": (ALL, of(is_current=True, holds=[HOLD], trials=2), 0, Bring()),
    "too_often": (HEALTH, of(trials=3), 0, "trial_interrupted"),
    "too_often_without_a_trial": (CHECK, of(is_current=True, trials=3), 0, Bring()),
    # On trial.
    "damaged_on_trial": (HOOKS, on_trial(is_whole=False), 100, Bring()),
    "pointed_elsewhere": (HOOKS, of(trial=TRIAL, holds=[HOLD]), 100, Bring()),
    "veto": (HOOKS, on_trial(trial(veto="nav2: no"), under_way="health"), 100, "vetoed"),
    "announce": (HOOKS, on_trial(), 100, Announce()),
    "announcing": (HOOKS, on_trial(under_way="applied"), 100, waits("on_trial", 110.0, "the hook applied", 10)),
    "announce_again_later": (HOOKS, on_trial(trial(TRIAL, tried_at=103.5)), 104, waits("on_trial", 104.5)),
    "announce_again": (HOOKS, on_trial(trial(TRIAL, tried_at=103.0)), 104, Announce()),
    "only_announce": (APPLIED, on_trial(), 100, Announce()),
    "only_announcing": (APPLIED, on_trial(under_way="applied"), 9999, waits("on_trial", None, "the hook applied")),
    "only_announce_again_later": (APPLIED, on_trial(trial(TRIAL, tried_at=103.0)), 104, waits("on_trial", 108.0)),
    "only_announced": (APPLIED, on_trial(TAKEN_UP), 102, Confirm()),
    "never_announced": (HOOKS, on_trial(trial(TRIAL, said="no ROS")), 110, "health_failed: the hook applied did not"),
    "probe": (HOOKS, on_trial(TAKEN_UP), 102, Probe()),
    "probing": (HOOKS, on_trial(TAKEN_UP, under_way="health"), 102, waits("on_trial", 110.0, "the hook health", 10)),
    "probe_again_later": (HOOKS, on_trial(trial(passes=1, tried_at=103.0)), 103.5, waits("on_trial", 104.0)),
    "probe_again": (HOOKS, on_trial(trial(passes=1, tried_at=103.0)), 104.0, Probe()),
    "well": (HOOKS, on_trial(WELL), 104, Confirm()),
    "well_at_the_last_moment": (HOOKS, on_trial(WELL), 999, Confirm()),
    "not_well": (HOOKS, on_trial(trial(passes=1, said="lidar")), 110, "health_failed: the hook health did not pass"),
    "not_well_while_probing": (HOOKS, on_trial(TAKEN_UP, under_way="health"), 110, "health_failed"),
    "acks": (ACKS, on_trial(trial(acks=frozenset({"nav2"}))), 103, waits("on_trial", 110.0, "acknowledgements of arm")),
    "all_acks": (ACKS, on_trial(trial(acks=frozenset({"nav2", "arm", "more"}))), 103, Confirm()),
    "no_acks": (ACKS, on_trial(TAKEN_UP), 110, "health_failed: no acknowledgement came from arm, nav2 within 10 s"),
    "not_reconnected": (CONFIRM, on_trial(TAKEN_UP), 103, waits("on_trial", 160.0, "the cloud's answer", 60)),
    "ask": (CONFIRM, on_trial(TAKEN_UP, is_online=True), 103, Ask()),
    "asked": (CONFIRM, on_trial(trial(asked_at=103.0), is_online=True), 104, waits("on_trial", 113.0)),
    "ask_again": (CONFIRM, on_trial(trial(asked_at=103.0), is_online=True), 113, Ask()),
    "heard": (CONFIRM, on_trial(trial(heard=True)), 103, Confirm()),
    "cut_off": (CONFIRM, on_trial(trial(asked_at=103.0), is_online=True), 160, "cut_off"),
    "not_asked_too_soon": (
        ALL,
        on_trial(is_online=True, under_way="applied"),
        103,
        waits("on_trial", 110),
    ),
    "never_taken_up": (
        dataclasses.replace(APPLIED, confirm_s=60.0),
        on_trial(trial(TRIAL, said="no network")),
        160,
        "health_failed: the hook applied did not succeed within 60 s of the switch: no network",
    ),
    "never_taken_up_and_silent": (dataclasses.replace(APPLIED, confirm_s=60.0), on_trial(), 160, "health_failed"),
    "well_and_not_heard": (ALL, on_trial(WELL), 120, waits("on_trial", 160.0, "waiting for the cloud's answer", 60)),
    "heard_and_not_well": (ALL, on_trial(trial(heard=True)), 102, Probe()),
    "all_of_it": (ALL, on_trial(trial(WELL, heard=True)), 104, Confirm()),
}


@pytest.mark.parametrize(("rules", "situation", "moment", "expected"), ROWS.values(), ids=ROWS)
def test_next_act(rules, situation, moment, expected):
    act = gates.next_act(rules, situation, float(moment))
    if isinstance(expected, str):
        assert isinstance(act, Reject)
        assert f"{act.reason.code}: {act.reason.message}".startswith(expected)
    elif isinstance(expected, tuple):
        code, until, words, end = expected
        assert isinstance(act, Await)
        assert (act.waiting.code, act.until) == (code, until)
        assert words in act.waiting.message
        assert end is None or act.waiting.until == AT + datetime.timedelta(seconds=end)
    else:
        assert act == expected


def test_an_order_may_ask_for_another_term():
    assert ALL.of(None) is ALL
    assert ALL.of(5).confirm_s == 5.0
    assert gates.Rules().of(5).has_trial
    assert not CHECK.has_trial
    assert HEALTH.has_trial


def test_many_holds_are_told_in_what_a_message_holds():
    holds = [gates.Hold(f"robot-software-{n}", "r" * gates.MAX_WORDS, 1.0, AT) for n in range(gates.MAX_HOLDS)]
    held = gates.held_up_by(holds)
    assert held is not None
    assert len(held.waiting.message) == MAX_TEXT
    assert gates.held_up_by([]) is None


def test_a_trial_that_waits_for_nothing_has_words_all_the_same():
    assert gates.on_trial(gates.Rules(), TAKEN_UP).message == "on trial, waiting for nothing more"
    assert gates.on_trial(gates.Rules(), TAKEN_UP).until is None


NAMES = {"": False, "nav2": True, "Nav2": False, "a" * 64: True, "a" * 65: False, "-a": False, "a b": False, "ü": False}
BAD_HOLDS = {
    "name": (("Docking", "", 60.0), "'Docking' is not a name of robot software"),
    "reason": (("docking", "x" * 201, 60.0), "at most 200 characters"),
    "lines": (("docking", "a\nb", 60.0), "on one line"),
    "short": (("docking", "", 0.5), "from 1 to 3600 seconds, not 0.5"),
    "long": (("docking", "", 3601.0), "from 1 to 3600 seconds, not 3601"),
    "nan": (("docking", "", float("nan")), "not nan"),
}


@pytest.mark.parametrize(("name", "is_one"), NAMES.items())
def test_names_of_robot_software(name, is_one):
    if is_one:
        gates.check_name(name)
    else:
        with pytest.raises(ValueError, match="is not a name of robot software"):
            gates.check_name(name)


@pytest.mark.parametrize(("hold", "words"), BAD_HOLDS.values(), ids=BAD_HOLDS)
def test_a_hold_that_cannot_be_says_why(hold, words):
    with pytest.raises(ValueError, match=words):
        gates.check_hold(gates.Rules(), [], *hold)


def test_there_are_only_so_many_holds_and_each_can_be_renewed():
    holds = [gates.Hold(f"n{n}", "", 1.0, AT) for n in range(gates.MAX_HOLDS)]
    gates.check_hold(gates.Rules(), holds, "n3", "", 60.0)
    gates.check_hold(gates.Rules(), holds[1:], "new", "", 60.0)
    with pytest.raises(ValueError, match="there are 32 holds already; release one"):
        gates.check_hold(gates.Rules(), holds, "new", "", 60.0)
