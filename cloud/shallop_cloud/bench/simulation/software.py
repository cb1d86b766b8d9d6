"""What runs on a robot beside the agent: its hooks, software that acknowledges and holds, and its way to contents.

All of it is scripted by the seed, in virtual time. What a deployment does to a robot is its fate; beside that, while
the world is not at peace, everything fails now and then.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping

from shallop_device import errands, gates, inbox
from shallop_protocol.desired import Instance
from shallop_protocol.messages import Reason

from shallop_cloud.bench.simulation.cargo import Fate, Load
from shallop_cloud.bench.simulation.gate_checks import GateChecks
from shallop_cloud.bench.simulation.timeline import Appointment, Timeline

TIMEOUT_S = 10.0
"""So long a hook may run."""
_NOT_NOW = 75
_TAKES_S = (0.05, 0.5, 3.0)
_MISHAPS = 0.2
ACKNOWLEDGES = "nav2"
"""The name of the software that has to acknowledge, where there is some."""


@dataclasses.dataclass(frozen=True, slots=True)
class Nature:
    """How a robot is set up.

    Attributes:
        heals: files that were changed are written anew; otherwise that is only reported.
    """

    rules: gates.Rules = dataclasses.field(default_factory=gates.Rules)
    heals: bool = True

    def term(self, load: Load) -> float | None:
        """Seconds within which the cloud must have answered after this came into sight."""
        return self.rules.confirm_s if load.confirm_s is None else float(load.confirm_s)

    def tries(self, load: Load) -> bool:
        """Whether this is on trial when it is in sight."""
        return self.rules.health is not None or self.term(load) is not None


PLAIN = Nature()
"""A robot without gates."""


def draw(rng: random.Random) -> Nature:
    """The nature of one robot; half of them are plain."""
    if rng.random() < 0.5:
        return PLAIN
    acks = frozenset({ACKNOWLEDGES} if rng.random() < 0.4 else ())
    passes = rng.choice((0, 1, 3)) if acks else rng.choice((1, 3))
    health = gates.Health(rng.choice((20.0, 60.0, 120.0)), rng.choice((1.0, 5.0)), passes, acks)
    rules = gates.Rules(
        check=rng.random() < 0.5,
        applied=rng.random() < 0.6,
        health=health if rng.random() < 0.7 else None,
        confirm_s=rng.choice((None, 30.0, 90.0)),
    )
    return Nature(rules, heals=rng.random() < 0.7)


class Software:
    """Does the agent's errands, and keeps the contents that were fetched.

    Attributes:
        is_calm: nothing fails but by fate.
        kept: the contents that are here, by digest.
    """

    def __init__(
        self,
        nature: Nature,
        loads: Mapping[str, Load],
        checks: GateChecks,
        timeline: Timeline,
        rng: random.Random,
        hears: Callable[[inbox.Item], None],
    ) -> None:
        self.nature = nature
        self.is_calm = False
        self.kept: dict[str, bytes] = {}
        self._loads = loads
        self._checks = checks
        self._timeline = timeline
        self._rng = rng
        self._hears = hears
        self._running: Appointment | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an errand is under way."""
        return self._running is not None

    def begin(self, errand: errands.Errand) -> None:
        """As the port of errands says."""
        assert self._running is None, "one errand at a time"
        if isinstance(errand, errands.RunHook):
            self._checks.hook_began(errand.hook, _subject(errand))
        seconds = min(TIMEOUT_S, 0.01 + self._rng.expovariate(1.0 / self._rng.choice(_TAKES_S)))
        self._running = self._timeline.after(seconds, lambda: self._end(errand, timed_out=seconds >= TIMEOUT_S))

    def call_off(self) -> None:
        """As the port of errands says."""
        if self._running:
            self._running.call_off()
            self._running = None

    def has(self, instance: Instance) -> bool:
        """As the port of contents says."""
        return instance.digest in self.kept

    def read(self, instance: Instance) -> Iterator[bytes]:
        """As the port of contents says."""
        data = self.kept[instance.digest]
        return iter([data[:7], data[7:]])

    def keep_only(self, digests: Collection[str]) -> None:
        """As the port of contents says."""
        self.kept = {digest: data for digest, data in self.kept.items() if digest in digests}

    def verdict(self, load: Load) -> tuple[bool, str | None]:
        """Whether the software that acknowledges says something now, and what it has against a deployment."""
        speaks = self.is_calm or self._rng.random() >= _MISHAPS
        return speaks, "it does not start" if load.fate is Fate.VETOED else None

    def _end(self, errand: errands.Errand, *, timed_out: bool) -> None:
        self._running = None
        if isinstance(errand, errands.FetchContents):
            self._hears(self._fetched(errand))
            return
        code = self._code(errand.hook, _subject(errand), timed_out=timed_out)
        self._checks.hook_ended(errand.hook, _subject(errand), is_good=code == 0)
        trouble = Reason.of("hook_timeout", f"the hook {errand.hook} took too long") if code is None else None
        self._hears(inbox.Ended(errand.number, code, f"{errand.hook} says {code}", trouble))

    def _code(self, hook: errands.HookName, deployment: str | None, *, timed_out: bool) -> int | None:
        load = self._loads.get(deployment or "")
        fate = load.fate if load else Fate.GOOD
        has_window = self.nature.rules.health is not None
        is_fated = {
            "check": fate is Fate.BAD_CHECK,
            "health": fate is Fate.BAD_HEALTH,
            "applied": fate is Fate.BAD_APPLIED and has_window,  # without a window it would be tried for ever
        }
        if is_fated[hook]:
            return 1
        if self.is_calm or not (timed_out or self._rng.random() < _MISHAPS):
            return 0
        return None if timed_out else _NOT_NOW if hook == "check" else 1

    def _fetched(self, errand: errands.FetchContents) -> inbox.Ended:
        """One content after the other; what was fetched before something went wrong is not fetched again."""
        for instance in errand.instances:
            if not self.is_calm and self._rng.random() < _MISHAPS:
                return inbox.Ended(errand.number, None, trouble=Reason.of("cannot_fetch", "the line broke"))
            self.kept[instance.digest] = self._text(instance)
        return inbox.Ended(errand.number, 0)

    def _text(self, instance: Instance) -> bytes:
        return next(
            load.texts[instance.path].encode()
            for load in self._loads.values()
            if any(each.digest == instance.digest and each.path == instance.path for each in load.manifest.instances)
        )


def _subject(errand: errands.RunHook) -> str | None:
    deployment = json.loads(errand.document)["deployment"]
    return deployment["id"] if deployment else None
