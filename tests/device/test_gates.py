"""A deployment on its way through the gates of a robot: state in, event, state out."""

from __future__ import annotations

import errno
import json
import sqlite3

import pytest
from shallop_device import errors, gates, passage, testing
from shallop_protocol import messages
from shallop_protocol.messages import Reason
from shallop_protocol.statuses import Activity, Error

HEALTH = gates.Health(window=10.0, interval=1.0, passes=2)


def robot_with(directory, shore, rules: gates.Rules) -> testing.Robot:
    robot = testing.Robot(directory, shore, rules)
    robot.boot()
    return robot


def of(robot: testing.Robot, deployment: str):
    return next(entry for entry in robot.report.deployments if entry.id == deployment)


def events(robot: testing.Robot) -> list[tuple[str, str]]:
    """Code and words of those that wait to be sent, which are sent."""
    told = []
    while (event := robot.store.first_event()) is not None:
        robot.store.drop_event(event[0])
        said = messages.parse_event(event[1], robot.report.device)
        told.append((said.code, said.message))
    return told


def told(robot: testing.Robot):
    """What the hook that runs has on its standard input."""
    return json.loads(robot.errands.open.document)


def to_rest_until(robot: testing.Robot, hook: str) -> None:
    """All hooks go well until this one runs."""
    for _ in range(50):
        robot.worker.work()
        if robot.errands.name == hook:
            return
        if robot.errands.open:
            robot.end()
        else:
            assert robot.worker.wake_at is not None
            robot.clock.sleep(max(0.0, robot.worker.wake_at - robot.clock.monotonic()))
    raise AssertionError(f"the hook {hook} never ran")


def pass_time(robot: testing.Robot, seconds: float) -> None:
    robot.clock.sleep(seconds)
    robot.worker.work()


@pytest.fixture
def in_force(memory_path, shore):
    """Makes a robot with these rules, on which a deployment is in force already."""

    def make(rules: gates.Rules) -> testing.Robot:
        robot = robot_with(memory_path, shore, rules)
        robot.first = shore.manifest({"f": "1"})
        robot.take(shore.order(robot.first))
        robot.settle()
        assert robot.visible() == {"f": "1"}
        robot.errands.begun.clear()
        events(robot)
        return robot

    return make


def order_second(robot, shore, confirm_s=None):
    second = shore.manifest({"f": "2"})
    robot.take(shore.order(second, fallback=robot.first.id, confirm_s=confirm_s))
    robot.worker.work()
    return second


def test_every_gate_in_its_turn(memory_path, shore):
    robot = robot_with(memory_path, shore, gates.Rules(check=True, applied=True, health=HEALTH))
    manifest = shore.manifest({"f": "1"})
    robot.take(shore.order(manifest))

    robot.worker.work()
    assert (robot.errands.name, robot.visible()) == ("check", None)
    assert of(robot, manifest.id).waiting.code == "checking"
    robot.end()
    robot.worker.work()
    assert (robot.errands.name, robot.visible()) == ("applied", {"f": "1"})
    assert of(robot, manifest.id).activity is Activity.QUEUED
    assert of(robot, manifest.id).waiting.code == "on_trial"
    robot.end()
    for _ in range(2):
        robot.worker.work()
        assert robot.errands.name == "health"
        robot.end()
        robot.clock.sleep(1.0)
    robot.worker.work()

    assert (of(robot, manifest.id).activity, of(robot, manifest.id).waiting) == (Activity.DEPLOYED, None)
    assert [errand.hook for errand in robot.errands.begun] == ["check", "applied", "health", "health"]


def test_what_is_not_well_in_time_gives_way_to_the_fallback(memory_path, shore):
    robot = robot_with(memory_path, shore, gates.Rules(applied=True, health=HEALTH))
    old, new = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    robot.take(shore.order(old))
    robot.settle()
    robot.take(shore.order(new, fallback=old.id))
    for _ in range(30):
        robot.worker.work()
        if robot.errands.name == "health":
            robot.end(1, "no lidar")
        elif robot.errands.open:
            robot.end()
        robot.clock.sleep(0.5)

    assert robot.visible() == {"f": "1"}
    assert of(robot, new.id).error is Error.FAILED
    assert of(robot, new.id).reason.message.endswith("no lidar")
    assert robot.store.announced == old.id


CHECK = gates.Rules(check=True)
APPLIED = gates.Rules(applied=True)
ALL_HOOKS = gates.Rules(check=True, applied=True, health=HEALTH)


@pytest.mark.parametrize(
    ("code", "trouble", "reason"),
    [
        (75, None, "not_safe_now: the hook check says not now: the arm moves"),
        (None, Reason.of("hook_timeout", "too long"), "hook_timeout: too long: the arm moves"),
    ],
)
def test_a_check_that_says_not_now_is_asked_again(code, trouble, reason, in_force, shore):
    robot = in_force(CHECK)
    second = order_second(robot, shore)
    for attempt in (1, 2):
        assert robot.errands.name == "check"
        robot.end(code, "the arm moves", trouble)
        robot.worker.work()
        entry = of(robot, second.id)
        assert (entry.activity, entry.error, entry.attempts) == (Activity.QUEUED, Error.RETRYING, attempt)
        assert (f"{entry.reason.code}: {entry.reason.message}", entry.waiting) == (reason, None)
        assert entry.next_attempt_at is not None
        assert robot.visible() == {"f": "1"}
        robot.clock.sleep(robot.worker.wake_at - robot.clock.monotonic())
        robot.worker.work()
    robot.end(0)
    robot.settle()
    assert robot.visible() == {"f": "2"}
    assert of(robot, second.id).error is Error.NONE


def test_a_check_that_rejects_is_final_and_the_end_of_its_words_is_kept(in_force, shore):
    robot = in_force(CHECK)
    second = order_second(robot, shore)
    assert told(robot) == {
        "v": 1,
        "hook": "check",
        "deployment": {
            "id": second.id,
            "release": "1.0.0",
            "digest": second.digest,
            "files": [
                {"path": "f", "slot": "default", "mode": "0644", "size": 1, "digest": second.instances[0].digest}
            ],
        },
        "tree": f"deployments/{second.id}",
        "current": robot.first.id,
    }
    assert (robot.root / told(robot)["tree"] / "f").read_text() == "2"

    robot.end(1, "x" * 5000 + "max_speed is too high")
    robot.settle()

    entry = of(robot, second.id)
    assert (entry.error, entry.reason.code) == (Error.FAILED, "check_rejected")
    assert entry.reason.message.startswith("the hook check ended with status 1: …xxx")
    assert entry.reason.message.endswith("max_speed is too high")
    assert len(entry.reason.message) < 1100
    assert (robot.visible(), robot.trees()) == ({"f": "1"}, [robot.first.id])


def test_words_of_a_hook_in_any_script_fit_in_an_event_and_a_report(in_force, shore):
    robot = in_force(gates.Rules(applied=True))
    order_second(robot, shore)
    robot.end(1, "\U0001f916" * 5000)
    robot.worker.work()
    _, body = robot.store.first_event()
    assert messages.parse_event(body, robot.report.device).code == "applied_failed"
    assert len(robot.store.report.body) < messages.MAX_REPORT_BYTES


def test_a_hook_that_a_signal_ended_says_which(in_force, shore):
    robot = in_force(CHECK)
    second = order_second(robot, shore)
    robot.end(-11)
    robot.settle()
    assert of(robot, second.id).reason.message == "the hook check was ended by signal SIGSEGV"
    third = order_second(robot, shore)
    robot.end(-63)
    robot.settle()
    assert of(robot, third.id).reason.message == "the hook check was ended by signal 63"


def test_a_hold_makes_a_check_be_asked_again(in_force, shore):
    robot = in_force(CHECK)
    second = order_second(robot, shore)
    robot.worker.passage.hold("docking", "parking", 30.0)
    robot.end(0)
    robot.worker.work()
    assert (robot.visible(), of(robot, second.id).waiting.message) == ({"f": "1"}, "held by docking: parking")

    robot.worker.passage.release("docking")
    robot.worker.work()

    assert robot.errands.name == "check"
    robot.end(0)
    robot.settle()
    assert robot.visible() == {"f": "2"}


def test_a_hold_ends_by_itself_or_is_renewed(in_force, shore):
    robot = in_force(gates.Rules())
    robot.worker.passage.hold("docking", "parking", 30.0)
    second = order_second(robot, shore)
    until = of(robot, second.id).waiting.until
    assert (until - robot.clock.now()).total_seconds() == 30.0
    robot.clock.sleep(20.0)
    robot.worker.passage.hold("docking", "still parking", 30.0)
    pass_time(robot, 20.0)
    assert robot.visible() == {"f": "1"}
    assert of(robot, second.id).waiting.message == "held by docking: still parking"
    assert robot.worker.wake_at == robot.clock.monotonic() + 10.0

    pass_time(robot, 10.0)

    assert robot.visible() == {"f": "2"}
    assert of(robot, second.id).waiting is None


@pytest.mark.parametrize(("boots", "is_held"), [(0, True), (1, False)], ids=["agent", "machine"])
def test_a_hold_outlives_the_agent_and_not_the_machine(boots, is_held, in_force, shore):
    robot = in_force(gates.Rules())
    robot.worker.passage.hold("docking", "", 30.0)
    order_second(robot, shore)
    robot.clock.boots += boots
    robot.boot()
    robot.worker.work()
    assert robot.visible() == ({"f": "1"} if is_held else {"f": "2"})


def test_a_hold_is_checked_and_released_by_name(in_force):
    way = in_force(gates.Rules(longest_hold_s=60.0)).worker.passage
    with pytest.raises(ValueError, match="from 1 to 60 seconds"):
        way.hold("docking", "", 61.0)
    way.hold("docking", "", 60.0)
    assert [hold.name for hold in way.holds] == ["docking"]
    assert (way.release("docking"), way.release("docking"), list(way.holds)) == (True, False, [])


def test_a_hold_in_a_trial_lets_it_be_confirmed_and_keeps_what_failed_until_it_ends(in_force, shore):
    robot = in_force(ALL_HOOKS)
    second = order_second(robot, shore)
    to_rest_until(robot, "health")
    robot.worker.passage.hold("docking", "parking", 30.0)
    robot.worker.passage.acknowledge("nav2", second.id, "it does not drive")
    robot.worker.work()
    entry = of(robot, second.id)
    assert (robot.visible(), entry.error, entry.reason.message) == (
        {"f": "2"},
        Error.FAILED,
        "nav2: it does not drive",
    )
    assert (entry.waiting.code, robot.worker.wake_at) == ("held", robot.clock.monotonic() + 30.0)

    third = order_second(robot, shore)
    assert (robot.visible(), of(robot, third.id).waiting.code) == ({"f": "2"}, "held")

    pass_time(robot, 30.0)
    assert robot.visible() == {"f": "1"}
    robot.settle()
    assert robot.visible() == {"f": "2"}
    assert robot.report.current == third.id


def test_a_hold_keeps_what_is_to_be_taken_off(in_force, shore):
    robot = in_force(gates.Rules())
    robot.worker.passage.hold("docking", "", 30.0)
    robot.take(shore.order(None))
    robot.worker.work()
    assert (robot.visible(), of(robot, robot.first.id).waiting.code) == ({"f": "1"}, "held")
    pass_time(robot, 30.0)
    assert (robot.visible(), of(robot, robot.first.id).activity) == (None, Activity.ARCHIVED)


def test_what_returns_and_what_is_removed_is_announced(in_force, shore):
    robot = in_force(APPLIED)
    second = order_second(robot, shore)
    assert (told(robot)["deployment"]["id"], told(robot)["change"]) == (second.id, "deployed")
    robot.worker.passage.acknowledge("nav2", second.id, "no")
    robot.worker.work()
    assert robot.errands.name == "applied"  # it is let end what it began
    robot.end(0)
    robot.worker.work()
    assert (robot.visible(), told(robot)["deployment"], told(robot)["change"]) == (
        {"f": "1"},
        {"id": robot.first.id},
        "returned",
    )
    robot.end(0)
    robot.take(shore.order(None))
    robot.worker.work()
    assert (robot.visible(), told(robot)["deployment"], told(robot)["change"]) == (None, None, "removed")
    robot.end(0)
    robot.settle()
    assert robot.store.announced is None
    assert len(robot.errands.begun) == 3


def test_a_change_is_announced_again_until_it_is_taken_notice_of_and_told_once(in_force, shore):
    robot = in_force(APPLIED)
    robot.take(shore.order(None))
    waits = []
    for _ in range(4):
        robot.worker.work()
        assert told(robot)["change"] == "removed"
        robot.end(1, f"no ROS at {robot.clock.monotonic()}")
        robot.worker.work()
        seq = robot.report.seq
        waits.append(robot.worker.wake_at - robot.clock.monotonic())
        pass_time(robot, waits[-1])
        assert robot.report.seq == seq
    assert all(waits)
    assert max(waits) > 1.0
    assert [code for code, _ in events(robot)] == ["applied_failed"]
    robot.end(0)
    robot.settle()
    assert [code for code, _ in events(robot)] == ["applied_passed"]


def test_a_notice_that_was_cut_off_is_not_believed(in_force, shore):
    robot = in_force(gates.Rules(applied=True, health=HEALTH))
    order_second(robot, shore)
    assert robot.errands.name == "applied"
    assert robot.store.announced == passage.UNSURE
    robot.boot()
    robot.worker.work()
    assert robot.errands.name == "applied"
    robot.worker.ended(robot.errands.end(1))
    pass_time(robot, 10.0)
    robot.worker.work()
    assert (robot.visible(), told(robot)["change"]) == ({"f": "1"}, "returned")


def test_a_notice_that_cannot_be_written_down_is_run_again(in_force, shore, monkeypatch):
    robot = in_force(APPLIED)
    order_second(robot, shore)
    with monkeypatch.context() as patch:
        patch.setattr(robot.store, "_commit", _broken)
        robot.end(0)
        robot.worker.work()
        assert robot.worker.wake_at > robot.clock.monotonic()
    robot.settle()
    assert robot.store.announced == robot.report.current
    assert [errand.hook for errand in robot.errands.begun] == ["applied", "applied"]


def _broken() -> None:
    raise sqlite3.OperationalError("disk I/O error")


def test_a_new_order_waits_for_the_hook_that_hangs_and_goes_on_after_it(in_force, shore):
    robot = in_force(APPLIED)
    order_second(robot, shore)
    third = shore.manifest({"f": "3"})
    robot.take(shore.order(third, fallback=robot.first.id))
    robot.worker.work()
    assert (robot.visible(), of(robot, third.id).waiting.code) == ({"f": "1"}, "busy")
    robot.end(None, trouble=Reason.of("hook_timeout", "too long"))
    robot.settle()
    assert robot.visible() == {"f": "3"}
    changes = [json.loads(errand.document)["change"] for errand in robot.errands.begun]
    assert changes == ["deployed", "returned", "deployed"]


@pytest.mark.parametrize("phase", ["check", "applied", "health"])
def test_a_new_order_in_each_phase(phase, in_force, shore):
    robot = in_force(ALL_HOOKS)
    order_second(robot, shore)
    to_rest_until(robot, phase)
    third = order_second(robot, shore)
    robot.settle()
    assert (robot.visible(), robot.report.current) == ({"f": "2"}, third.id)
    assert len([entry for entry in robot.report.deployments if entry.activity is Activity.DEPLOYED]) == 2


@pytest.mark.parametrize("phase", ["check", "applied", "health"])
def test_the_same_deployment_under_another_generation_goes_on(phase, in_force, shore):
    robot = in_force(ALL_HOOKS)
    second = order_second(robot, shore)
    to_rest_until(robot, phase)
    number = robot.errands.open.number
    robot.take(shore.order(second, fallback=robot.first.id))
    robot.worker.work()
    assert robot.errands.open.number == number
    robot.settle()
    assert robot.report.current == second.id
    assert [errand.hook for errand in robot.errands.begun] == ["check", "applied", "health", "health"]


@pytest.mark.parametrize("phase", ["check", "applied", "health"])
def test_nothing_is_wanted_any_more_in_each_phase(phase, in_force, shore):
    robot = in_force(ALL_HOOKS)
    order_second(robot, shore)
    to_rest_until(robot, phase)
    robot.take(shore.order(None))
    robot.settle()
    assert (robot.visible(), robot.trees()) == (None, [])
    assert {entry.activity for entry in robot.report.deployments} == {Activity.ARCHIVED}
    assert robot.store.announced is None


@pytest.mark.parametrize("phase", ["check", "applied", "health"])
def test_the_agent_is_restarted_in_each_phase(phase, in_force, shore):
    robot = in_force(ALL_HOOKS)
    second = order_second(robot, shore)
    to_rest_until(robot, phase)
    robot.boot()
    robot.settle()
    assert robot.report.current == second.id
    assert of(robot, second.id).activity is Activity.DEPLOYED
    assert robot.store.trials(second.id) == 0


def test_trials_that_are_interrupted_end(in_force, shore):
    robot = in_force(gates.Rules(health=HEALTH))
    second = order_second(robot, shore)
    for _ in range(gates.MAX_TRIALS):
        assert robot.errands.name == "health"
        robot.boot()
        robot.worker.work()
    entry = of(robot, second.id)
    assert (entry.error, entry.reason.code, robot.visible()) == (Error.FAILED, "trial_interrupted", {"f": "1"})


def test_a_disk_that_does_not_let_it_come_into_sight_is_no_trial(in_force, shore):
    robot = in_force(gates.Rules(health=HEALTH))
    robot.worker._applier._files = testing.Watched(robot.worker._applier._files, _no_space)
    second = order_second(robot, shore)
    for _ in range(6):
        pass_time(robot, 400.0)
    assert (of(robot, second.id).reason.code, robot.store.trials(second.id)) == ("disk_full", 0)
    robot.boot()
    robot.settle()
    assert robot.visible() == {"f": "2"}


def _no_space(step: str, path: str) -> None:
    if step == "write":
        raise OSError(errno.ENOSPC, "No space left on device", path)


def test_a_veto_and_the_end_of_the_window_do_not_wait_for_the_hook(in_force, shore):
    for act in (
        lambda robot, deployment: robot.worker.passage.acknowledge("nav2", deployment, "it does not drive"),
        lambda robot, _: robot.clock.sleep(10.0),
    ):
        robot = in_force(gates.Rules(health=HEALTH))
        second = order_second(robot, shore)
        assert robot.errands.name == "health"
        assert robot.worker.wake_at == robot.clock.monotonic() + 10.0
        act(robot, second.id)
        robot.worker.work()
        assert (robot.errands.open, robot.visible()) == (None, {"f": "1"})
        assert of(robot, second.id).error is Error.FAILED
        robot.store.close()


def test_where_nothing_was_in_force_nothing_is_visible_after_a_failure(memory_path, shore):
    robot = robot_with(memory_path, shore, gates.Rules(applied=True, health=HEALTH))
    robot.take(shore.order(shore.manifest({"f": "1"})))
    to_rest_until(robot, "health")
    pass_time(robot, 10.0)
    assert (robot.visible(), told(robot)["change"]) == (None, "removed")
    assert robot.report.deployments[0].error is Error.FAILED


def test_a_rejection_that_cannot_be_written_down_is_not_forgotten(in_force, shore, monkeypatch):
    robot = in_force(gates.Rules(health=HEALTH))
    second = order_second(robot, shore)
    robot.worker.passage.acknowledge("nav2", second.id, "it does not drive")
    with monkeypatch.context() as patch:
        patch.setattr(robot.store, "_commit", _broken)
        robot.worker.work()
    pass_time(robot, 400.0)
    assert of(robot, second.id).reason.message == "nav2: it does not drive"
    assert robot.visible() == {"f": "1"}


def test_files_that_are_damaged_on_trial_are_written_anew_and_the_trial_goes_on(in_force, shore):
    robot = in_force(gates.Rules(health=HEALTH))
    second = order_second(robot, shore)
    began = robot.worker.passage.trial
    (robot.root / "current" / "f").write_text("x")
    robot.worker.check()
    robot.worker.work()
    assert (robot.visible(), robot.worker.passage.trial) == ({"f": "2"}, began)
    assert robot.store.trials(second.id) == 1
    robot.settle()
    assert of(robot, second.id).activity is Activity.DEPLOYED


def test_a_health_that_comes_and_goes_costs_few_reports_and_few_events(in_force, shore):
    robot = in_force(gates.Rules(health=gates.Health(window=100.0, interval=1.0, passes=2)))
    order_second(robot, shore)
    seq = robot.report.seq
    for second in range(99):
        assert robot.errands.name == "health"
        robot.end(second % 2, f"{second}")
        pass_time(robot, 1.0)
    assert robot.report.seq == seq
    assert events(robot) == [
        ("health_passed", "the hook health went well: 0"),
        ("health_failed", "the hook health ended with status 1: 1"),
    ]


def test_acknowledgements_are_awaited_one_by_one(in_force, shore):
    robot = in_force(gates.Rules())
    robot.rules = gates.Rules(health=gates.Health(window=10.0, passes=0, acks=frozenset({"nav2", "arm"})))
    robot.boot()
    second = order_second(robot, shore)
    way = robot.worker.passage
    assert of(robot, second.id).waiting.message == "on trial, waiting for acknowledgements of arm, nav2"
    assert not way.acknowledge("nav2", robot.first.id, None)
    assert way.acknowledge("nav2", second.id, None)
    robot.worker.work()
    assert of(robot, second.id).waiting.message == "on trial, waiting for acknowledgements of arm"
    assert way.acknowledge("arm", second.id, None)
    robot.worker.work()
    assert of(robot, second.id).activity is Activity.DEPLOYED
    assert not way.acknowledge("arm", second.id, None)
    with pytest.raises(ValueError, match="is not a name"):
        way.acknowledge("The Arm", second.id, None)
    with pytest.raises(ValueError, match="on one line"):
        way.acknowledge("arm", second.id, "\n")


def test_what_was_fetched_in_vain_is_fetched_again_and_not_at_once(in_force, shore):
    robot = in_force(gates.Rules())
    manifest = shore.manifest({"map": "x" * 10})
    by_reference = manifest.model_copy(
        update={"instances": tuple(each.model_copy(update={"content": None}) for each in manifest.instances)}
    )
    robot.take(shore.order(by_reference, fallback=robot.first.id))
    robot.worker.work()
    assert (robot.errands.name, of(robot, manifest.id).waiting.code) == ("fetch", "fetching")
    robot.end(0)
    robot.worker.work()
    assert (robot.errands.open, of(robot, manifest.id).reason.code) == (None, "cannot_fetch")
    assert robot.worker.wake_at is not None
    pass_time(robot, 10.0)
    assert robot.errands.name == "fetch"
    robot.end(None, trouble=Reason.of("cannot_fetch", "the cloud does not answer"))
    robot.worker.work()
    assert of(robot, manifest.id).reason.message == "the cloud does not answer"
    assert of(robot, manifest.id).attempts == 2


def test_a_robot_that_cannot_run_hooks_says_so(memory_path, shore):
    robot = robot_with(memory_path, shore, CHECK)
    robot.worker.passage._errands = testing.errands.NOBODY
    robot.take(shore.order(shore.manifest({"f": "1"})))
    robot.worker.work()
    assert robot.report.deployments[0].reason.code == "not_set_up"
    with pytest.raises(errors.HeldUp):
        testing.errands.NOBODY.begin(robot.errands)


def test_only_an_echo_over_a_connection_made_since_confirms(in_force, shore):
    robot = in_force(APPLIED)
    robot.worker.passage.online(robot.clock.monotonic())
    second = order_second(robot, shore, confirm_s=60)
    robot.clock.sleep(5.0)
    assert (robot.report.nonce, robot.worker.passage.wants_fresh_line) == (None, False)
    robot.end(0)
    robot.worker.work()
    assert (robot.report.nonce, robot.worker.passage.wants_fresh_line) == (None, True)
    assert of(robot, second.id).waiting.message == "on trial, waiting for the cloud's answer"

    robot.worker.passage.online(None)
    robot.worker.work()
    robot.clock.sleep(1.0)
    robot.worker.passage.online(robot.clock.monotonic())
    robot.worker.work()
    asking = robot.report
    assert (asking.nonce is not None, robot.worker.passage.wants_fresh_line) == (True, False)
    pass_time(robot, 10.0)
    assert (robot.report.nonce, robot.report.seq) == (asking.nonce, asking.seq + 1)

    robot.worker.hear(shore.echo(asking.model_copy(update={"nonce": "a" * 24})))
    robot.worker.hear(testing.Shore(seed=2).echo(asking))
    robot.worker.work()
    assert of(robot, second.id).activity is Activity.QUEUED
    robot.worker.hear(shore.echo(asking))
    robot.worker.work()
    assert (of(robot, second.id).activity, robot.report.nonce) == (Activity.DEPLOYED, None)


def test_a_robot_that_is_cut_off_returns(in_force, shore):
    robot = in_force(gates.Rules())
    robot.worker.passage.online(robot.clock.monotonic())
    second = order_second(robot, shore, confirm_s=60)
    robot.worker.passage.online(None)
    robot.worker.work()
    assert robot.worker.wake_at == robot.clock.monotonic() + 60.0
    robot.boot()
    robot.worker.work()
    assert robot.visible() == {"f": "2"}
    pass_time(robot, 60.0)
    assert (robot.visible(), of(robot, second.id).reason.code) == ({"f": "1"}, "cut_off")


def test_what_is_to_be_confirmed_waits_for_a_connection(in_force, shore):
    robot = in_force(gates.Rules())
    robot.rules = gates.Rules(confirm_s=60.0)
    robot.boot()
    second = order_second(robot, shore)
    assert (robot.visible(), of(robot, second.id).waiting.code) == ({"f": "1"}, "offline")
    robot.worker.passage.online(robot.clock.monotonic())
    robot.worker.work()
    assert robot.visible() == {"f": "2"}


def test_steps_of_the_wall_clock_change_nothing(in_force, shore):
    robot = in_force(gates.Rules(health=HEALTH))
    robot.worker.passage.hold("docking", "", 30.0)
    second = order_second(robot, shore)
    for year in (1970, 2070):
        robot.clock.set_wall(robot.clock.now().replace(year=year))
        robot.worker.work()
        assert robot.visible() == {"f": "1"}
    pass_time(robot, 30.0)
    assert robot.errands.name == "health"
    robot.clock.set_wall(robot.clock.now().replace(year=1970))
    robot.settle()
    assert of(robot, second.id).activity is Activity.DEPLOYED
