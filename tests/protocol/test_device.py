"""The device core, one rule after the other: memory and disk in, an order or an outcome, memory and step out."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from model_world.orders import AGENT, NOW, ROBOT, deployment_id, manifest
from shallop_protocol import device, errors, messages
from shallop_protocol.desired import Desired
from shallop_protocol.device import Apply, Disk, Holding, Memory, Point, Received, Remember, Remove
from shallop_protocol.messages import Reason, Refusal
from shallop_protocol.statuses import Activity, Error

ONE, TWO, THREE = deployment_id(1), deployment_id(2), deployment_id(3)
LATER = NOW + datetime.timedelta(hours=1)
WHY = Reason.of("disk_full", "no space left on the device")
NO = Reason.of("check_failed", "the check hook said no")

QUEUED, DEPLOYED, REMOVING, ARCHIVED = Activity.QUEUED, Activity.DEPLOYED, Activity.REMOVING, Activity.ARCHIVED
NONE, RETRYING, FAILED = Error.NONE, Error.RETRYING, Error.FAILED


def order(generation: int, deployment: str | None, fallback: str | None = None, epoch: int = 1) -> Desired:
    return Desired(
        device=ROBOT,
        epoch=epoch,
        generation=generation,
        issued_at=NOW,
        deployment=manifest(deployment) if deployment else None,
        fallback=fallback,
    )


def held(
    deployment: str, activity: Activity, error: Error = NONE, attempts: int = 0, reason: Reason | None = None
) -> Holding:
    return Holding(deployment, manifest(deployment).digest, activity, error, attempts, reason, NOW)


def disk(current: str | None, *others: str, damaged: str | None = None, stuck: str | None = None) -> Disk:
    trees = frozenset([*others, *([current] if current else [])])
    return Disk(current, trees, frozenset(filter(None, [damaged])), frozenset(filter(None, [stuck])))


def refused(memory: Memory, code: str, message: str, generation: int | None) -> Received:
    refusal = Refusal(code=code, message=message, generation=generation)
    return Received(dataclasses.replace(memory, refused=refusal), "refused")


FRESH = Memory()
RUNS_ONE = Memory(order(1, ONE), (held(ONE, DEPLOYED),))
WANTS_TWO = Memory(order(2, TWO, fallback=ONE), (held(ONE, DEPLOYED), held(TWO, QUEUED)))


class TestReceive:
    """The newest order wins; anything else changes nothing but what is said about it."""

    def test_the_first_order_is_queued(self) -> None:
        assert device.receive(FRESH, order(1, ONE), NOW) == Received(
            Memory(order(1, ONE), (held(ONE, QUEUED),)), "accepted"
        )

    def test_a_newer_order_keeps_what_runs(self) -> None:
        assert device.receive(RUNS_ONE, order(2, TWO, ONE), NOW) == Received(WANTS_TWO, "accepted")

    def test_generations_may_be_skipped_and_an_epoch_beats_them_all(self) -> None:
        for newer in (order(900, TWO, ONE), order(1, TWO, ONE, epoch=2)):
            taken = device.receive(RUNS_ONE, newer, NOW)
            assert taken == Received(dataclasses.replace(WANTS_TWO, order=newer), "accepted")
            assert taken.memory.position == (newer.epoch, newer.generation)

    def test_the_same_order_again_changes_nothing(self) -> None:
        again = order(1, ONE).model_copy(update={"issued_at": LATER})
        assert device.receive(RUNS_ONE, again, LATER) == Received(RUNS_ONE, "unchanged")

    @pytest.mark.parametrize("other", [order(1, TWO), order(1, None), order(1, ONE, fallback=TWO)])
    def test_another_order_under_the_same_number_is_refused(self, other: Desired) -> None:
        words = "another order with the same generation 1 is in force"
        assert device.receive(RUNS_ONE, other, NOW) == refused(RUNS_ONE, "conflicting_generation", words, 1)

    @pytest.mark.parametrize(("epoch", "generation"), [(2, 4), (1, 900)])
    def test_an_older_order_is_refused(self, epoch: int, generation: int) -> None:
        memory = Memory(order(5, ONE, epoch=2), (held(ONE, DEPLOYED),))
        words = f"epoch {epoch} generation {generation} is older than 2/5, which is in force"
        assert device.receive(memory, order(generation, TWO, epoch=epoch), NOW) == refused(
            memory, "older_generation", words, generation
        )

    def test_a_deployment_never_changes(self) -> None:
        other = manifest(ONE).model_copy(update={"digest": "sha256:" + "0" * 64})
        lie = order(2, ONE).model_copy(update={"deployment": other})
        words = f"{ONE} was ordered before with other content; a deployment never changes"
        assert device.receive(RUNS_ONE, lie, NOW) == refused(RUNS_ONE, "conflicting_deployment", words, 2)

    def test_an_accepted_order_ends_a_refusal(self) -> None:
        before = device.receive(RUNS_ONE, order(1, TWO), NOW).memory
        assert device.receive(before, order(2, TWO, ONE), NOW) == Received(WANTS_TWO, "accepted")

    def test_what_cannot_be_read_is_remembered_and_changes_nothing_else(self) -> None:
        error = errors.BadSignature("no trusted key signed this")
        words = "no trusted key signed this"
        assert device.refuse_error(RUNS_ONE, error) == refused(RUNS_ONE, "bad_signature", words, None)
        assert device.refuse_error(FRESH, error) == refused(FRESH, "bad_signature", words, None)

    def test_a_new_order_begins_the_back_off_anew(self) -> None:
        tried = held(TWO, QUEUED, RETRYING, attempts=7, reason=WHY)
        died_of_it = held(ONE, DEPLOYED, attempts=3)
        memory = Memory(order(2, TWO, ONE), (died_of_it, tried))
        assert device.receive(memory, order(3, TWO), NOW).memory.holdings == (
            died_of_it,
            held(TWO, QUEUED, RETRYING, attempts=0, reason=WHY),
        )

    @pytest.mark.parametrize(
        "holding", [held(TWO, ARCHIVED), held(TWO, REMOVING), held(TWO, REMOVING, RETRYING, 3, WHY)]
    )
    def test_what_was_taken_off_and_is_ordered_again_is_queued_afresh(self, holding: Holding) -> None:
        memory = Memory(order(8, ONE), (holding, held(ONE, DEPLOYED)))
        assert device.receive(memory, order(9, TWO, ONE), NOW).memory.holdings == (
            held(ONE, DEPLOYED),
            held(TWO, QUEUED),
        )

    @pytest.mark.parametrize("activity", [QUEUED, DEPLOYED, REMOVING, ARCHIVED])
    def test_what_failed_stays_failed(self, activity: Activity) -> None:
        memory = Memory(order(8, ONE), (held(TWO, activity, FAILED, 1, NO), held(ONE, DEPLOYED)))
        assert device.receive(memory, order(9, TWO, ONE), NOW).memory.holdings == memory.holdings

    def test_a_fallback_that_is_ordered_again_is_still_in_force(self) -> None:
        assert device.receive(WANTS_TWO, order(3, ONE), NOW).memory.holdings == WANTS_TWO.holdings

    def test_the_last_eight_finished_deployments_are_kept(self) -> None:
        names = [deployment_id(number) for number in range(1, 13)]
        finished = tuple(held(name, ARCHIVED) for name in names)
        memory = Memory(order(20, TWO), (held(TWO, ARCHIVED, FAILED, 1, NO), *(h for h in finished if h.id != TWO)))
        taken = device.receive(memory, order(21, TWO), NOW).memory
        assert [holding.id for holding in taken.holdings] == [TWO, *names[4:]]


def after(newest: Desired, *holdings: Holding) -> Memory:
    return Memory(newest, holdings)


# One letter for where a deployment is, one digit for which it is.
Q1, Q2, Q3 = (held(deployment, QUEUED) for deployment in (ONE, TWO, THREE))
D1, D2 = held(ONE, DEPLOYED), held(TWO, DEPLOYED)
R1 = held(ONE, REMOVING)
F1, F2 = (held(deployment, QUEUED, FAILED, 1, NO) for deployment in (ONE, TWO))
GONE2 = held(TWO, ARCHIVED, FAILED, 1, NO)
APPLY1, APPLY2, APPLY3 = (Apply(manifest(deployment)) for deployment in (ONE, TWO, THREE))

STEPS: dict[str, tuple[Memory, Disk, device.Step | None]] = {
    "no order, no step": (FRESH, disk(None), None),
    "no order: what is there stays": (FRESH, disk(ONE, TWO), None),
    "in force: done": (RUNS_ONE, disk(ONE), None),
    "queued: apply": (after(order(1, ONE), Q1), disk(None), APPLY1),
    "switched, not confirmed: apply again": (after(order(1, ONE), Q1), disk(ONE), APPLY1),
    "held up: apply again": (after(order(1, ONE), held(ONE, QUEUED, RETRYING, 2, WHY)), disk(None), APPLY1),
    "damaged: heal": (RUNS_ONE, disk(ONE, damaged=ONE), APPLY1),
    "gone from the disk: apply again": (RUNS_ONE, disk(None), APPLY1),
    "trouble in force: apply again": (after(order(1, ONE), held(ONE, DEPLOYED, RETRYING, 1, WHY)), disk(ONE), APPLY1),
    "make before break": (WANTS_TWO, disk(ONE), APPLY2),
    "the fallback stays while unconfirmed": (WANTS_TWO, disk(TWO, ONE), APPLY2),
    "the fallback stays while it is named": (after(order(2, TWO, ONE), D1, D2), disk(TWO, ONE), None),
    "no longer named, successor not confirmed: stays": (after(order(3, TWO), D1, Q2), disk(ONE), APPLY2),
    "removing: off the disk": (after(order(3, TWO), R1, D2), disk(TWO, ONE), Remove(ONE)),
    "removing for an older order: in sight until the successor is confirmed": (
        after(order(3, TWO), R1, Q2),
        disk(ONE),
        APPLY2,
    ),
    "removing: back to the fallback": (
        after(order(4, THREE, TWO), R1, D2, Q3),
        disk(ONE, TWO),
        Point(TWO, leaving=ONE),
    ),
    "withdrawn while unconfirmed: cleared away first": (
        after(order(4, THREE), D1, Q2, Q3),
        disk(ONE, TWO),
        Remove(TWO),
    ),
    "withdrawn, in sight, unconfirmed: back to the fallback": (
        after(order(4, THREE, ONE), D1, Q2, Q3),
        disk(TWO, ONE),
        Point(ONE, leaving=TWO),
    ),
    "withdrawn, in sight, unconfirmed, nothing else there: goes": (
        after(order(4, THREE), Q2, Q3),
        disk(TWO),
        Point(None, leaving=TWO),
    ),
    "back to the fallback by order": (after(order(3, ONE), D1, Q2), disk(TWO, ONE), Point(ONE, leaving=TWO)),
    "back by order to what is damaged: healed first": (
        after(order(3, ONE), D1, D2),
        disk(TWO, ONE, damaged=ONE),
        APPLY1,
    ),
    "failed in sight: back to the fallback": (
        after(order(2, TWO, ONE), D1, F2),
        disk(TWO, ONE),
        Point(ONE, leaving=TWO),
    ),
    "failed out of sight: off the disk": (after(order(2, TWO, ONE), D1, F2), disk(ONE, TWO), Remove(TWO)),
    "failed: never tried again": (after(order(2, TWO, ONE), D1, GONE2), disk(ONE), None),
    "failed, the fallback damaged: nothing": (
        after(order(2, TWO, ONE), D1, F2),
        disk(TWO, ONE, damaged=ONE),
        Point(None, leaving=TWO),
    ),
    "failed without a fallback: nothing": (after(order(2, TWO), F2), disk(TWO), Point(None, leaving=TWO)),
    "failed, what runs is not named: it stays": (after(order(3, TWO), D1, F2), disk(ONE, TWO), Remove(TWO)),
    "ordered off: out of sight": (after(order(2, None), R1), disk(ONE), Point(None, leaving=ONE)),
    "ordered off: off the disk": (after(order(2, None), R1), disk(None, ONE), Remove(ONE)),
    "ordered off: done": (after(order(2, None), held(ONE, ARCHIVED)), disk(None), None),
    "database lost, ordered off: what is found goes": (after(order(2, None)), disk(ONE), Point(None, leaving=ONE)),
    "an order for nothing keeps nothing": (after(order(2, None, ONE)), disk(None, ONE), Remove(ONE)),
    "database lost: what runs stays until the order is done": (after(order(2, TWO, ONE), Q2), disk(ONE), APPLY2),
    "database lost, what runs is not named: stays until the order is done": (
        after(order(2, TWO), Q2),
        disk(ONE),
        APPLY2,
    ),
    "database lost: what is not named goes when the order is done": (
        after(order(2, TWO), D2),
        disk(ONE, TWO),
        Point(TWO, leaving=ONE),
    ),
    "database lost: leftovers go, the fallback stays": (
        after(order(2, TWO, ONE), Q2),
        disk(TWO, ONE, THREE),
        Remove(THREE),
    ),
    "database lost: back to a fallback that is not remembered": (
        after(order(2, TWO, ONE), F2),
        disk(TWO, ONE),
        Point(ONE, leaving=TWO),
    ),
    "database lost: back to a fallback that is queued here": (
        after(order(2, TWO, ONE), Q1, F2),
        disk(TWO, ONE),
        Point(ONE, leaving=TWO),
    ),
    "a fallback that failed is no fallback": (
        after(order(2, TWO, ONE), F1, GONE2),
        disk(ONE),
        Point(None, leaving=ONE),
    ),
    "a fallback that was taken off is no fallback": (
        after(order(2, TWO, ONE), held(ONE, ARCHIVED), F2),
        disk(TWO, ONE),
        Point(None, leaving=TWO),
    ),
}


class TestPlan:
    """One next step, whatever memory and disk say."""

    @pytest.mark.parametrize("case", STEPS)
    def test_step(self, case: str) -> None:
        memory, found, step = STEPS[case]
        assert device.plan(memory, found, LATER) == step

    def test_what_leaves_is_first_remembered_as_leaving(self) -> None:
        memory = Memory(order(3, TWO), (held(ONE, DEPLOYED), held(TWO, DEPLOYED)))
        leaving = dataclasses.replace(held(ONE, REMOVING), since=LATER)
        then = dataclasses.replace(memory, holdings=(leaving, held(TWO, DEPLOYED)))
        assert device.plan(memory, disk(TWO, ONE), LATER) == Remember(then)

    def test_what_is_off_the_disk_is_remembered_as_archived(self) -> None:
        memory = Memory(order(3, TWO), (held(ONE, REMOVING, RETRYING, 2, WHY), held(TWO, DEPLOYED)))
        off = dataclasses.replace(held(ONE, ARCHIVED, attempts=2), since=LATER)
        then = dataclasses.replace(memory, holdings=(off, held(TWO, DEPLOYED)))
        assert device.plan(memory, disk(TWO), LATER) == Remember(then)

    def test_what_runs_does_not_leave_for_a_successor_that_failed(self) -> None:
        memory = Memory(order(3, ONE), (held(TWO, DEPLOYED), held(ONE, DEPLOYED, FAILED, 1, NO)))
        leaving = dataclasses.replace(held(ONE, REMOVING, FAILED, 1, NO), since=LATER)
        then = dataclasses.replace(memory, holdings=(held(TWO, DEPLOYED), leaving))
        assert device.plan(memory, disk(TWO, ONE), LATER) == Remember(then)

    def test_an_order_for_nothing_takes_off_even_what_it_names_as_fallback(self) -> None:
        memory = Memory(order(2, None, ONE), (held(ONE, DEPLOYED),))
        leaving = dataclasses.replace(held(ONE, REMOVING), since=LATER)
        assert device.plan(memory, disk(ONE), LATER) == Remember(dataclasses.replace(memory, holdings=(leaving,)))

    @pytest.mark.parametrize("leaving", [held(ONE, REMOVING, RETRYING, 1, WHY), held(ONE, QUEUED, FAILED, 1, NO)])
    def test_nothing_waits_for_a_tree_that_cannot_be_deleted(self, leaving: Holding) -> None:
        memory = Memory(order(5, THREE, TWO), (leaving, held(TWO, DEPLOYED), held(THREE, QUEUED)))
        assert device.plan(memory, disk(TWO, ONE), NOW) == Remove(ONE)
        assert device.plan(memory, disk(TWO, ONE, stuck=ONE), NOW) == Apply(manifest(THREE))

    def test_nothing_waits_for_a_leftover_that_cannot_be_deleted(self) -> None:
        memory = Memory(order(5, THREE), (held(THREE, QUEUED),))
        assert device.plan(memory, disk(None, ONE), NOW) == Remove(ONE)
        assert device.plan(memory, disk(None, ONE, stuck=ONE), NOW) == Apply(manifest(THREE))

    def test_what_cannot_be_deleted_still_leaves_sight(self) -> None:
        memory = Memory(order(5, None), (held(ONE, REMOVING, RETRYING, 1, WHY),))
        assert device.plan(memory, disk(ONE, stuck=ONE), NOW) == Point(None, leaving=ONE)


class TestOutcomes:
    """What the agent tells of a step becomes memory."""

    def test_an_attempt_is_counted_before_it_is_made(self) -> None:
        memory = Memory(order(1, ONE), (held(ONE, QUEUED, attempts=2),))
        assert device.begun(memory, ONE).holdings == (held(ONE, QUEUED, attempts=3),)
        assert device.begun(memory, TWO) == memory

    @pytest.mark.parametrize(
        "before",
        [held(ONE, QUEUED, attempts=1), held(ONE, QUEUED, RETRYING, 4, WHY), held(ONE, DEPLOYED, RETRYING, 2, WHY)],
    )
    def test_applied_is_in_force_and_clears_the_hold_up(self, before: Holding) -> None:
        after = dataclasses.replace(held(ONE, DEPLOYED), since=LATER)
        assert device.applied(Memory(order(1, ONE), (before,)), ONE, LATER).holdings == (after,)

    def test_since_is_when_a_status_changed(self) -> None:
        healed = device.applied(Memory(order(1, ONE), (held(ONE, DEPLOYED, attempts=1),)), ONE, LATER)
        assert healed.holdings == (held(ONE, DEPLOYED),)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (held(TWO, QUEUED, attempts=1), held(TWO, QUEUED, RETRYING, 1, WHY)),
            (held(TWO, DEPLOYED, attempts=1), held(TWO, DEPLOYED, RETRYING, 1, WHY)),
            (held(ONE, REMOVING), held(ONE, REMOVING, RETRYING, 1, WHY)),
            (held(ONE, QUEUED), held(ONE, QUEUED, RETRYING, 1, WHY)),
            (held(ONE, QUEUED, FAILED, 1, NO), held(ONE, QUEUED, FAILED, 2, NO)),
            (held(TWO, QUEUED, FAILED, 1, NO), held(TWO, QUEUED, FAILED, 2, NO)),
            (held(TWO, REMOVING, FAILED, 1, NO), held(TWO, REMOVING, FAILED, 2, NO)),
            (held(ONE, ARCHIVED), held(ONE, ARCHIVED)),
            (held(ONE, ARCHIVED, FAILED, 1, NO), held(ONE, ARCHIVED, FAILED, 1, NO)),
        ],
    )
    def test_held_up_is_retrying_unless_it_failed_or_is_over(self, before: Holding, after: Holding) -> None:
        assert device.held_up(Memory(order(2, TWO), (before,)), before.id, WHY, NOW).holdings == (after,)

    def test_a_hold_up_of_what_is_not_known_changes_nothing(self) -> None:
        assert device.held_up(RUNS_ONE, THREE, WHY, NOW) == RUNS_ONE

    @pytest.mark.parametrize("before", [held(ONE, QUEUED, attempts=1), held(ONE, QUEUED, RETRYING, 1, WHY)])
    def test_rejected_is_failed(self, before: Holding) -> None:
        after = dataclasses.replace(held(ONE, QUEUED, FAILED, 1, NO), since=LATER)
        assert device.rejected(Memory(order(1, ONE), (before,)), ONE, NO, LATER).holdings == (after,)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (held(ONE, REMOVING), held(ONE, ARCHIVED)),
            (held(ONE, REMOVING, RETRYING, 3, WHY), held(ONE, ARCHIVED, attempts=3)),
            (held(ONE, QUEUED, FAILED, 1, NO), held(ONE, ARCHIVED, FAILED, 1, NO)),
            (held(ONE, ARCHIVED), held(ONE, ARCHIVED)),
        ],
    )
    def test_removed_is_archived_and_a_failure_is_kept(self, before: Holding, after: Holding) -> None:
        assert device.removed(Memory(order(2, TWO), (before,)), ONE, NOW).holdings == (after,)

    def test_the_removal_of_what_is_not_known_changes_nothing(self) -> None:
        assert device.removed(RUNS_ONE, THREE, NOW) == RUNS_ONE


def reported(memory: Memory, found: Disk, next_attempts: dict[str, datetime.datetime] | None = None) -> messages.Report:
    return device.report(
        memory,
        found,
        device=ROBOT,
        incarnation="incarnation-1",
        seq=51,
        now=LATER,
        clock_synced=True,
        agent=AGENT,
        next_attempts=next_attempts or {},
    )


class TestReport:
    """What the cloud is told is what is known, and never more than it takes."""

    def test_before_any_order(self) -> None:
        assert reported(FRESH, disk(None)) == messages.Report(
            device=ROBOT,
            incarnation="incarnation-1",
            seq=51,
            at=LATER,
            clock_synced=True,
            epoch=0,
            generation=0,
            agent=AGENT,
        )

    def test_everything_that_is_known(self) -> None:
        holdings = (held(ONE, DEPLOYED), held(TWO, QUEUED, RETRYING, 2, WHY), held(THREE, ARCHIVED, FAILED, 1, NO))
        refusal = Refusal(code="older_generation", message="it is older", generation=1)
        memory = Memory(order(2, TWO, ONE, epoch=3), holdings, refusal)
        report = reported(memory, disk(ONE), {TWO: LATER})
        entry = messages.DeploymentReport
        assert report == messages.Report(
            device=ROBOT,
            incarnation="incarnation-1",
            seq=51,
            at=LATER,
            clock_synced=True,
            epoch=3,
            generation=2,
            order=order(2, TWO, ONE, epoch=3).digest,
            current=ONE,
            refused=refusal,
            deployments=(
                entry(id=ONE, activity=DEPLOYED, digest=manifest(ONE).digest, since=NOW),
                entry(
                    id=TWO, activity=QUEUED, error=RETRYING, attempts=2, next_attempt_at=LATER, reason=WHY, since=NOW
                ),
                entry(id=THREE, activity=ARCHIVED, error=FAILED, attempts=1, reason=NO, since=NOW),
            ),
            agent=AGENT,
        )
        assert messages.parse_report(report.to_bytes(), ROBOT) == report

    def test_the_oldest_finished_give_way_when_there_is_no_room(self) -> None:
        finished = [held(deployment_id(number), ARCHIVED) for number in range(1, 9)]
        leaving = [held(deployment_id(number), REMOVING, RETRYING, 1, WHY) for number in range(9, 40)]
        wanted, fallback = held(deployment_id(41), QUEUED), held(deployment_id(40), DEPLOYED)
        memory = Memory(order(41, wanted.id, fallback.id), (fallback, *leaving, *finished, wanted))
        names = [entry.id for entry in reported(memory, disk(fallback.id)).deployments]
        assert names == [fallback.id, *(holding.id for holding in leaving[1:]), wanted.id]

    @pytest.mark.parametrize("character", ["m", "ü", "漢", "🚢", "\0", '"'])
    def test_the_cloud_takes_it_however_long_the_reasons_are(self, character: str) -> None:
        why = Reason.of("check_failed", character * 5_000)
        holdings = tuple(held(deployment_id(number), ARCHIVED, FAILED, 1, why) for number in range(1, 33))
        refusal = Refusal(code=why.code, message=why.message)
        report = reported(Memory(order(1, ONE), holdings, refusal), disk(None))
        assert messages.parse_report(report.to_bytes(), ROBOT) == report
        cut = Reason(code="check_failed", message=character * 200)
        assert [entry.reason for entry in report.deployments] == [cut] * 32
        assert report.refused == Refusal(code="check_failed", message=character * 200)

    def test_reasons_are_left_alone_where_there_is_room(self) -> None:
        why = Reason.of("check_failed", "m" * 2_000)
        holdings = (held(ONE, ARCHIVED, FAILED, 1, why), *(held(deployment_id(n), ARCHIVED) for n in range(2, 12)))
        assert reported(Memory(order(1, ONE), holdings), disk(None)).deployments[0].reason == why

    def test_only_what_has_a_reason_is_cut(self) -> None:
        why = Reason.of("check_failed", "🚢" * 2_000)
        failed = tuple(held(deployment_id(number), ARCHIVED, FAILED, 1, why) for number in range(1, 12))
        report = reported(Memory(order(99, THREE), (*failed, held(deployment_id(12), QUEUED))), disk(None))
        assert report.refused is None
        assert report.deployments[-1].reason is None
