"""Mistakes to plant in the cores, each of which the walks and the search must find."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import ModuleType

from shallop_protocol import cloud, device, statuses
from shallop_protocol.statuses import Activity, Error, Statuses, Target

from model_world import fairness, memo, search, worlds
from model_world.search import Broken


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One function of a core, replaced by a wrong one. ``world`` is one that shows it."""

    name: str
    world: str
    module: ModuleType
    function: str
    wrong: Callable[..., object]

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """While it is entered, the core makes the mistake."""
        right = getattr(self.module, self.function)
        memo.forget()
        setattr(self.module, self.function, self.wrong)
        try:
            yield
        finally:
            setattr(self.module, self.function, right)
            memo.forget()


_receive, _bring_on = device.receive, device._bring_on
_may_leave_sight, _goal = device._may_leave_sight, device._goal
_ingest, _deploy, _move = cloud.ingest, cloud.deploy, cloud._move
_restage, _archive_device, _refuse_unless_staged = cloud.restage, cloud.archive_device, cloud._refuse_unless_staged


def _takes_any_generation(memory, order, now):
    return _receive(dataclasses.replace(memory, order=None), order, now)


def _takes_another_of_one_number(memory, order, now):
    same = memory.order is not None and (order.epoch, order.generation) == memory.position
    return _receive(dataclasses.replace(memory, order=None) if same else memory, order, now)


def _queues_again_what_failed(memory, order, now):
    sound = tuple(holding for holding in memory.holdings if holding.error is not Error.FAILED)
    return _receive(dataclasses.replace(memory, holdings=sound), order, now)


def _forgets_failures(memory, deployment, reason, now):
    return device._change(memory, memory.holding(deployment), now, error=Error.RETRYING, reason=reason)


def _believes_its_database(memory, disk):
    wanted = memory.wanted
    done = wanted is not None and wanted.activity is Activity.DEPLOYED
    return None if done else _bring_on(memory, disk)


def _counts_nothing_as_retrying(memory, disk):
    wanted = memory.wanted
    return None if wanted is not None and wanted.error is Error.RETRYING else _bring_on(memory, disk)


def _takes_any_report(shore, report):
    return _ingest(dataclasses.replace(shore, seq=0), report)


def _forgets_former_databases(shore, report):
    return _ingest(dataclasses.replace(shore, former=()), report)


def _never_jumps(shore, report):
    return _ingest(shore, report) if report.generation <= shore.generation else cloud.Ingested(shore)


def _never_settles(shore, ignored):
    return cloud.Ingested(shore, tuple(ignored))


def _breaks_before_it_makes(shore, deployment, *args):
    after = _deploy(shore, deployment, *args)
    if after.fallback is None:
        return after
    old = cloud._withdraw(shore, after.deployments[after.fallback], after.generation)
    return cloud._record(dataclasses.replace(after, fallback=None), old)


def _issues_no_new_number(shore, report):
    again = cloud._issue(shore, report.generation, shore.desired, shore.fallback)
    return cloud.Ingested(again, ("issued again",))


def _hears_a_forgotten_time(shore, report):
    return False


def _looks_at_numbers_alone(shore, report):
    return report.epoch == shore.epoch and report.generation > shore.generation


def _takes_back_a_failure(known, entry):
    sound = known.statuses.error is Error.FAILED and entry.error is not Error.FAILED
    forgiven = Statuses(Target.ARCHIVED, known.statuses.activity, entry.error)
    return (dataclasses.replace(known, statuses=forgiven), "") if sound else _move(known, entry)


def _lets_statuses_go_back(known, entry):
    then = Statuses(known.statuses.target, entry.activity, entry.error)
    possible = not isinstance(statuses.CELLS[then], statuses.Impossible)
    return (dataclasses.replace(known, statuses=then), "") if possible else _move(known, entry)


def _never_refuses(deployment):
    return None


def _forgets_why_it_was_removed(memory, deployment, now):
    holding = memory.holding(deployment)
    clean = dataclasses.replace(holding, activity=Activity.ARCHIVED, error=Error.NONE, reason=None)
    return device._replace(memory, clean)


def _clears_the_fallback_away(memory):
    return {holding.id for holding in memory.holdings if not holding.is_finished}


def _keeps_what_it_is_told_to_drop(memory, disk):
    return memory.order.deployment is not None and _may_leave_sight(memory, disk)


def _returns_to_what_is_damaged(memory, disk):
    return _goal(memory, dataclasses.replace(disk, damaged=frozenset()))


def _orders_what_drifted(deployment):
    if deployment.statuses.activity is not Activity.DRIFTED:
        _refuse_unless_staged(deployment)


def _lets_nothing_drift(shore, deployment, *args):
    after, known = _deploy(shore, deployment, *args), shore.deployments
    waiting = {name: known[name] for name, each in after.deployments.items() if each.statuses.merged == "drifted"}
    return dataclasses.replace(after, deployments={**after.deployments, **waiting})


def _takes_any_review(shore, deployment, expected_current=cloud.ANY):
    return _restage(shore, deployment)


def _stages_beside(shore, deployment):
    return cloud._record(shore, deployment)


def _takes_what_it_runs(shore):
    after = _archive_device(shore)
    return cloud.archive(after, after.desired) if after.desired else after


def _ends_at_once(shore, old, generation):
    return cloud._finish(old)


COMMON = (
    Mistake("the robot takes any generation", "good", device, "receive", _takes_any_generation),
    Mistake("the robot forgets failures", "fails-health", device, "held_up", _forgets_failures),
    Mistake("the robot never returns to its fallback", "two", device, "_goal", lambda memory, disk: None),
    Mistake("the robot lets anything leave sight", "two", device, "_may_leave_sight", lambda memory, disk: True),
    Mistake("the cloud takes any report", "overtaking", cloud, "ingest", _takes_any_report),
    Mistake("the cloud never jumps", "restored", cloud, "ingest", _never_jumps),
    Mistake("the cloud never settles", "fails-health", cloud, "_settle", _never_settles),
    Mistake("the cloud ends at once what it withdraws", "good", cloud, "_withdraw", _ends_at_once),
)
"""Those that random walks find soon as well."""

RARE = (
    Mistake("the robot takes another order of one number", "good", device, "receive", _takes_another_of_one_number),
    Mistake("the robot queues again what failed", "fails-health", device, "receive", _queues_again_what_failed),
    Mistake("the robot believes its database", "good", device, "_bring_on", _believes_its_database),
    Mistake("the robot never tries again", "good", device, "_bring_on", _counts_nothing_as_retrying),
    Mistake("the cloud forgets former databases", "overtaking-once", cloud, "ingest", _forgets_former_databases),
    Mistake("the robot forgets why it removed", "fails-health", device, "removed", _forgets_why_it_was_removed),
    Mistake("the robot clears its fallback away", "two-twice", device, "_accounted_for", _clears_the_fallback_away),
    Mistake("the robot keeps what is to go", "good", device, "_may_leave_sight", _keeps_what_it_is_told_to_drop),
    Mistake("the robot returns to a damaged fallback", "two-twice", device, "_goal", _returns_to_what_is_damaged),
    Mistake("the cloud orders twice", "good", cloud, "_refuse_unless_staged", _never_refuses),
    Mistake("the cloud breaks before it makes", "two", cloud, "deploy", _breaks_before_it_makes),
    Mistake("the cloud issues anew under the same number", "restored", cloud, "_issue_anew", _issues_no_new_number),
    Mistake("the cloud hears a forgotten time", "restored", cloud, "_is_of_forgotten_time", _hears_a_forgotten_time),
    Mistake(
        "the cloud tells no orders of one number apart",
        "withdrawn-restored",
        cloud,
        "_is_of_forgotten_time",
        _looks_at_numbers_alone,
    ),
    Mistake("the cloud orders what drifted", "two", cloud, "_refuse_unless_staged", _orders_what_drifted),
    Mistake("the cloud lets nothing drift", "two", cloud, "deploy", _lets_nothing_drift),
    Mistake("the cloud takes any review", "two", cloud, "restage", _takes_any_review),
    Mistake("the cloud stages beside what waits", "again", cloud, "stage", _stages_beside),
    Mistake("the cloud orders for archived devices", "retired", cloud, "_refuse_if_archived", lambda device: None),
    Mistake("the cloud takes what an archived device runs", "retired", cloud, "archive_device", _takes_what_it_runs),
    Mistake("the cloud takes back a failure", "fails-health", cloud, "_move", _takes_back_a_failure),
    Mistake("the cloud lets statuses go back", "good", cloud, "_move", _lets_statuses_go_back),
)

ALL = COMMON + RARE


def find(mistake: Mistake) -> Broken | None:
    """How the search finds a mistake in its world, if it does."""
    with mistake.planted():
        try:
            fairness.check(search.search(worlds.ALL[mistake.world]))
        except Broken as broken:
            return broken
    return None
