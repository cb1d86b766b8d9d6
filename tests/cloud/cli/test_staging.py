"""``shallop staging``."""

from __future__ import annotations

import pytest
from cli_world import deployment, device
from shallop_cloud.api import models

DPL, OTHER = "DPL-7K3QF0H2M9XW4RTC", "DPL-M2W8R00000000000"
RELEASE = ("--release", "1.4.0")


def test_the_list_has_what_is_staged_and_what_drifted(run, world):
    world.add(device("amr-07", labels={"site": "lyon"}))
    world.add(deployment(DPL, "staged", "staged"), deployment(OTHER, "staged", "drifted"), deployment("DPL-Q"))
    world.add(deployment("DPL-R", "staged", "staged", release="1.5.0"))

    assert run("staging", "list", *RELEASE, "--label", "site=lyon", "-o", "name").out == f"{DPL}\n{OTHER}\n"
    assert run("staging", "list", *RELEASE, "--label", "site=graz", "-o", "name").out == ""


DONE = models.ActedOnMany(
    data=[
        models.ActedOn(deployment=DPL, id=DPL, problem=None),
        models.ActedOn(
            deployment=OTHER,
            id=None,
            problem=models.ItemProblem(status=409, code="deployment_drifted", detail="it drifted: review it first"),
        ),
    ]
)


@pytest.mark.parametrize(("act", "done"), [("deploy", "ordered "), ("archive", "archived")])
def test_all_of_a_release_that_have_the_labels(run, world, act, done):
    world.says[f"releases/1.4.0:{act}-staged"] = DONE

    ran = run("staging", act, *RELEASE, "--label", "site=lyon", "--label", "model=amr2")

    assert world.taken == [models.Choice(labels={"site": "lyon", "model": "amr2"})]
    width = len(done.strip())
    assert ran == type(ran)(
        6,
        f"DEPLOYMENT            {'RESULT'.ljust(width)}  PROBLEM\n"
        f"DPL-7K3QF0H2M9XW4RTC  {done.strip()}  -\n"
        f"DPL-M2W8R00000000000  {'refused'.ljust(width)}  it drifted: review it first\n",
        f"shallop: 1 refused, 1 {done.strip()}\n",
    )


def test_all_are_awaited(run, world):
    world.says["releases/1.4.0:deploy-staged"] = DONE.model_copy(update={"data": DONE.data[:1]})
    world.add(deployment(DPL))
    world.later[DPL] = [deployment(DPL), deployment(DPL, activity="deployed")]

    ran = run("staging", "deploy", *RELEASE, "--wait", "-o", "name")

    assert ran == type(ran)(0, f"{DPL}\n", "0 of 1 confirmed, 1 waiting\n1 of 1 confirmed\n")


def test_those_that_are_not_known_in_time_are_listed(run, world):
    world.says["releases/1.4.0:deploy-staged"] = DONE
    world.add(deployment(DPL))

    ran = run("staging", "deploy", *RELEASE, "--wait", "--timeout", "0.01", "-o", "name")

    assert ran == type(ran)(
        8,
        f"{DPL}\n",
        "0 of 1 confirmed, 1 waiting\n"
        "shallop: 0 of 1 confirmed, 1 waiting after 0.01 s; the orders stand, and are not undone; 1 refused\n"
        f"{DPL} on amr-07: queued\n"
        f"{OTHER}: it drifted: review it first\n",
    )


def test_a_refusal_alone_is_no_success_even_if_all_others_arrived(run, world):
    world.says["releases/1.4.0:deploy-staged"] = DONE
    world.add(deployment(DPL, activity="deployed"))

    ran = run("staging", "deploy", *RELEASE, "--wait", "-o", "name")

    assert (ran.code, ran.err.splitlines()[1:]) == (
        6,
        ["shallop: 1 of 1 confirmed; 1 refused", f"{OTHER}: it drifted: review it first"],
    )


def test_the_release_is_asked_for(run, world):
    for act in ("list", "deploy", "archive"):
        ran = run("staging", act)
        assert (ran.code, ran.err.splitlines()[0]) == (2, "shallop: Missing option '--release'.")
