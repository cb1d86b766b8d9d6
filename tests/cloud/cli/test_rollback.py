"""``shallop rollback``."""

from __future__ import annotations

import pytest
from cli_world import deployment, device, refusal
from shallop_cloud.api import models

NEW = "DPL-NEW0000000000000"


@pytest.fixture
def robot(world):
    world.add(device("amr-07"))
    return world


def test_by_one(run, robot):
    ran = run("rollback", "amr-07")

    assert robot.taken == [models.Rollback()]
    assert {"to", "expected_current"}.isdisjoint(robot.taken[0].model_fields_set)
    assert (ran.code, ran.err) == (0, "DPL-NEW00 has the files of DPL-EAR11\n")
    assert "restores:      DPL-EAR1100000000000\n" in ran.out


def test_to_one_of_them(run, robot):
    expected = ("--expected-current", "DPL-M2W8R")
    run("rollback", "amr-07", "--to", "DPL-7K3QF", "--staged", *expected, "--description", "jam")

    assert robot.taken == [
        models.Rollback(to="DPL-7K3QF", staged=True, expected_current="DPL-M2W8R", description="jam")
    ]


def test_wait(run, robot):
    robot.later[NEW] = [deployment(NEW, activity="deployed")]

    assert run("rollback", "amr-07", "--wait", "-o", "name").out == f"{NEW}\n"


def test_there_may_be_nothing_to_go_back_to(run, robot):
    robot.refuses = refusal(409, "nothing_to_roll_back_to", "nothing else was ever in force on amr-07")

    ran = run("rollback", "amr-07")

    assert ran == type(ran)(6, "", "shallop: nothing else was ever in force on amr-07\n")


def test_a_staged_one_is_not_awaited(run, robot):
    assert run("rollback", "amr-07", "--staged", "--wait").code == 2
    assert robot.taken == []
