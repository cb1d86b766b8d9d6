"""The cloud core, one rule after the other: what is recorded and an act or a report in, what is to be recorded out."""

from __future__ import annotations

import dataclasses

import pytest
from model_world.orders import AGENT, NOW, ROBOT, deployment_id
from shallop_protocol import cloud, messages
from shallop_protocol.cloud import ANY, Conflict, Deployment, Device, Ingested
from shallop_protocol.messages import DeploymentReport, Presence, Reason, Refusal, Report, Waiting
from shallop_protocol.statuses import Activity, Error, Statuses, Target

ONE, TWO, THREE = deployment_id(1), deployment_id(2), deployment_id(3)
DIGEST = "sha256:" + "0" * 64
OTHER_DIGEST = "sha256:" + "1" * 64
WHY = Reason.of("disk_full", "no space left on the device")
NO = Reason.of("check_failed", "the check hook said no")


def of(text: str) -> Statuses:
    target, activity, error = text.split("/")
    return Statuses(Target(target), Activity(activity), Error(error))


def known(
    deployment: str,
    statuses: str,
    *,
    release: str = "1.0.0",
    ordered: int = 0,
    ended: int = 0,
    reason: Reason | None = None,
    attempts: int = 0,
    waiting: Waiting | None = None,
    integrity: Reason | None = None,
) -> Deployment:
    return Deployment(deployment, release, DIGEST, of(statuses), reason, attempts, ordered, ended, waiting, integrity)


def device(generation: int, desired: str | None, fallback: str | None, *deployments: Deployment, **more) -> Device:
    fields = {"published": generation, "incarnation": "a", "seq": 10, "reported": generation, **more}
    return Device(
        ROBOT,
        generation=generation,
        desired=desired,
        fallback=fallback,
        deployments={deployment.id: deployment for deployment in deployments},
        **fields,
    )


def entry(deployment: str, statuses: str, **more) -> DeploymentReport:
    activity, error = statuses.split("/")
    digest = DIGEST if activity == "deployed" else None
    fields = {"digest": digest, "since": NOW, **more}
    return DeploymentReport(id=deployment, activity=Activity(activity), error=Error(error), **fields)


def report(generation: int, *deployments: DeploymentReport, **more) -> Report:
    fields = {"incarnation": "a", "seq": 11, "at": NOW, "epoch": 1, "agent": AGENT, **more}
    return Report(device=ROBOT, generation=generation, deployments=deployments, **fields)


def hear(before: Device, heard: Report) -> Ingested:
    """A report is of the order that is recorded, if it is of that generation and names no other."""
    if heard.order is None and heard.generation == before.generation:
        heard = heard.model_copy(update={"order": before.order})
    return cloud.ingest(before, heard)


def changed(before: Device, *deployments: Deployment, **fields) -> Device:
    recorded = {**before.deployments, **{deployment.id: deployment for deployment in deployments}}
    return dataclasses.replace(before, deployments=recorded, **fields)


RUNS_ONE = device(1, ONE, None, known(ONE, "deployed/deployed/none", ordered=1))
WANTS_TWO = device(
    2,
    TWO,
    ONE,
    known(ONE, "deployed/deployed/none", ordered=1),
    known(TWO, "deployed/queued/none", ordered=2),
    reported=1,
)


class TestStage:
    def test_a_new_deployment_waits(self) -> None:
        new = Deployment(TWO, "1.0.0", DIGEST)
        assert cloud.stage(RUNS_ONE, new) == changed(RUNS_ONE, known(TWO, "staged/staged/none"))

    @pytest.mark.parametrize("waiting", ["staged/staged/none", "staged/drifted/none"])
    def test_an_earlier_one_of_the_release_makes_room(self, waiting: str) -> None:
        before = changed(RUNS_ONE, known(TWO, waiting))
        assert cloud.stage(before, Deployment(THREE, "1.0.0", DIGEST)) == changed(
            before, known(TWO, "archived/archived/none"), known(THREE, "staged/staged/none")
        )

    def test_one_of_another_release_stays(self) -> None:
        before = changed(RUNS_ONE, known(TWO, "staged/staged/none", release="2.0.0"))
        after = cloud.stage(before, Deployment(THREE, "1.0.0", DIGEST))
        assert after == changed(before, known(THREE, "staged/staged/none"))


class TestDeploy:
    def test_the_first_is_queued_and_has_no_fallback(self) -> None:
        before = device(0, None, None, known(ONE, "staged/staged/none"))
        assert cloud.deploy(before, ONE) == changed(
            before, known(ONE, "deployed/queued/none", ordered=1), generation=1, desired=ONE
        )

    def test_what_is_in_force_becomes_the_fallback_and_others_drift(self) -> None:
        before = changed(
            RUNS_ONE, known(TWO, "staged/staged/none"), known(THREE, "staged/staged/none", release="2.0.0")
        )
        assert cloud.deploy(before, TWO) == changed(
            before,
            known(TWO, "deployed/queued/none", ordered=2),
            known(THREE, "staged/drifted/none", release="2.0.0"),
            generation=2,
            desired=TWO,
            fallback=ONE,
        )

    @pytest.mark.parametrize(
        ("published", "then"),
        [
            pytest.param(
                1, known(TWO, "archived/archived/none", ordered=2, ended=3), id="never published: over at once"
            ),
            pytest.param(
                2, known(TWO, "archived/queued/none", ordered=2, ended=3), id="published: until it is answered"
            ),
        ],
    )
    def test_an_unconfirmed_predecessor_is_withdrawn_and_its_fallback_inherited(
        self, published: int, then: Deployment
    ) -> None:
        before = changed(WANTS_TWO, known(THREE, "staged/staged/none"), published=published)
        assert cloud.deploy(before, THREE) == changed(
            before, then, known(THREE, "deployed/queued/none", ordered=3), generation=3, desired=THREE, fallback=ONE
        )

    def test_a_predecessor_in_trouble_keeps_saying_so(self) -> None:
        before = changed(
            WANTS_TWO,
            known(TWO, "deployed/queued/retrying", ordered=2, reason=WHY, attempts=3),
            known(THREE, "staged/staged/none"),
        )
        then = known(TWO, "archived/queued/retrying", ordered=2, ended=3, reason=WHY, attempts=3)
        assert cloud.deploy(before, THREE).deployments[TWO] == then

    @pytest.mark.parametrize(
        ("statuses", "code"),
        [
            ("staged/drifted/none", "deployment_drifted"),
            ("deployed/queued/none", "deployment_already_deployed"),
            ("deployed/deployed/retrying", "deployment_already_deployed"),
            ("archived/removing/none", "deployment_archived"),
            ("archived/queued/failed", "deployment_archived"),
        ],
    )
    def test_only_a_staged_one_is_ordered(self, statuses: str, code: str) -> None:
        with pytest.raises(Conflict) as refused:
            cloud.deploy(changed(RUNS_ONE, known(TWO, statuses)), TWO)
        assert refused.value.code == code
        assert str(refused.value) == f"{refused.value.message}; {refused.value.hint}"
        assert refused.value.message.startswith(TWO)


class TestOrder:
    def test_a_new_deployment_may_be_ordered_at_once_and_what_waits_drifts(self) -> None:
        before = changed(RUNS_ONE, known(TWO, "staged/staged/none"))
        assert cloud.order(before, Deployment(THREE, "1.0.0", DIGEST), ONE) == changed(
            before,
            known(TWO, "staged/drifted/none"),
            known(THREE, "deployed/queued/none", ordered=2),
            generation=2,
            desired=THREE,
            fallback=ONE,
        )

    def test_it_is_not_even_added_when_what_is_current_changed(self) -> None:
        with pytest.raises(Conflict) as refused:
            cloud.order(RUNS_ONE, Deployment(THREE, "1.0.0", DIGEST), None)
        assert refused.value.code == "current_changed"


class TestExpectedCurrent:
    BEFORE = changed(RUNS_ONE, known(TWO, "staged/staged/none"), known(THREE, "staged/drifted/none", release="2.0.0"))
    NOTHING = device(0, None, None, known(TWO, "staged/staged/none"), known(THREE, "staged/drifted/none"))

    @pytest.mark.parametrize(("before", "expected"), [(BEFORE, ANY), (BEFORE, ONE), (NOTHING, ANY), (NOTHING, None)])
    def test_what_is_as_believed_goes_on(self, before: Device, expected) -> None:
        cloud.check_current(before, expected)
        assert cloud.deploy(before, TWO, expected) == cloud.deploy(before, TWO)
        assert cloud.restage(before, THREE, expected) == cloud.restage(before, THREE)

    @pytest.mark.parametrize(
        ("before", "expected", "words"),
        [
            (BEFORE, None, f"the device's current deployment is {ONE}, not none"),
            (BEFORE, TWO, f"the device's current deployment is {ONE}, not {TWO}"),
            (NOTHING, ONE, f"the device's current deployment is none, not {ONE}"),
        ],
    )
    def test_what_changed_meanwhile_is_a_conflict(self, before: Device, expected, words: str) -> None:
        for act in (
            lambda: cloud.check_current(before, expected),
            lambda: cloud.deploy(before, TWO, expected),
            lambda: cloud.restage(before, THREE, expected),
        ):
            with pytest.raises(Conflict) as refused:
                act()
            assert (refused.value.code, refused.value.message) == ("current_changed", words)


class TestArchive:
    @pytest.mark.parametrize("waiting", ["staged/staged/none", "staged/drifted/none"])
    def test_what_was_never_ordered_ends_at_once(self, waiting: str) -> None:
        before = changed(RUNS_ONE, known(TWO, waiting))
        assert cloud.archive(before, TWO) == changed(before, known(TWO, "archived/archived/none"))

    def test_what_is_in_force_is_ordered_off(self) -> None:
        assert cloud.archive(RUNS_ONE, ONE) == changed(
            RUNS_ONE, known(ONE, "archived/deployed/none", ordered=1, ended=2), generation=2, desired=None
        )

    def test_an_unconfirmed_one_gives_way_to_its_fallback(self) -> None:
        assert cloud.archive(WANTS_TWO, TWO) == changed(
            WANTS_TWO, known(TWO, "archived/queued/none", ordered=2, ended=3), generation=3, desired=ONE, fallback=None
        )

    def test_a_fallback_that_is_archived_is_no_fallback_any_more(self) -> None:
        assert cloud.archive(WANTS_TWO, ONE) == changed(
            WANTS_TWO, known(ONE, "archived/deployed/none", ordered=1, ended=3), generation=3, fallback=None
        )

    @pytest.mark.parametrize("statuses", ["archived/removing/none", "archived/queued/failed", "archived/archived/none"])
    def test_once_is_enough(self, statuses: str) -> None:
        with pytest.raises(Conflict) as refused:
            cloud.archive(changed(RUNS_ONE, known(TWO, statuses)), TWO)
        assert (refused.value.code, refused.value.message, refused.value.hint) == (
            "deployment_archived",
            f"{TWO} is archived, and a deployment is used once",
            "make a new deployment with the same content",
        )


class TestRestage:
    def test_a_drifted_one_is_staged_again(self) -> None:
        before = changed(RUNS_ONE, known(TWO, "staged/drifted/none"))
        assert cloud.restage(before, TWO) == changed(RUNS_ONE, known(TWO, "staged/staged/none"))

    @pytest.mark.parametrize("statuses", ["staged/staged/none", "deployed/queued/retrying", "archived/archived/none"])
    def test_nothing_else_is(self, statuses: str) -> None:
        with pytest.raises(Conflict) as refused:
            cloud.restage(changed(RUNS_ONE, known(TWO, statuses)), TWO)
        assert refused.value.code == "deployment_not_drifted"
        assert refused.value.message == f"{TWO} is {of(statuses).merged}, not drifted"


class TestMerge:
    def test_the_merged_one_takes_the_place_of_the_drifted_one(self) -> None:
        before = changed(RUNS_ONE, known(TWO, "staged/drifted/none"))
        merged = known(THREE, "staged/staged/none")
        assert cloud.merge(before, TWO, merged) == changed(RUNS_ONE, known(TWO, "archived/archived/none"), merged)

    @pytest.mark.parametrize("statuses", ["staged/staged/none", "deployed/queued/none", "archived/removing/none"])
    def test_nothing_else_is_merged(self, statuses: str) -> None:
        with pytest.raises(Conflict) as refused:
            cloud.merge(changed(RUNS_ONE, known(TWO, statuses)), TWO, known(THREE, "staged/staged/none"))
        assert refused.value.code == "deployment_not_drifted"

    def test_what_is_finished_is_not_merged(self) -> None:
        with pytest.raises(Conflict) as refused:
            cloud.merge(RUNS_ONE, TWO, known(THREE, "staged/staged/none"))
        assert refused.value.code == "deployment_not_drifted"


class TestConfirmation:
    """What a report confirms or fails changes what is desired."""

    def test_a_confirmed_deployment_ends_its_fallback(self) -> None:
        heard = report(2, entry(ONE, "deployed/none"), entry(TWO, "deployed/none"), current=TWO)
        assert hear(WANTS_TWO, heard) == Ingested(
            changed(
                WANTS_TWO,
                known(ONE, "archived/deployed/none", ordered=1, ended=3),
                known(TWO, "deployed/deployed/none", ordered=2),
                generation=3,
                fallback=None,
                seq=11,
                reported=2,
            )
        )

    @pytest.mark.parametrize(
        ("said", "then"),
        [("queued/failed", "archived/queued/failed"), ("archived/failed", "archived/archived/failed")],
    )
    def test_a_failed_deployment_brings_its_fallback_back(self, said: str, then: str) -> None:
        heard = report(2, entry(ONE, "deployed/none"), entry(TWO, said, reason=NO, attempts=1), current=ONE)
        assert hear(WANTS_TWO, heard) == Ingested(
            changed(
                WANTS_TWO,
                known(TWO, then, ordered=2, ended=3, reason=NO, attempts=1),
                generation=3,
                desired=ONE,
                fallback=None,
                seq=11,
                reported=2,
            )
        )

    def test_a_failure_without_a_fallback_leaves_nothing_desired(self) -> None:
        heard = report(1, entry(ONE, "deployed/failed", reason=NO))
        assert hear(RUNS_ONE, heard) == Ingested(
            changed(
                RUNS_ONE,
                known(ONE, "archived/deployed/failed", ordered=1, ended=2, reason=NO),
                generation=2,
                desired=None,
                seq=11,
            )
        )

    def test_a_fallback_that_failed_is_no_fallback_any_more(self) -> None:
        heard = report(2, entry(ONE, "removing/failed", reason=NO), entry(TWO, "queued/none"))
        assert hear(WANTS_TWO, heard) == Ingested(
            changed(
                WANTS_TWO,
                known(ONE, "archived/removing/failed", ordered=1, ended=3, reason=NO),
                generation=3,
                fallback=None,
                seq=11,
                reported=2,
            )
        )

    def test_both_may_fail_at_once(self) -> None:
        heard = report(2, entry(ONE, "archived/failed", reason=NO), entry(TWO, "archived/failed", reason=NO))
        after = hear(WANTS_TWO, heard).device
        assert (after.generation, after.desired, after.fallback) == (3, None, None)

    def test_in_force_is_believed_only_with_the_right_digest(self) -> None:
        for digest in (OTHER_DIGEST, None):
            heard = report(2, entry(ONE, "deployed/none"), entry(TWO, "deployed/none", digest=digest), current=TWO)
            words = f"{TWO} is reported in force with digest {digest}, recorded is {DIGEST}"
            assert hear(WANTS_TWO, heard) == Ingested(changed(WANTS_TWO, seq=11, reported=2), (words,))


class TestMovement:
    """A report moves statuses only along the table, forward."""

    @pytest.mark.parametrize(
        ("now", "said", "then"),
        [
            ("archived/deployed/none", "removing/none", "archived/removing/none"),
            ("archived/deployed/none", "archived/none", "archived/archived/none"),
            ("archived/queued/none", "queued/retrying", "archived/queued/retrying"),
            ("archived/queued/retrying", "archived/none", "archived/archived/none"),
            ("archived/queued/failed", "archived/failed", "archived/archived/failed"),
            ("archived/queued/failed", "archived/none", "archived/archived/failed"),
            ("archived/removing/retrying", "archived/none", "archived/archived/none"),
            ("archived/removing/none", "removing/none", "archived/removing/none"),
        ],
    )
    def test_forward(self, now: str, said: str, then: str) -> None:
        before = changed(RUNS_ONE, known(TWO, now, ended=1))
        heard = report(1, entry(ONE, "deployed/none"), entry(TWO, said))
        assert hear(before, heard) == Ingested(changed(before, known(TWO, then, ended=1), seq=11))

    @pytest.mark.parametrize(
        ("now", "said"),
        [
            ("archived/removing/none", "queued/none"),
            ("archived/removing/none", "deployed/none"),
            ("archived/removing/retrying", "removing/none"),
            ("archived/deployed/retrying", "queued/retrying"),
            ("archived/queued/failed", "deployed/none"),
            ("archived/archived/none", "archived/failed"),
        ],
    )
    def test_never_back(self, now: str, said: str) -> None:
        before = changed(RUNS_ONE, known(TWO, now, ended=1))
        after = hear(before, report(1, entry(ONE, "deployed/none"), entry(TWO, said)))
        assert after.device == changed(before, seq=11)
        assert len(after.ignored) == 1
        assert after.ignored[0].startswith(f"{TWO} is {now} and cannot become archived/")

    def test_reason_and_attempts_follow_the_newest_report(self) -> None:
        before = changed(WANTS_TWO, known(TWO, "deployed/queued/retrying", ordered=2, reason=NO, attempts=1))
        heard = report(2, entry(ONE, "deployed/none"), entry(TWO, "queued/retrying", reason=WHY, attempts=2))
        then = known(TWO, "deployed/queued/retrying", ordered=2, reason=WHY, attempts=2)
        assert hear(before, heard) == Ingested(changed(before, then, seq=11, reported=2))

    def test_why_something_failed_is_kept_whatever_a_forgetful_device_says(self) -> None:
        before = changed(RUNS_ONE, known(TWO, "archived/queued/failed", ended=1, reason=NO))
        heard = report(1, entry(ONE, "deployed/none"), entry(TWO, "queued/retrying", reason=WHY), incarnation="b")
        assert hear(before, heard).device.deployments[TWO] == before.deployments[TWO]

    @pytest.mark.parametrize("waiting", ["staged/staged/none", "staged/drifted/none"])
    def test_what_was_never_ordered_does_not_move(self, waiting: str) -> None:
        before = changed(RUNS_ONE, known(TWO, waiting))
        heard = report(1, entry(ONE, "deployed/none"), entry(TWO, "deployed/none"))
        words = f"{TWO} is reported deployed and was never ordered"
        assert hear(before, heard) == Ingested(changed(before, seq=11), (words,))

    def test_what_is_unknown_moves_nothing(self) -> None:
        heard = report(1, entry(ONE, "deployed/none"), entry(THREE, "archived/failed", reason=NO))
        assert hear(RUNS_ONE, heard) == Ingested(changed(RUNS_ONE, seq=11))

    @pytest.mark.parametrize(
        ("now", "reason", "then"),
        [
            ("archived/queued/none", None, known(TWO, "archived/archived/none", ended=1)),
            ("archived/removing/retrying", WHY, known(TWO, "archived/archived/none", ended=1)),
            ("archived/queued/failed", NO, known(TWO, "archived/archived/failed", ended=1, reason=NO)),
        ],
    )
    def test_what_a_later_answer_does_not_name_is_off(self, now: str, reason: Reason | None, then: Deployment) -> None:
        before = changed(RUNS_ONE, known(TWO, now, ended=1, reason=reason))
        heard = report(1, entry(ONE, "deployed/none"))
        assert hear(before, heard) == Ingested(changed(before, then, seq=11))

    @pytest.mark.parametrize(
        "heard",
        [
            pytest.param(report(0), id="an answer to an earlier order"),
            pytest.param(report(1, entry(ONE, "deployed/none"), current=TWO), id="an answer that sees it in force"),
            pytest.param(report(1, entry(ONE, "deployed/none"), epoch=0), id="an answer in an earlier epoch"),
        ],
    )
    def test_what_may_still_be_there_is_not_off(self, heard: Report) -> None:
        before = changed(RUNS_ONE, known(TWO, "archived/deployed/none", ended=1))
        assert hear(before, heard).device.deployments == before.deployments


class TestNewness:
    """Which reports are taken at all."""

    SAID = entry(ONE, "deployed/retrying", reason=WHY)
    TROUBLE = known(ONE, "deployed/deployed/retrying", ordered=1, reason=WHY)

    @pytest.mark.parametrize("seq", [1, 9, 10])
    def test_what_is_not_newer_is_passed_over(self, seq: int) -> None:
        assert hear(RUNS_ONE, report(1, self.SAID, seq=seq)) == Ingested(RUNS_ONE)

    def test_numbers_may_be_skipped(self) -> None:
        heard = report(1, self.SAID, seq=1_000)
        assert hear(RUNS_ONE, heard) == Ingested(changed(RUNS_ONE, self.TROUBLE, seq=1_000))

    def test_a_new_incarnation_begins_anew(self) -> None:
        heard = report(1, self.SAID, incarnation="b", seq=1)
        assert hear(RUNS_ONE, heard) == Ingested(
            changed(RUNS_ONE, self.TROUBLE, incarnation="b", seq=1, former=(("a", 10),))
        )

    def test_the_first_incarnation_has_none_before_it(self) -> None:
        before = device(0, None, None, incarnation=None, seq=0)
        assert hear(before, report(0, epoch=0, seq=1)).device == changed(before, incarnation="a", seq=1)

    @pytest.mark.parametrize("seq", [1, 10])
    def test_a_late_report_of_a_former_incarnation_is_passed_over(self, seq: int) -> None:
        before = changed(RUNS_ONE, incarnation="b", seq=1, former=(("a", 10),))
        assert hear(before, report(1, self.SAID, seq=seq)) == Ingested(before)

    def test_a_former_incarnation_that_says_something_new_is_alive(self) -> None:
        before = changed(RUNS_ONE, incarnation="b", seq=4, former=(("z", 7), ("a", 10)))
        assert hear(before, report(1, self.SAID, seq=11)) == Ingested(
            changed(RUNS_ONE, self.TROUBLE, incarnation="a", seq=11, former=(("z", 7), ("b", 4)))
        )

    def test_the_last_eight_former_incarnations_are_remembered(self) -> None:
        former = tuple((f"former-{number}", number) for number in range(8))
        after = hear(changed(RUNS_ONE, former=former), report(1, self.SAID, incarnation="b", seq=1)).device
        assert after.former == (*former[1:], ("a", 10))

    def test_a_later_epoch_is_not_believed(self) -> None:
        words = "report of epoch 2, recorded is 1"
        assert hear(RUNS_ONE, report(1, self.SAID, epoch=2)) == Ingested(RUNS_ONE, (words,))

    def test_an_answer_in_an_earlier_epoch_is_no_answer(self) -> None:
        before = changed(RUNS_ONE, epoch=2)
        after = hear(before, report(1, self.SAID)).device
        assert after == changed(before, self.TROUBLE, seq=11, reported=0)
        assert (before.in_sync, after.in_sync) == (True, False)

    def test_an_epoch_recovers_from_a_huge_generation(self) -> None:
        before = changed(RUNS_ONE, epoch=2)
        after = hear(before, report(messages.MAX_INTEGER, self.SAID)).device
        assert (after.generation, after.reported) == (1, 0)


class TestForgottenTime:
    """A database that was restored from a backup issues its order anew above what the device knows."""

    def test_a_later_generation_moves_nothing_and_is_outdone(self) -> None:
        heard = report(7, entry(ONE, "archived/failed", reason=NO))
        words = "the device knows another generation 7, recorded is 1"
        after = hear(RUNS_ONE, heard)
        assert after == Ingested(changed(RUNS_ONE, seq=11, reported=7, generation=8), (words,))
        assert after.device.published < after.device.generation

    def test_another_order_of_the_same_number_is_outdone(self) -> None:
        words = "the device knows another generation 1, recorded is 1"
        heard = report(1, entry(ONE, "archived/none"), order=DIGEST)
        assert hear(RUNS_ONE, heard) == Ingested(changed(RUNS_ONE, seq=11, generation=2), (words,))

    @pytest.mark.parametrize(
        "refused",
        [
            Refusal(code="conflicting_generation", message="", generation=1),
            Refusal(code="older_generation", message="", generation=1),
            Refusal(code="malformed", message=""),
        ],
    )
    def test_refusals_are_no_sign_of_it(self, refused: Refusal) -> None:
        heard = report(1, entry(ONE, "deployed/none"), refused=refused)
        assert hear(RUNS_ONE, heard) == Ingested(changed(RUNS_ONE, seq=11))

    @pytest.mark.parametrize(
        "held",
        [
            pytest.param((), id="nothing"),
            pytest.param((entry(TWO, "deployed/none"),), id="what is unknown here"),
            pytest.param(
                (entry(TWO, "deployed/none"), entry(ONE, "removing/none")), id="what is unknown and what leaves"
            ),
            pytest.param((entry(THREE, "deployed/none"),), id="what is staged here"),
            pytest.param((entry(ONE, "archived/none"),), id="nothing any more"),
        ],
    )
    def test_where_nothing_is_desired_the_robot_keeps_what_it_has(self, held: tuple[DeploymentReport, ...]) -> None:
        before = device(
            2, None, None, known(ONE, "archived/deployed/none", ended=2), known(THREE, "staged/staged/none")
        )
        words = "the device knows another generation 7, recorded is 2"
        kept = changed(before, seq=11, reported=7, generation=7, published=7, adopted=DIGEST)
        assert hear(before, report(7, *held, order=DIGEST)) == Ingested(kept, (words,))
        again = hear(kept, report(7, *held, order=DIGEST, seq=12)).device
        assert (again.generation, again.order, again.in_sync) == (7, DIGEST, True)
        staged = changed(again, known(TWO, "staged/staged/none"))
        ordered = cloud.deploy(staged, TWO)
        assert (ordered.generation, ordered.adopted) == (8, None)

    @pytest.mark.parametrize(
        "heard",
        [
            pytest.param(report(7, entry(ONE, "deployed/none")), id="it holds only what is to be gone here too"),
            pytest.param(
                report(2, order=DIGEST),
                id="it has another order under this number",
            ),
        ],
    )
    def test_unless_the_order_for_nothing_is_meant_for_what_it_has(self, heard: Report) -> None:
        before = device(2, None, None, known(ONE, "archived/deployed/none", ended=2))
        after = hear(before, heard).device
        assert after == changed(before, seq=11, reported=heard.generation, generation=heard.generation + 1)

    def test_there_are_always_numbers_left(self) -> None:
        for generation, then in ((cloud.MAX_JUMP, cloud.MAX_JUMP + 1), (cloud.MAX_JUMP + 1, 1)):
            after = hear(RUNS_ONE, report(generation, entry(ONE, "deployed/none"))).device
            assert after == changed(RUNS_ONE, seq=11, reported=generation, generation=then)

    def test_the_next_report_of_the_forgotten_time_is_an_old_one(self) -> None:
        jumped = hear(RUNS_ONE, report(7, entry(ONE, "deployed/none"))).device
        again = hear(jumped, report(7, entry(ONE, "deployed/none"), seq=12))
        assert again == Ingested(changed(jumped, seq=12))
        assert not again.device.in_sync


@pytest.mark.parametrize(
    ("status", "incarnation", "connection", "counts"),
    [
        ("online", "a", 4, False),
        ("online", "a", 5, False),
        ("online", "a", 6, True),
        ("online", "b", 1, True),
        ("offline", "a", 4, False),
        ("offline", "a", 5, True),
        ("offline", "a", 6, False),
        ("offline", "b", 5, False),
    ],
)
def test_presence_counts_if_it_is_of_now(status: str, incarnation: str, connection: int, counts: bool) -> None:
    heard = Presence(device=ROBOT, status=status, incarnation=incarnation, connection=connection)
    assert cloud.is_current(heard, "a", 5) is counts


def test_a_deployment_is_finished_when_it_is_archived() -> None:
    assert [known(ONE, text).is_finished for text in ("archived/archived/none", "archived/removing/none")] == [
        True,
        False,
    ]


def test_nothing_recorded_is_shared_between_devices() -> None:
    assert Device("dev-1").deployments == {}
    assert Device("dev-1").deployments is not Device("dev-2").deployments
    assert isinstance(ANY, cloud.AnyCurrent)


HELD = Waiting(code="held", message="held by docking")


class TestWaiting:
    """What a device says beside statuses is as it said it last."""

    def test_a_wait_is_taken_with_the_report_that_says_it(self) -> None:
        heard = report(2, entry(ONE, "deployed/none", integrity=WHY), entry(TWO, "queued/none", waiting=HELD))
        then = (
            known(ONE, "deployed/deployed/none", ordered=1, integrity=WHY),
            known(TWO, "deployed/queued/none", ordered=2, waiting=HELD),
        )
        assert hear(WANTS_TWO, heard) == Ingested(changed(WANTS_TWO, *then, seq=11, reported=2))

    @pytest.mark.parametrize(
        ("said", "then"),
        [
            ([], "deployed/queued/none"),
            ([entry(TWO, "queued/none")], "deployed/queued/none"),
            ([entry(TWO, "queued/retrying", attempts=1, reason=WHY)], "deployed/queued/retrying"),
            ([entry(TWO, "removing/none", waiting=HELD)], "deployed/queued/none"),
            ([entry(TWO, "deployed/none", digest="sha256:" + 64 * "5", waiting=HELD)], "deployed/queued/none"),
        ],
    )
    def test_it_goes_when_it_is_said_no_more_or_of_what_is_passed_over(
        self, said: list[DeploymentReport], then: str
    ) -> None:
        waits = known(TWO, "deployed/queued/none", ordered=2, waiting=HELD, integrity=WHY)
        heard = report(2, entry(ONE, "deployed/none"), *said, current=ONE)
        after = hear(changed(WANTS_TWO, waits), heard).device.deployments[TWO]
        assert (after.statuses, after.waiting, after.integrity) == (of(then), None, None)

    @pytest.mark.parametrize("said", ["queued/failed", "archived/failed", "archived/none"])
    def test_what_is_over_waits_for_nothing(self, said: str) -> None:
        waits = known(TWO, "archived/queued/none", ordered=2, ended=2, waiting=HELD)
        reason = NO if said.endswith("failed") else None
        heard = report(2, entry(ONE, "deployed/none"), entry(TWO, said, waiting=HELD, integrity=WHY, reason=reason))
        after = hear(changed(RUNS_ONE, waits, generation=2), heard).device.deployments[TWO]
        assert (after.waiting, after.integrity) == (None, None)

    def test_what_is_withdrawn_and_gone_waits_for_nothing(self) -> None:
        waits = known(TWO, "archived/queued/none", ordered=2, ended=2, waiting=HELD)
        after = hear(changed(RUNS_ONE, waits, generation=2), report(2, entry(ONE, "deployed/none"), current=ONE)).device
        assert after.deployments[TWO] == known(TWO, "archived/archived/none", ordered=2, ended=2)
