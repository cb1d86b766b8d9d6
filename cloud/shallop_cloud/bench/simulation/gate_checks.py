"""What must be true of holds and gates on one robot, by the number among the invariants.

As in ``checks``, nothing here asks the code under test for its opinion: what software and hooks said, what travelled
and when connections were made is all that counts.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import NoReturn

from shallop_device import gates

from shallop_cloud.bench.simulation.cargo import Load
from shallop_cloud.bench.simulation.timeline import Timeline
from shallop_cloud.bench.simulation.violation import Violation

SLACK_S = 15.0
"""Beyond its window, what a trial may take: a hook that runs, and some turns of the agent."""


@dataclasses.dataclass(slots=True)
class _Sight:
    """What is in sight, and what happened since it came there."""

    deployment: str | None = None
    since: float = 0.0
    lies: int = 0
    is_announced: bool = False
    passes: int = 0
    acks: set[str] = dataclasses.field(default_factory=set[str])
    asked: set[str] = dataclasses.field(default_factory=set[str])
    is_heard: bool = False


class GateChecks:
    """S27 to S30.

    Attributes:
        echoes: what the cloud ever signed as an echo for this robot, and the nonce in it.
        lies: how often the disk failed, as its owner says.
    """

    def __init__(self, name: str, rules: gates.Rules, loads: Mapping[str, Load], timeline: Timeline) -> None:
        self.echoes: dict[bytes, str] = {}
        self.lies = 0
        self._name = name
        self._rules = rules
        self._loads = loads
        self._timeline = timeline
        self._holds: dict[str, float] = {}
        self._sight = _Sight()
        self._goes_on: tuple[str | None, float] = (None, 0.0)
        self._started_at = 0.0
        self._checked: set[str] = set()
        self._told: tuple[str | None, bool] = (None, True)

    # What happened.

    def started(self) -> None:
        """The agent starts."""
        self._started_at = self._timeline.now

    def lost_power(self, visible: str | None) -> None:
        """Holds are of one boot of the machine, and a switch that was not on the disk may not have been."""
        self._holds = {}
        if visible != self._sight.deployment:
            self._sight = _Sight(visible, self._timeline.now, self.lies)

    def forgot(self, visible: str | None) -> None:
        """The database is another one: holds are gone, and the agent does not know what it told its software. With
        the disk, the software is new as well."""
        self.lost_power(visible)
        if visible is None:
            self._told = (None, True)

    def rotten(self) -> None:
        """What is in sight is not what was written: its trial begins when it is."""
        self._goes_on = (None, 0.0)

    def holds(self, name: str, seconds: float) -> None:
        """Software was granted a hold."""
        self._holds[name] = self._timeline.now + seconds

    def released(self, name: str) -> None:
        """Software gave its hold back."""
        self._holds.pop(name, None)

    def hook_began(self, hook: str, deployment: str | None) -> None:
        """A hook begins; software may have taken up what it is told of, whether it ends well or not."""
        if hook == "applied":
            self._told = (deployment, False)

    def hook_ended(self, hook: str, deployment: str | None, *, is_good: bool) -> None:
        """A hook said yes, or not."""
        if hook == "applied":
            self._told = (deployment, is_good)
        if hook == "check" and is_good and deployment:
            self._checked.add(deployment)
        if deployment != self._sight.deployment:
            return
        if hook == "applied":
            self._sight.is_announced |= is_good
        elif hook == "health":
            self._sight.passes = self._sight.passes + 1 if is_good else 0

    def acknowledged(self, name: str, deployment: str) -> None:
        """Software said that a deployment is well."""
        if deployment == self._sight.deployment:
            self._sight.acks.add(name)

    def asked(self, report: bytes) -> None:
        """A report leaves, which may ask for an echo."""
        if b'"nonce":"' in report:
            self._sight.asked.add(json.loads(report)["nonce"])

    def echoed(self, payload: bytes, opened_at: float) -> None:
        """Something came as an echo over a connection that was begun at that time."""
        nonce = self.echoes.get(payload)
        if nonce in self._sight.asked and opened_at >= self._sight.since:
            self._sight.is_heard = True

    # What must be true.

    def switches(self, deployment: str | None) -> None:
        """S27: what is in sight is about to be another deployment."""
        if deployment == self._sight.deployment:
            return
        holding = [name for name, until in self._holds.items() if until > self._timeline.now]
        if holding:
            self._fail("S27", f"{self._sight.deployment} gives way to {deployment}, though {holding} hold")
        self._sight = _Sight(deployment, self._timeline.now, self.lies)

    def confirmed(self, deployment: str) -> None:
        """S28: it passed every gate since it came into sight."""
        rules, sight, load = self._rules, self._sight, self._loads[deployment]
        term = rules.confirm_s if load.confirm_s is None else load.confirm_s
        health = rules.health
        missing = [
            gate
            for gate, is_open in (
                ("the hook check", not rules.check or deployment in self._checked),
                ("the hook applied", not rules.applied or sight.is_announced),
                ("the hook health", health is None or sight.passes >= health.passes),
                ("acknowledgements", health is None or health.acks <= sight.acks),
                ("the cloud's answer", term is None or sight.is_heard),
            )
            if not is_open
        ]
        if missing:
            self._fail("S28", f"{deployment} is deployed without {', '.join(missing)}")

    def goes_on(self, deployment: str | None) -> None:
        """S29: what is wanted and in sight, and not confirmed or rejected, is so within its window."""
        sight = self._sight
        if deployment != self._goes_on[0] or deployment != sight.deployment:
            self._goes_on = (deployment, self._timeline.now)
        since = max(sight.since, self._goes_on[1])
        if deployment is None or deployment != sight.deployment or self._started_at > since:
            return
        load = self._loads[deployment]
        term = self._rules.confirm_s if load.confirm_s is None else float(load.confirm_s)
        ends = [self._rules.health.window] if self._rules.health else []
        ends += [term] if term is not None else []
        if ends and sight.lies == self.lies and self._timeline.now > since + max(ends) + SLACK_S:
            self._fail("S29", f"{deployment} is on trial for {self._timeline.now - since:.0f} s")

    def rests(self) -> None:
        """S30: software was told of what is in sight, and of nothing else since."""
        if self._rules.applied and self._told != (self._sight.deployment, True):
            told, is_good = self._told
            words = "" if is_good else ", and that did not succeed"
            self._fail("S30", f"software was last told of {told}{words}; in sight is {self._sight.deployment}")

    def _fail(self, invariant: str, words: str) -> NoReturn:
        raise Violation(invariant, f"{self._name}: {words}")
