"""``--wait`` for many deployments: one line that counts, and at the end what did not go well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from shallop_cloud.cli import exits, output, problems, progress, views, wait, words
from shallop_cloud.cli.exits import Exit
from shallop_cloud.cli.output import Format
from shallop_cloud.cli.wait import Clock, Outcome, Waited

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json

Look = Callable[[str, float], "Json"]
"""Gives the deployment of an id as it is now, within so many seconds."""


def until_all_known(
    ids: Iterable[str], look: Look, clock: Clock, timeout: float, tell: Callable[[str], None] = lambda _: None
) -> list[Waited]:
    """Looks at each again and again until each has an outcome or ``timeout`` (seconds) is over; in the order given.

    All are looked at once, even if there is no time to wait. A server that does not answer, or is in trouble, is asked
    again. ``tell`` hears the counts after each round.

    Raises:
        problems.Problem: an answer that will not change by itself.
        problems.Unreachable: a deployment that nothing was ever heard of.
    """
    deadline = clock.monotonic() + timeout
    pause = wait.FIRST_PAUSE
    known: dict[str, Waited] = {}
    waiting = dict.fromkeys(ids)
    while True:
        for each in [each for each in waiting if each not in known or known[each].outcome is Outcome.TIMED_OUT]:
            try:
                found = look(each, max(deadline - clock.monotonic(), wait.LONGEST_PAUSE))
            except (problems.Unreachable, problems.Problem) as problem:
                passing = isinstance(problem, problems.Unreachable) or problem.passing
                if not passing or (each not in known and clock.monotonic() >= deadline):
                    raise
            else:
                known[each] = Waited(wait.judged(found) or Outcome.TIMED_OUT, found)
        open_ = sum(each not in known or known[each].outcome is Outcome.TIMED_OUT for each in waiting)
        tell(counts([each.outcome for each in known.values()], len(waiting)))
        left = deadline - clock.monotonic()
        if not open_ or (left <= 0 and len(known) == len(waiting)):
            return [known[each] for each in waiting]
        clock.sleep(min(pause, max(left, 0)))
        pause = min(pause * wait.GROWTH, wait.LONGEST_PAUSE)


def counts(outcomes: Sequence[Outcome], total: int) -> str:
    """``12 of 40 confirmed, 1 failed, 27 waiting``."""
    confirmed = outcomes.count(Outcome.DEPLOYED)
    ended = {"failed": outcomes.count(Outcome.FAILED), "archived": outcomes.count(Outcome.ARCHIVED)}
    waiting = total - confirmed - sum(ended.values())
    rest = [f"{number} {word}" for word, number in (*ended.items(), ("waiting", waiting)) if number]
    return ", ".join([f"{confirmed} of {total} confirmed", *rest])


def finish(
    api: Api, ids: Sequence[str], timeout: float, format: Format, refused: Sequence[str], code: Exit  # noqa: A002
) -> None:  # fmt: skip
    """Waits for deployments that were just ordered, and prints them as they were last known.

    ``refused`` are lines on what was not ordered, and ``code`` how the command ends for that.

    Raises:
        exits.Failure: one failed or was archived (9), an outcome was not known in time (8), or something was refused.
    """
    with progress.counted(f"waiting for {words.counted(len(ids), 'device')}") as tell:
        waited = until_all_known(
            ids, lambda id_, within: api.get("deployments", id_, within=within), time, timeout, tell
        )
    output.show({"data": [each.deployment for each in waited]}, format, views.deployments)
    outcomes = [each.outcome for each in waited]
    if Outcome.FAILED in outcomes or Outcome.ARCHIVED in outcomes:
        code = Exit.DEVICES_FAILED
    elif Outcome.TIMED_OUT in outcomes:
        code = Exit.TIMED_OUT
    if code is not Exit.OK:
        lines = [wait.told(each) for each in waited if each.outcome is not Outcome.DEPLOYED]
        raise exits.Failure(code, _summary(outcomes, len(refused), timeout), [*lines, *refused])


def _summary(outcomes: Sequence[Outcome], refused: int, timeout: float) -> str:
    words_ = counts(outcomes, len(outcomes))
    if Outcome.TIMED_OUT in outcomes:
        words_ += f" after {timeout:g} s; the orders stand, and are not undone"
    return f"{words_}; {refused} refused" if refused else words_
