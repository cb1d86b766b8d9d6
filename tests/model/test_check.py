"""The command: what it prints, and how it ends."""

from __future__ import annotations

import model_check
import pytest
from click.testing import CliRunner
from model_world import memo, mistakes


@pytest.fixture(autouse=True)
def _forget():
    yield
    memo.forget()


def run(*arguments: str):
    return CliRunner().invoke(model_check.main, arguments)


def test_a_world_that_keeps_the_rules() -> None:
    done = run("--world", "restored")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "worlds: 1, states: 356, violations: 0"


def test_a_broken_rule_ends_with_1_and_the_way_can_be_taken_again() -> None:
    mistake = next(mistake for mistake in mistakes.ALL if mistake.name == "the cloud orders twice")
    with mistake.planted():
        done = run("--world", mistake.world)
        again = done.stderr.splitlines()[-1].split("model_check.py ")[1].split()
        replayed = run(*again)
    assert (done.exit_code, replayed.exit_code) == (1, 1)
    assert "good: broken after 1 events: S5: DPL-0000000000000001 can be ordered a second time" in done.stderr
    assert replayed.stdout.splitlines()[-1].strip() == "2. -> S5: DPL-0000000000000001 can be ordered a second time"


def test_a_way_that_keeps_the_rules() -> None:
    assert run("--world", "good", "--replay", "0.0").exit_code == 0


@pytest.mark.parametrize("arguments", [("--replay", "0"), ("--world", "good", "--replay", "0.99")])
def test_a_way_that_is_none_is_misuse(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_the_list_names_every_world() -> None:
    assert [line.split(":")[0] for line in run("--list").stdout.splitlines()] == list(model_check.worlds.ALL)
