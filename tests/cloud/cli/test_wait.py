"""``--wait``, with a clock of its own."""

from __future__ import annotations

import dataclasses

import pytest
from cli_world import deployment
from shallop_cloud.api import models
from shallop_cloud.cli import problems, wait
from shallop_cloud.cli.wait import Outcome

DPL = "DPL-7K3QF0H2M9XW4RTC"


@dataclasses.dataclass
class Clock:
    """Time that passes only where it is slept through."""

    now: float = 1000.0
    slept: list[float] = dataclasses.field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


def seen(*statuses: str, **changes):
    return deployment(DPL, *statuses, **changes).model_dump(mode="json")


def looks(*each):
    """What one look after the other finds: a deployment or an exception; the last again and again."""
    left = list(each)

    def look(_within: float):
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return look


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        (("deployed", "queued", "none"), None),
        (("deployed", "queued", "retrying"), None),
        (("deployed", "deployed", "retrying"), None),
        (("deployed", "deployed", "none"), Outcome.DEPLOYED),
        (("archived", "deployed", "none"), Outcome.DEPLOYED),
        (("archived", "queued", "failed"), Outcome.FAILED),
        (("archived", "archived", "failed"), Outcome.FAILED),
        (("archived", "queued", "none"), Outcome.ARCHIVED),
        (("archived", "removing", "none"), Outcome.ARCHIVED),
        (("archived", "archived", "none"), Outcome.ARCHIVED),
    ],
)
def test_what_counts_as_an_outcome(statuses, outcome):
    assert wait.judged(seen(*statuses)) is outcome


def test_nothing_is_asked_when_the_outcome_is_known():
    clock = Clock()

    waited = wait.until_known(seen("deployed", "deployed"), looks(AssertionError()), clock, 120)

    assert (waited.outcome, clock.slept) == (Outcome.DEPLOYED, [])


def test_looks_are_0_2_to_1_second_apart_and_the_timeout_holds():
    clock = Clock()

    waited = wait.until_known(seen(), looks(seen()), clock, 4)

    assert clock.slept == [0.2, 0.3, 0.45, 0.675, 1.0, 1.0, 0.375]
    assert waited == wait.Waited(Outcome.TIMED_OUT, seen() | {"created_at": waited.deployment["created_at"]})
    assert clock.now == pytest.approx(1004)


def test_trouble_of_the_server_is_waited_out():
    told = []
    answers = looks(
        problems.Unreachable("http://x", "refused"), problems.Problem(503, "busy"), seen("deployed", "deployed")
    )

    waited = wait.until_known(seen(), answers, Clock(), 120, told.append)

    assert waited.outcome is Outcome.DEPLOYED
    assert told == [
        f"{DPL} on amr-07: queued",
        f"{DPL} on amr-07: queued; the server does not answer, asking again",
        f"{DPL} on amr-07: queued; the server is in trouble (503), asking again",
        f"{DPL} on amr-07: deployed",
    ]


def test_a_server_that_never_comes_back_ends_in_a_timeout():
    before = seen()

    waited = wait.until_known(before, looks(problems.Unreachable("http://x", "refused")), Clock(), 3)

    assert waited == wait.Waited(Outcome.TIMED_OUT, before)


def test_an_answer_that_will_not_change_ends_the_wait():
    with pytest.raises(problems.Problem):
        wait.until_known(seen(), looks(problems.Problem(404, "gone")), Clock(), 120)


def test_retries_are_told_with_their_reason():
    reason = models.Reason(code="io", message="disk full")

    told = wait.described(seen("deployed", "queued", "retrying", attempts=2, reason=reason))

    assert told == f"{DPL} on amr-07: retrying (attempt 2): io: disk full"


def test_a_wait_on_the_robot_is_told():
    waiting = models.Waiting(code="held", message="held by docking: parking", until="2026-03-01T14:05:31Z")

    assert wait.described(seen(waiting=waiting)) == (
        f"{DPL} on amr-07: queued, held by docking: parking until 14:05 UTC"
    )
