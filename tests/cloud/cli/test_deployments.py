"""``shallop deployment`` and ``shallop config``."""

from __future__ import annotations

import json

import pytest
from cli_world import DIGEST, before, deployment, device
from shallop_cloud.api import models

DPL = "DPL-7K3QF0H2M9XW4RTC"


def test_list(run, world):
    reason = models.Reason(code="io", message="disk full")
    world.add(
        deployment(DPL, error="retrying", reason=reason, attempts=2),
        deployment("DPL-M2W8R00000000000", "archived", "archived", description="slower [bold]in[/] the hall"),
    )

    assert (
        run("deployment", "list").out
        == """\
ID                    DEVICE  RELEASE  STATUS    TARGET    CREATED  REASON         DESCRIPTION
DPL-7K3QF0H2M9XW4RTC  amr-07  1.4.0    retrying  deployed  3m ago   io: disk full  -
DPL-M2W8R00000000000  amr-07  1.4.0    archived  archived  3m ago   -              slower [bold]in[/] the hall
"""
    )


def test_list_asks_the_server_for_what_is_wanted(run, world):
    run("deployment", "list", "--device", "amr-07", "--release", "1.4.0", "--status", "failed")

    assert world.asked == {"device": "amr-07", "release": "1.4.0", "status": "failed", "limit": "50"}


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
        "patched from:  -",
        "queued:        -",
        "archived:      -",
        f"digest:        {DIGEST}",
        "",
        f"{'ID':22}CONFIG TYPE  PATH     BYTES  DIGEST",
        f"CFG-2WJ8C00000000000  map          map.txt  12     {DIGEST}",
    ]
    assert "(1m ago)\n" in out


@pytest.mark.parametrize(("act", "status"), [("archive", "archived"), ("deploy", "queued"), ("restage", "staged")])
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

    assert [each.model_dump(exclude_unset=True) for each in world.taken] == [{"expected_current": stated}]


def test_a_staged_deployment_is_ordered_and_awaited(run, world):
    world.add(deployment(DPL, "staged", "staged"))
    world.later[DPL] = [deployment(DPL, activity="deployed")]

    ran = run("deployment", "deploy", DPL, "--wait", "-o", "name")

    assert (ran.code, ran.out) == (0, f"{DPL}\n")


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
            before=None,
            after={"release": "1.4.0", "target_status": "staged"},
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
