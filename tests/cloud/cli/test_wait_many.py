"""``--wait`` for many, with a clock of its own."""

from __future__ import annotations

import dataclasses

import pytest
from cli_world import deployment
from shallop_cloud.cli import problems, wait_many
from shallop_cloud.cli.wait import Outcome


@dataclasses.dataclass
class Clock:
    """Time that passes only where it is slept through."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


QUEUED = deployment("DPL-1").model_dump(mode="json")
DEPLOYED = deployment("DPL-1", activity="deployed").model_dump(mode="json")
FAILED = deployment("DPL-1", "archived", "queued", "failed").model_dump(mode="json")
AWAY = problems.Unreachable("http://x", "gone")
TROUBLE = problems.Problem(503, "busy")


def looking(seen):
    """What one look after the other at each id finds; the last again and again."""
    looked = []

    def look(id_, _within):
        looked.append(id_)
        found = seen[id_].pop(0) if len(seen[id_]) > 1 else seen[id_][0]
        if isinstance(found, Exception):
            raise found
        return found

    return look, looked


def test_each_is_looked_at_until_it_is_known_and_no_longer():
    look, looked = looking({"a": [DEPLOYED], "b": [QUEUED, AWAY, TROUBLE, FAILED]})
    told = []

    waited = wait_many.until_all_known(["a", "b"], look, Clock(), 60, told.append)

    assert [each.outcome for each in waited] == [Outcome.DEPLOYED, Outcome.FAILED]
    assert looked == ["a", "b", "b", "b", "b"]
    assert told == [*3 * ["1 of 2 confirmed, 1 waiting"], "1 of 2 confirmed, 1 failed"]


def test_what_is_not_known_in_time_is_as_it_was_last_seen():
    look, _ = looking({"a": [QUEUED], "b": [DEPLOYED]})
    clock = Clock()

    waited = wait_many.until_all_known(["a", "b"], look, clock, 10)

    assert [(each.outcome, each.deployment) for each in waited] == [
        (Outcome.TIMED_OUT, QUEUED),
        (Outcome.DEPLOYED, DEPLOYED),
    ]
    assert clock.now == pytest.approx(1010)


def test_one_that_nothing_was_ever_heard_of_is_a_failure():
    look, _ = looking({"a": [AWAY]})

    with pytest.raises(problems.Unreachable):
        wait_many.until_all_known(["a"], look, Clock(), 10)


def test_an_answer_that_stays_ends_the_wait():
    look, looked = looking({"a": [QUEUED, problems.Problem(404, "gone")]})

    with pytest.raises(problems.Problem):
        wait_many.until_all_known(["a"], look, Clock(), 10)
    assert len(looked) == 2


def test_counts():
    every = [Outcome.DEPLOYED, Outcome.FAILED, Outcome.ARCHIVED, Outcome.TIMED_OUT]
    assert wait_many.counts(every, 5) == "1 of 5 confirmed, 1 failed, 1 archived, 2 waiting"
