"""Every cell of the lifecycle's table that occurs, through HTTP: what each act does there, and what it leaves alone."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa
from cloud_world import AGENT, NOW, Robot, World
from shallop_cloud.store import tables
from shallop_protocol import messages, statuses
from shallop_protocol.statuses import Activity, Error, Statuses, Target
from shallop_protocol.topics import Kind

CELLS = sorted(statuses.STEPS)
ACTS = ("deploy", "archive", "restage", "merge")


class Stage:
    """A world with one device, on which a deployment is brought to where it is wanted."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.release()
        self.robot: Robot = world.device()
        self.key = ""

    def bring(self, cell: Statuses) -> str:
        """A deployment with these statuses, come there as it would in life."""
        self.key = self.world.order("max: 1\n", staged=cell.target is Target.STAGED)
        if cell.activity is Activity.DRIFTED:
            self.world.order("max: 1\n")
        if cell.target is not Target.STAGED:
            self.world.published(self.robot.id)
            self._live(cell)
        assert self.cell == cell
        return self.key

    def _live(self, cell: Statuses) -> None:
        was_in_force = cell.activity in (Activity.DEPLOYED, Activity.REMOVING)
        if was_in_force:
            self.say(Activity.DEPLOYED)
        # What can never be reached any more with the will gone is said before it goes.
        early = cell.error is Error.RETRYING and cell.activity is not Activity.REMOVING
        if early or cell.error is Error.FAILED:
            self.say(Activity.DEPLOYED if was_in_force else Activity.QUEUED, cell.error)
        if cell.target is Target.ARCHIVED and cell.error is not Error.FAILED:
            self.world.must("POST", f"/v1/deployments/{self.key}:archive")
        if cell.activity in (Activity.REMOVING, Activity.ARCHIVED):
            self.say(cell.activity, cell.error)

    def say(self, activity: Activity, error: Error = Error.NONE) -> None:
        """The device reports the deployment so; it has answered no order yet."""
        self.robot.seq += 1
        digest = self.world.must("GET", f"/v1/deployments/{self.key}")["digest"]
        reason = messages.Reason.of("disk_full", "no space left") if error is not Error.NONE else None
        entry = messages.DeploymentReport(
            id=self.key, activity=activity, error=error, attempts=int(error is Error.RETRYING), since=NOW,
            reason=reason, digest=digest if activity is Activity.DEPLOYED else None,
        )  # fmt: skip
        report = messages.Report(
            device=self.robot.id.lower(), incarnation="one", seq=self.robot.seq, at=NOW, epoch=1, generation=0,
            current=None, deployments=(entry,), agent=AGENT,
        )  # fmt: skip
        self.world.hear(self.robot.id, Kind.REPORT, report.to_bytes())

    @property
    def cell(self) -> Statuses:
        target, activity, error, _ = self.world.statuses(self.key)
        return Statuses(Target(target), Activity(activity), Error(error))

    def act(self, act: str) -> Any:
        body = None
        if act in ("merge", "restage"):
            body = {"reviewed": self.world.must("GET", "/v1/devices/amr-1")["current"]}
        return self.world.api("POST", f"/v1/deployments/{self.key}:{act}", body)


def expected(cell: Statuses, act: str) -> Statuses | str:
    """Where an act leads, or the code of its refusal."""
    target, activity, error = cell
    match act:
        case "restage" | "merge" if activity is not Activity.DRIFTED:
            return "deployment_not_drifted"
        case "restage":
            return statuses.FIRST
        case "merge":
            return Statuses(Target.ARCHIVED, Activity.ARCHIVED, Error.NONE)
        case _ if target is Target.ARCHIVED:
            return "deployment_archived"
        case "archive" if target is Target.STAGED:
            return Statuses(Target.ARCHIVED, Activity.ARCHIVED, Error.NONE)
        case "archive":
            return Statuses(Target.ARCHIVED, activity, error)
        case _ if activity is Activity.DRIFTED:
            return "deployment_drifted"
        case _ if target is Target.DEPLOYED:
            return "deployment_already_deployed"
        case _:
            return Statuses(Target.DEPLOYED, Activity.QUEUED, Error.NONE)


def everything(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    with world.ashore.shore.database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for table in tables.metadata.sorted_tables
        }


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_what_each_act_does_in_a_cell(world: World, cell: Statuses) -> None:
    """First what is refused, which changes nothing at all; then, if there is one, an act that is allowed."""
    stage = Stage(world)
    key = stage.bring(cell)
    before = everything(world)
    allowed = [act for act in ACTS if isinstance(expected(cell, act), Statuses)]
    for act in ACTS:
        if act not in allowed:
            answer = stage.act(act)
            assert (answer.status_code, answer.json()["code"]) == (409, expected(cell, act)), act
            assert everything(world) == before
    for verb in ("deploy", "archive"):
        if verb not in allowed:
            answer = world.must("POST", f"/v1/deployments:{verb}", {"deployments": [key]})
            assert answer["data"][0]["problem"]["code"] == expected(cell, verb)
            assert everything(world) == before
    assert stage.cell == cell


@pytest.mark.parametrize(
    ("cell", "act"),
    [(cell, act) for cell in CELLS for act in ACTS if isinstance(expected(cell, act), Statuses)],
    ids=str,
)
def test_what_is_allowed_is_a_step_of_the_table_with_one_row_of_history(world: World, cell: Statuses, act: str) -> None:
    stage = Stage(world)
    key = stage.bring(cell)
    rows = len(world.must("GET", f"/v1/deployments/{key}/history")["data"])
    assert stage.act(act).is_success
    assert stage.cell == expected(cell, act)
    assert stage.cell in statuses.STEPS[cell]
    history = world.must("GET", f"/v1/deployments/{key}/history")["data"]
    assert len(history) == rows + 1
    assert history[-1]["after"]["activity_status"] == stage.cell.activity.value
    assert history[-1]["actor"] == "admin"


@pytest.mark.parametrize(
    ("cell", "act"),
    [("staged/staged/none", "deploy"), ("staged/drifted/none", "restage"), ("staged/drifted/none", "merge"),
     ("staged/drifted/none", "archive"), ("deployed/queued/none", "archive"), ("deployed/deployed/none", "archive")],
)  # fmt: skip
def test_of_fifty_at_once_exactly_one_wins(world: World, cell: str, act: str) -> None:
    stage = Stage(world)
    key = stage.bring(next(each for each in CELLS if str(each) == cell))
    named = {"reviewed": world.must("GET", "/v1/devices/amr-1")["current"]}
    body = named if act in ("merge", "restage") else None
    outcomes: Counter[bool] = Counter()

    def ask() -> None:
        answer = world.api("POST", f"/v1/deployments/{key}:{act}", body)
        assert answer.is_success or answer.status_code == 409
        outcomes[answer.is_success] += 1

    at_once(50, ask)
    assert outcomes == {True: 1, False: 49}


def test_of_fifty_rollbacks_that_know_what_is_current_one_wins(world: World) -> None:
    world.release()
    robot = world.device()
    for number in range(3):
        current = world.order(f"max: {number}\n")
        robot.settle()
    outcomes: Counter[int] = Counter()

    def ask() -> None:
        answer = world.api("POST", "/v1/devices/amr-1:rollback", {"expected_current": current})
        outcomes[answer.status_code] += 1

    at_once(50, ask)
    assert outcomes == {201: 1, 409: 49}


def at_once(count: int, ask: Any) -> None:
    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
