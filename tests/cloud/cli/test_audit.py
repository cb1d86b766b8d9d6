"""``shallop audit``."""

from __future__ import annotations

import pytest
from cli_world import refusal
from shallop_cloud.api import models

HEAD = 32 * "a7"


def entry(number: int, **changes):
    fields = {
        "id": number,
        "at": "2026-03-01T08:00:01+00:00",
        "device_time": None,
        "actor": "admin",
        "action": "archived",
        "device_id": "DEV-AMR0700000000000",
        "deployment_id": "DPL-7K3QF0H2M9XW4RTC",
        "release_id": None,
        "hash": HEAD,
        "before": {"target_status": "deployed"},
        "after": {"target_status": "archived"},
    }
    return models.HistoryEntry(**{**fields, **changes})


def verdict(**changes):
    fields = {"whole": True, "entries": 12, "head": HEAD, "broken_at": None, "reason": ""}
    return models.Verdict(**{**fields, **changes})


def test_list(run, world):
    world.history = [
        entry(8),
        entry(7, action="device_created", deployment_id=None, before=None, after={"name": "amr-07"}),
    ]

    assert run("audit", "list").out == (
        "ENTRY  AT                    WHO    WHAT            ABOUT                 CHANGE\n"
        "8      2026-03-01T08:00:01Z  admin  archived        DPL-7K3QF0H2M9XW4RTC  target deployed -> archived\n"
        "7      2026-03-01T08:00:01Z  admin  device_created  DEV-AMR0700000000000  -\n"
    )


def test_list_asks_the_server_for_what_is_wanted(run, world):
    run(
        *("audit", "list", "--device", "amr-07", "--deployment", "DPL-7K3QF", "--actor", "ana", "--action", "archived"),
        *("--since", "2026-03-01T08:00:00Z"),
    )

    assert world.asked == {
        "device": "amr-07",
        "deployment": "DPL-7K3QF",
        "actor": "ana",
        "action": "archived",
        "since": "2026-03-01T08:00:00+00:00",
        "limit": "50",
    }


def test_a_whole_history_asks_to_keep_its_head(run, world):
    world.says["history:verify"] = verdict()

    ran = run("audit", "verify")

    assert world.asked == {}
    assert ran == type(ran)(
        0,
        f"whole: 12 entries follow from one another\nhead: {HEAD}\n",
        "write the head down elsewhere; given as --head, it proves the next time that nothing up to here was changed\n",
    )
    assert run("audit", "verify", "-o", "name").out == f"{HEAD}\n"


def test_an_earlier_head_is_looked_for(run, world):
    world.says["history:verify"] = verdict()

    ran = run("audit", "verify", "--head", HEAD.upper())

    assert world.asked == {"head": HEAD}
    assert ran.out.startswith("whole: 12 entries follow from one another, and the head that you gave is among them\n")


def test_a_history_that_is_not_whole_ends_with_3(run, world):
    world.says["history:verify"] = verdict(whole=False, broken_at=9, reason="its hash is another")

    ran = run("audit", "verify")

    assert ran == type(ran)(
        3,
        "not whole: 12 entries hold together, then entry 9 does not follow\n",
        "shallop: the history is not whole: its hash is another\n",
    )


@pytest.mark.parametrize("head", ["", "abc", 64 * "g", 65 * "a"])
def test_heads_that_are_none(run, world, head):
    ran = run("audit", "verify", "--head", head)

    assert ran.code == 2
    assert ran.err.startswith(f"shallop: {head!r} is not a head: it has 64 hexadecimal digits")


def test_who_may_not_look(run, world):
    world.refuses = refusal(403, "role_insufficient", "this takes the role viewer")

    assert run("audit", "verify").code == 4
