"""A robot with all its gates, whatever comes in whatever order: what holds at every moment, and what comes of it once
the world is well again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from shallop_device import applier, gates, testing
from shallop_protocol.desired import Desired, Manifest
from shallop_protocol.messages import Reason
from shallop_protocol.statuses import Activity, Error

HEALTH = gates.Health(window=20.0, interval=1.0, passes=2)
RULES = {
    "none": gates.Rules(),
    "check": gates.Rules(check=True),
    "applied": gates.Rules(applied=True),
    "health": gates.Rules(health=HEALTH),
    "acks": gates.Rules(applied=True, health=gates.Health(window=20.0, passes=0, acks=frozenset({"nav2"}))),
    "confirm": gates.Rules(applied=True, confirm_s=60.0),
    "all": gates.Rules(
        check=True,
        applied=True,
        health=gates.Health(window=20.0, interval=1.0, passes=2, acks=frozenset({"nav2"})),
        confirm_s=60.0,
    ),
}
TIMEOUT = Reason.of("hook_timeout", "it took too long")
LONGEST_S = 30.0


class Gates(RuleBasedStateMachine):
    """One robot, its hooks, its cloud, and the state that its report should be in."""

    def __init__(self) -> None:
        super().__init__()
        shared = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(dir=shared if os.access(shared, os.W_OK) else None))
        self.shore = testing.Shore()
        self.manifests: dict[str, Manifest] = {}
        self.order: Desired | None = None
        self.passed: set[tuple[str, str]] = set()
        """Which gates a deployment has passed, since it came into sight where that matters."""
        self.in_a_row = 0
        self.confirmed: set[str] = set()
        self.is_touched = False
        """Somebody wrote into what is in sight, and the robot has not looked yet."""

    @initialize(rules=st.sampled_from(sorted(RULES)))
    def begin(self, rules: str) -> None:
        self.rules = RULES[rules]
        self.robot = testing.Robot(self.directory, self.shore, self.rules)
        self.robot.boot()

    def teardown(self) -> None:
        try:
            if hasattr(self, "robot"):
                self._heal()
        finally:
            if hasattr(self, "robot"):
                self.robot.store.close()
            shutil.rmtree(self.directory)

    # What the world does.

    @rule(confirm_s=st.sampled_from([None, None, 40]))
    def order_another(self, confirm_s: int | None) -> None:
        manifest = self.shore.manifest({"f": str(len(self.manifests)), "d/g": "x"})
        self.manifests[manifest.id] = manifest
        self._take(self.shore.order(manifest, self._fallback(), confirm_s))

    @precondition(lambda self: self.order is not None and self.order.deployment is not None)
    @rule(confirm_s=st.sampled_from([None, 40]))
    def order_the_same(self, confirm_s: int | None) -> None:
        assert self.order is not None
        self._take(self.shore.order(self.order.deployment, self.order.fallback, confirm_s))

    @rule()
    def order_nothing(self) -> None:
        self._take(self.shore.order(None))

    @precondition(lambda self: self.robot.errands.open is not None)
    @rule(code=st.sampled_from([0, 0, 0, 0, 1, 75, -9, None]))
    def end_errand(self, code: int | None) -> None:
        self._end(code)

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 25.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.robot.clock.sleep(seconds)
        self._work()

    @rule(name=st.sampled_from(["docking", "arm"]))
    def hold(self, name: str) -> None:
        self._do(lambda: self.robot.worker.passage.hold(name, "parking", LONGEST_S))

    @rule(name=st.sampled_from(["docking", "arm"]))
    def release(self, name: str) -> None:
        self._do(lambda: self.robot.worker.passage.release(name))

    @precondition(lambda self: self.robot.worker.passage.trial is not None)
    @rule(veto=st.sampled_from([None, None, "it does not drive"]))
    def acknowledge(self, veto: str | None) -> None:
        trial = self.robot.worker.passage.trial
        assert trial is not None
        assert self.robot.worker.passage.acknowledge("nav2", trial.deployment, veto)
        if veto is None:
            self.passed.add(("acks", trial.deployment))
        self._work()

    @rule()
    def connect(self) -> None:
        self.robot.worker.passage.online(self.robot.clock.monotonic())
        self._work()

    @rule()
    def disconnect(self) -> None:
        self.robot.worker.passage.online(None)
        self._work()

    @precondition(lambda self: self.robot.store.report is not None and self.robot.report.nonce is not None)
    @rule()
    def echo(self) -> None:
        trial = self.robot.worker.passage.trial
        if trial is not None and trial.nonce == self.robot.report.nonce:
            self.passed.add(("echo", trial.deployment))
        self.robot.worker.hear(self.shore.echo(self.robot.report))
        self._work()

    @precondition(lambda self: self.robot.visible())
    @rule()
    def tamper(self) -> None:
        (self.robot.root / applier.CURRENT / "f").write_text("tampered with")
        self.is_touched = True

    @rule()
    def look(self) -> None:
        self._do(lambda: self.robot.worker.check())
        self.is_touched = False

    @rule(is_machine=st.booleans(), steps=st.sampled_from([0, 0, 1, 2, 3, 5, 8, 13]))
    def restart(self, is_machine: bool, steps: int) -> None:
        """With steps, the power goes after so many of them."""
        self.robot.clock.boots += is_machine
        self._boot(testing.Power(steps) if steps else None)
        self._work()

    @rule(nth=st.integers(1, 40))
    def restart_on_a_bad_disk(self, nth: int) -> None:
        self._boot(fault=testing.FailingOnce(nth, 28).on)
        self._work()

    @rule()
    def retry_now(self) -> None:
        self.robot.worker.retry_now()
        self._work()

    # What holds at every moment.

    @invariant()
    def what_is_visible_is_one_whole_deployment(self) -> None:
        found = self.robot.visible()
        is_unread = self.is_touched or self.robot.worker._check_at is not None
        if found is not None and not is_unread and not self.robot.worker._sight.disk.damaged:
            assert found in [_files(manifest) for manifest in self.manifests.values()]

    @invariant()
    def a_wait_has_an_end(self) -> None:
        wanted = self.robot.store.memory.wanted
        if wanted is None or wanted.activity is not Activity.QUEUED or self.robot.errands.open:
            return
        waiting = self.robot.worker.passage.waiting.get(wanted.id)
        assert self.robot.worker.wake_at is not None or (waiting is not None and waiting.code == "offline")

    @invariant()
    def what_failed_is_out_of_sight_at_rest(self) -> None:
        visible = self._visible_id()
        holding = self.robot.store.memory.holding(visible) if visible else None
        if holding is not None and holding.error is Error.FAILED:
            assert self.robot.worker.wake_at is not None

    @invariant()
    def what_is_deployed_has_passed_every_gate(self) -> None:
        for holding in self.robot.store.memory.holdings:
            if holding.activity is Activity.DEPLOYED and holding.id not in self.confirmed:
                self.confirmed.add(holding.id)
                missing = {gate for gate in self._gates() if (gate, holding.id) not in self.passed}
                assert not missing, missing

    # How it is done.

    def _gates(self) -> set[str]:
        """Those that any deployment of the order has to pass."""
        rules = self.rules.of(self.order.confirm_s if self.order else None)
        has = {"check": rules.check, "applied": rules.applied, "echo": rules.confirm_s is not None}
        if rules.health:
            has |= {"health": rules.health.passes > 0, "acks": bool(rules.health.acks)}
        return {gate for gate, is_there in has.items() if is_there}

    def _fallback(self) -> str | None:
        """As the cloud says it: what was confirmed last, unless it was taken off."""
        holdings = self.robot.store.memory.holdings
        return next((each.id for each in reversed(holdings) if each.activity is Activity.DEPLOYED), None)

    def _take(self, order: Desired) -> None:
        self.order = order
        self._do(lambda: self.robot.take(order))
        if self.robot.store.memory.order != order:  # the power went
            self._do(lambda: self.robot.take(order))

    def _end(self, code: int | None) -> None:
        """An errand ends; what that proves is written down here, by the test's own reckoning."""
        name, errand = self.robot.errands.name, self.robot.errands.open
        running = self.robot.worker.passage._running
        assert name is not None
        assert errand is not None
        deployment = running.deployment if running else None
        if name == "health":
            self.in_a_row = self.in_a_row + 1 if code == 0 else 0
        if deployment is not None and code == 0 and (name != "health" or self.in_a_row >= HEALTH.passes):
            self.passed.add((name, deployment))
        self._do(lambda: self.robot.end(code, "said", TIMEOUT if code is None else None))

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
            self.robot.worker.work()
        except testing.PowerCut:
            self._boot(None)
            self.robot.worker.work()

    def _work(self) -> None:
        self._do(lambda: None)

    def _boot(self, power: testing.Power | None = None, fault=testing.sound) -> None:
        try:
            self.robot.boot(power, fault)
        except testing.PowerCut:
            self.robot.boot()
        self.in_a_row = 0
        self.is_touched = False
        self.passed = {(gate, each) for gate, each in self.passed if gate in ("check", "applied")}

    def _visible_id(self) -> str | None:
        current = self.robot.root / applier.CURRENT
        return current.readlink().name.partition(".")[0] if current.exists() else None

    def _heal(self) -> None:
        """From here on all goes well: the robot comes to rest where it should."""
        self._boot()
        self.robot.worker.repeat()  # what an earlier life asked, nobody waits for any more
        for name in ("docking", "arm"):
            self.robot.worker.passage.release(name)
        if self.order is not None and self.robot.store.memory.order != self.order:
            self.robot.take(self.order)
        for _ in range(500):
            self.robot.worker.work()
            if self.robot.errands.open:
                self._end(0)
            elif self.robot.worker.passage.wants_fresh_line or not self._is_online():
                self.robot.worker.passage.online(self.robot.clock.monotonic())
            elif (trial := self.robot.worker.passage.trial) and not trial.acks:
                self.acknowledge(None)
            elif self.robot.report.nonce is not None:
                self.echo()
            elif (wake_at := self.robot.worker.wake_at) is not None:
                self.robot.clock.sleep(max(0.0, wake_at - self.robot.clock.monotonic()))
            else:
                break
        else:
            raise AssertionError("the robot does not come to rest")
        self.what_is_deployed_has_passed_every_gate()
        self._at_rest()

    def _is_online(self) -> bool:
        return self.robot.worker.passage.online_since is not None

    def _at_rest(self) -> None:
        wanted = self.robot.store.memory.wanted
        visible = self._visible_id()
        if wanted is None:
            assert visible is None
        elif wanted.error is not Error.FAILED:
            assert (wanted.activity, wanted.error, visible) == (Activity.DEPLOYED, Error.NONE, wanted.id)
        else:
            assert visible != wanted.id
            fallback = self.order.fallback if self.order else None
            assert visible in (fallback, None)
        if visible in self.robot.worker._sight.disk.damaged:  # no order brings the bytes of a fallback
            told = {entry.id: entry.integrity for entry in self.robot.report.deployments}
            assert wanted is None or wanted.id != visible
            assert told[visible]
        elif visible is not None:
            assert self.robot.visible() == _files(self.manifests[visible])
        if self.rules.applied:
            assert self.robot.store.announced == visible
        assert self.robot.report.nonce is None
        assert all(entry.waiting is None for entry in self.robot.report.deployments)
        assert self.robot.leftovers() == []


def _files(manifest: Manifest) -> dict[str, str]:
    return {each.path: each.content or "" for each in manifest.instances}


def _settings(examples: int, steps: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=examples < 100,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def test_a_few_lives():
    run_state_machine_as_test(Gates, settings=_settings(8, 25))


@pytest.mark.slow
def test_many_lives():
    run_state_machine_as_test(Gates, settings=_settings(200, 50))
