"""``shallop deployment`` and ``shallop config``."""

from __future__ import annotations

import datetime
import json
import re

import pytest
from cli_world import DIGEST, before, deployment, device
from shallop_cloud.api import models

DPL = "DPL-7K3QF0H2M9XW4RTC"


def test_list(run, world):
    reason = models.Reason(code="io", message="disk full")
    world.add(
        deployment(DPL, error="retrying", reason=reason, attempts=2, last_known_age_s=7.9),
        deployment("DPL-M2W8R00000000000", "archived", "archived", description="slower [bold]in[/] the hall"),
    )

    assert (
        run("deployment", "list").out
        == """\
ID                    DEVICE  RELEASE  STATUS    TARGET    KNOWN   CREATED  REASON         DESCRIPTION
DPL-7K3QF0H2M9XW4RTC  amr-07  1.4.0    retrying  deployed  7s ago  3m ago   io: disk full  -
DPL-M2W8R00000000000  amr-07  1.4.0    archived  archived  -       3m ago   -              slower [bold]in[/] the hall
"""
    )


def test_list_asks_the_server_for_what_is_wanted(run, world):
    run("deployment", "list", "--device", "amr-07", "--release", "1.4.0", "--status", "failed")

    assert world.asked == {"device": "amr-07", "release": "1.4.0", "status": "failed", "limit": "50"}


def test_list_by_several_statuses_labels_and_age(run, world):
    run(
        *("deployment", "list", "--status", "failed", "--status", "drifted", "--since", "2026-03-01T08:00:00+01:00"),
        *("--label", "site=lyon", "--label", "model=amr2"),
    )

    assert world.asked == {
        "status": ["failed", "drifted"],
        "since": "2026-03-01T08:00:00+01:00",
        "label": ["site=lyon", "model=amr2"],
        "limit": "50",
    }


def test_an_age_is_reckoned_back_from_now(run, world):
    run("deployment", "list", "--since", "2h")

    since = datetime.datetime.fromisoformat(world.asked["since"])
    assert abs(since - before(hours=2)) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize("since", ["yesterday", "2 h", "h", "2026-03-01", "2026-03-01T08:00:00", "-2h", "9999999d"])
def test_a_time_that_is_none(run, world, since):
    ran = run("deployment", "list", "--since", since)

    assert ran.code == 2
    assert "is neither an age, such as 2h, nor a time, such as 2026-03-01T08:00:00Z" in ran.err


def test_a_status_that_is_none(run, world):
    ran = run("deployment", "list", "--status", "broken")

    assert ran.code == 2
    assert "'staged', 'drifted', 'queued', 'deployed', 'removing', 'archived', 'retrying', 'failed'" in ran.err


def test_show(run, world):
    instance = models.ConfigInstance(
        id="CFG-2WJ8C00000000000", config_type="map", slot="default", path="map.txt", digest=DIGEST, size=12
    )
    world.add(deployment(DPL, activity="deployed", deployed_at=before(seconds=62), config_instances=[instance]))

    out = run("deployment", "show", "dpl-7k3qf").out

    ages = ("created:", "deployed:")
    assert [line for line in out.splitlines() if not line.startswith(ages)] == [
        f"id:            {DPL}",
        "device:        amr-07 (DEV-AMR0700000000000)",
        "release:       1.4.0",
        "description:   -",
        "status:        deployed",
        "target:        deployed",
        "activity:      deployed",
        "error:         none",
        "reason:        -",
        "attempts:      0",
        "last known:    -",
        "patched from:  -",
        "queued:        -",
        "archived:      -",
        f"digest:        {DIGEST}",
        "",
        f"{'ID':22}CONFIG TYPE  PATH     BYTES  DIGEST",
        f"CFG-2WJ8C00000000000  map          map.txt  12     {DIGEST}",
    ]
    assert "(1m ago)\n" in out


@pytest.mark.parametrize(("act", "status"), [("archive", "archived"), ("deploy", "queued")])
def test_acts(run, world, act, status):
    world.add(deployment(DPL, "staged", "drifted"))

    ran = run("deployment", act, DPL, "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["status"] == status
    assert [each.model_fields_set for each in world.taken] == [set()]


@pytest.mark.parametrize(("given", "stated"), [("none", None), ("DPL-M2W8R", "DPL-M2W8R")])
def test_restage_states_what_was_reviewed(run, world, given, stated):
    world.add(deployment(DPL, "staged", "drifted"))

    run("deployment", "restage", DPL, "--reviewed", given)

    assert [each.model_dump(exclude_unset=True) for each in world.taken] == [{"reviewed": stated}]


def test_a_staged_deployment_is_ordered_and_awaited(run, world):
    world.add(deployment(DPL, "staged", "staged"))
    world.later[DPL] = [deployment(DPL, activity="deployed")]

    ran = run("deployment", "deploy", DPL, "--wait", "-o", "name")

    assert (ran.code, ran.out) == (0, f"{DPL}\n")


MANY = models.ActedOnMany(
    data=[
        models.ActedOn(deployment="DPL-7K3QF", id=DPL, problem=None),
        models.ActedOn(
            deployment="DPL-M2W8R",
            id=None,
            problem=models.ItemProblem(status=409, code="deployment_drifted", detail="it drifted: review it first"),
        ),
    ]
)


def test_many_are_ordered_each_by_itself(run, world):
    world.says["deployments:deploy"] = MANY

    ran = run("deployment", "deploy", "DPL-7K3QF", "DPL-M2W8R")

    assert world.taken == [models.ManyDeployments(deployments=["DPL-7K3QF", "DPL-M2W8R"])]
    assert ran == type(ran)(
        6,
        """\
DEPLOYMENT  RESULT   PROBLEM
DPL-7K3QF   ordered  -
DPL-M2W8R   refused  it drifted: review it first
""",
        "shallop: 1 refused, 1 ordered\n",
    )


@pytest.mark.parametrize(
    ("statuses", "code"), [([404, 409], 6), ([409, 404], 6), ([404, 422], 5), ([422, 404], 7), ([404, None], 5)]
)
def test_a_conflict_among_the_refusals_decides_how_it_ends(run, world, statuses, code):
    world.says["deployments:deploy"] = models.ActedOnMany(
        data=[
            models.ActedOn(
                deployment=f"DPL-{number}",
                id=None if status else f"DPL-{number}",
                problem=models.ItemProblem(status=status, code="x", detail="no") if status else None,
            )
            for number, status in enumerate(statuses)
        ]
    )

    assert run("deployment", "deploy", "DPL-0", "DPL-1").code == code


def test_names_of_many_are_of_those_that_were_done_and_the_others_are_told(run, world):
    world.says["deployments:archive"] = MANY

    ran = run("deployment", "archive", "DPL-7K3QF", "DPL-M2W8R", "-o", "name")

    assert ran == type(ran)(6, f"{DPL}\n", "shallop: 1 refused, 1 archived\nDPL-M2W8R: it drifted: review it first\n")


def test_many_are_awaited_and_a_failed_robot_counts_more_than_a_refusal(run, world):
    other = "DPL-Q0000000000000000"
    reason = models.Reason(code="check_rejected", message="too fast")
    world.says["deployments:deploy"] = MANY.model_copy(
        update={"data": [*MANY.data, models.ActedOn(deployment=other, id=other, problem=None)]}
    )
    world.add(deployment(DPL, activity="deployed"))
    world.add(deployment(other, "archived", "queued", "failed", reason=reason, device_name="amr-08"))

    ran = run("deployment", "deploy", "DPL-7K3QF", "DPL-M2W8R", other, "--wait", "-o", "name")

    assert ran == type(ran)(
        9,
        f"{DPL}\n{other}\n",
        "1 of 2 confirmed, 1 failed\n"
        "shallop: 1 of 2 confirmed, 1 failed; 1 refused\n"
        f"{other} on amr-08 failed: check_rejected: too fast\n"
        "DPL-M2W8R: it drifted: review it first\n",
    )


def test_an_archived_one_that_was_in_force_says_how_to_have_it_again(run, world):
    world.add(deployment(DPL, activity="deployed", deployed_at=before(seconds=62)))

    ran = run("deployment", "archive", DPL)

    assert ran.err == "withdrawn; to have its content again: shallop rollback amr-07 --to DPL-7K3QF\n"


def test_a_timeout_says_how_the_device_is(run, world):
    world.add(deployment(DPL, "staged", "staged"), device("amr-07", online=False))

    ran = run("deployment", "deploy", DPL, "--wait", "--timeout", "0.01", "-o", "name")

    assert ran.code == 8
    assert "; amr-07 is offline, last heard: 3m ago; " in ran.err


def test_history(run, world):
    world.add(deployment(DPL))
    world.history = [
        models.HistoryEntry(
            id=7,
            at="2026-03-01T08:00:01+00:00",
            device_time=None,
            actor="admin",
            action="staged",
            device_id="DEV-AMR0700000000000",
            deployment_id=DPL,
            release_id=None,
            before=None,
            after={"release": "1.4.0", "target_status": "staged"},
            hash=64 * "a",
        )
    ]

    assert run("deployment", "history", DPL).out == (
        "AT                    WHO    WHAT    DEPLOYMENT            CHANGE\n"
        "2026-03-01T08:00:01Z  admin  staged  DPL-7K3QF0H2M9XW4RTC  -\n"
    )
    assert run("deployment", "history", DPL, "-o", "name").out == "7\n"


def test_a_config_instance_comes_as_its_author_wrote_it(run, world):
    world.contents["CFG-2WJ8C"] = b"# \xc3\xa9\r\nmax: 1.0\n\n"

    ran = run("config", "cat", "CFG-2WJ8C")

    assert (ran.code, ran.out, ran.err) == (0, "# \u00e9\r\nmax: 1.0\n\n", "")


def test_a_config_instance_that_is_not_there(run, world):
    assert run("config", "cat", "CFG-2WJ8C").code == 5


@pytest.mark.parametrize(
    ("activity", "changes", "shown"),
    [
        (
            "queued",
            {"waiting": {"code": "held", "message": "held by docking: parking", "until": "2026-03-01T14:05:31Z"}},
            "queued, held by docking: parking until 14:05 UTC",
        ),
        (
            "queued",
            {"waiting": {"code": "on_trial", "message": "on trial, waiting for the hook health", "until": before()}},
            "queued, on trial, waiting for the hook health",
        ),
        (
            "deployed",
            {"integrity": {"code": "files_changed", "message": "changed"}},
            "deployed, files changed on the robot",
        ),
        (
            "queued",
            {"waiting": {"code": "held", "message": "held by a\x1b[2J\r\nb\x9b31m: c", "until": None}},
            "queued, held by a b: c",
        ),
    ],
)
def test_what_it_waits_for_stands_behind_its_status_and_no_terminal_obeys_it(run, world, activity, changes, shown):
    world.add(deployment(DPL, "deployed", activity, **changes))

    listed, one = run("deployment", "list"), run("deployment", "show", DPL)

    assert f"  {shown}  " in listed.out
    assert re.search(rf"^status: +{re.escape(shown)}$", one.out, re.MULTILINE)
    assert "\x1b" not in one.out + listed.out


def test_terms_and_waits_are_shown_whole(run, world):
    waiting = {"code": "held", "message": "held by docking", "until": "2099-03-01T14:05:31Z"}
    integrity = {"code": "files_changed", "message": "not what was written"}
    world.add(deployment(DPL, waiting=waiting, integrity=integrity, confirm_s=120))

    lines = [" ".join(line.split()) for line in run("deployment", "show", DPL).out.splitlines()]

    assert "confirm within: 2m" in lines
    assert "integrity: files_changed: not what was written" in lines
    assert any(line.startswith("waits until: 2099-03-01T14:05:31Z (in ") for line in lines)
