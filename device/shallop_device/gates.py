"""What stands between an order and its being in force, as one pure function.

``plan`` of the protocol says *that* a deployment is to be applied. ``next_act`` says what comes next on the way there,
from what is known at this moment alone; so any step can be cut off, and whatever begins anew finds its place:

1. contents that travel by reference are fetched;
2. nothing changes while robot software holds it, or, where a round trip is asked for, while there is no connection;
3. the tree is written, out of sight, and the hook ``check`` may refuse it;
4. the tree comes into sight, and from then on the deployment is on trial;
5. the hook ``applied`` lets robot software take it up, the hook ``health`` and the acknowledgements of robot software
   say that it is well, the cloud's echo says that the robot can still be reached;
6. it is confirmed, or rejected, and then the fallback returns.

Files that were found damaged are written anew without any of this: they are the same bytes. A trial goes on meanwhile.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence
from typing import Literal

from shallop_protocol.desired import Instance, Manifest
from shallop_protocol.messages import Reason, Waiting

MAX_TRIALS = 3
"""So often a trial may begin; a robot that goes down in each of them is not well."""
ASKS_PER_TERM = 6
"""How often an echo is asked for within the time in which it must come."""
ANNOUNCE_AGAIN_S = 5.0
"""Between two runs of the hook ``applied`` in a trial, where no interval of ``health`` says otherwise."""
LONGEST_HOLD_S = 3600.0
MAX_HOLDS = 32
MAX_WORDS = 200
"""Characters of why robot software holds something, or is against it."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

Kind = Literal["check", "applied", "health", "fetch"]
"""What an errand does: runs a hook, or fetches contents."""


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """When a deployment is well.

    Attributes:
        window: seconds from the switch within which it must be.
        interval: seconds between two looks.
        passes: looks in a row that must be good; 0 if there is no hook ``health``.
        acks: names of robot software that must have acknowledged it.
    """

    window: float = 60.0
    interval: float = 2.0
    passes: int = 3
    acks: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """The gates of this robot.

    Attributes:
        check: there is a hook ``check``; ``applied`` likewise.
        confirm_s: seconds from the switch within which the cloud must have answered, unless the order says another
            number; None if it need not.
        longest_hold_s: no hold may be asked for longer.
    """

    check: bool = False
    applied: bool = False
    health: Health | None = None
    confirm_s: float | None = None
    longest_hold_s: float = LONGEST_HOLD_S

    def of(self, confirm_s: int | None) -> Rules:
        """The rules under an order that asks for this."""
        return self if confirm_s is None else dataclasses.replace(self, confirm_s=float(confirm_s))

    @property
    def has_trial(self) -> bool:
        """Whether a deployment in sight may still be rejected."""
        return self.health is not None or self.confirm_s is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """Robot software says "not now".

    Attributes:
        until: the monotonic moment at which it ends by itself; ``at`` is the same by the wall clock.
    """

    name: str
    reason: str
    until: float
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """A deployment in sight that is not confirmed. Times are monotonic.

    Attributes:
        since: when it came into sight.
        at: the same by the wall clock.
        nonce: what the cloud is asked to echo.
        old_lines: how many connections had been made when the hook ``applied`` had let robot software take it up; None
            if that is still to come. They prove nothing: it is that hook which sets up a network.
        tried_at: when the last hook of the trial ended; ``passes`` of ``health`` in a row were good, ``said`` is what
            the last one that was not said.
        acks: robot software that acknowledged it; ``veto`` is what one of them said against it.
        asked_at: when the cloud was last asked for an echo; ``heard`` if it answered.
    """

    deployment: str
    since: float
    at: datetime.datetime
    nonce: str
    old_lines: int | None = None
    tried_at: float | None = None
    passes: int = 0
    said: str = ""
    acks: frozenset[str] = frozenset()
    veto: str | None = None
    asked_at: float | None = None
    heard: bool = False

    @property
    def is_taken_up(self) -> bool:
        """Whether robot software took it up, or was never to be told."""
        return self.old_lines is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """What is known at this moment of the deployment that is to be applied.

    Attributes:
        is_confirmed: it was in force before, and only its files are not what they should be.
        is_current: it is in sight.
        is_whole: nothing else than what was written was found of it.
        missing: its contents that are not on this robot.
        is_staged: its tree is on the disk, whole.
        is_checked: the hook ``check`` took it, and nothing was waited for since.
        is_online: a connection stands; during a trial, one that was made after it was taken up.
        under_way: the errand that is, for this deployment or an earlier one.
        trials: how many were begun of this deployment.
    """

    manifest: Manifest
    is_confirmed: bool = False
    is_current: bool = False
    is_whole: bool = True
    missing: Sequence[Instance] = ()
    holds: Sequence[Hold] = ()
    is_online: bool = False
    is_staged: bool = False
    is_checked: bool = False
    under_way: Kind | None = None
    trial: Trial | None = None
    trials: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Fetch:
    """Get these contents."""

    missing: Sequence[Instance]


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """Write the tree, out of sight."""


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """Run the hook ``check``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bring:
    """Bring the tree into sight, written first if it is not there, and read it back; a trial may begin."""


@dataclasses.dataclass(frozen=True, slots=True)
class Announce:
    """Run the hook ``applied``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """Run the hook ``health``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """Ask the cloud for an echo."""


@dataclasses.dataclass(frozen=True, slots=True)
class Await:
    """Nothing to do before ``until``, a monotonic moment; None if something has to happen first."""

    waiting: Waiting
    until: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Confirm:
    """It is in force."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """It can never work here."""

    reason: Reason


Act = Fetch | Stage | Check | Bring | Announce | Probe | Ask | Await | Confirm | Reject


def next_act(rules: Rules, now: Situation, moment: float) -> Act:
    """What comes next on the way of a deployment into force. No act that begins an errand while one is under way.

    Args:
        moment: the monotonic time.
    """
    if now.missing:
        return _under_way(now.under_way, now.missing) if now.under_way else Fetch(now.missing)
    if now.is_confirmed:  # the same bytes once more; a hold is about what comes into sight instead of something else
        return (None if now.is_current else held_up_by(now.holds)) or Bring()
    if now.trial is not None:
        return _on_trial(rules, now, now.trial, moment) if now.is_current and now.is_whole else Bring()
    if rules.has_trial and now.trials >= MAX_TRIALS:
        words = f"the robot or its agent was restarted in each of {now.trials} trials of it"
        return Reject(Reason.of("trial_interrupted", words))
    if now.under_way:
        return _under_way(now.under_way, ())
    if not now.is_current:
        held = held_up_by(now.holds)
        if held is not None:
            return held
        if rules.confirm_s is not None and not now.is_online:
            words = "it is to be confirmed by the cloud, and there is no connection"
            return Await(Waiting(code="offline", message=words))
        if rules.check and not now.is_checked:
            return Check() if now.is_staged else Stage()
    return Bring()


def held_up_by(holds: Sequence[Hold]) -> Await | None:
    """The wait that robot software asks for, if it asks for any."""
    if not holds:
        return None
    words = "; ".join(f"held by {hold.name}" + (f": {hold.reason}" if hold.reason else "") for hold in holds)
    last = max(holds, key=lambda hold: hold.until)
    waiting = Waiting(code="held", message=Reason.of("held", words).message, until=last.at)
    return Await(waiting, min(hold.until for hold in holds))


def check_hold(rules: Rules, holds: Sequence[Hold], name: str, reason: str, seconds: float) -> None:
    """Whether robot software may hold this.

    Args:
        holds: those that stand; one of the same name is renewed.

    Raises:
        ValueError: it may not. The text says why, and what would do.
    """
    check_name(name)
    check_words(reason)
    if not 1.0 <= seconds <= rules.longest_hold_s:
        raise ValueError(f"a hold lasts from 1 to {rules.longest_hold_s:g} seconds, not {seconds:g}; renew it in time")
    if len({hold.name for hold in holds} - {name}) >= MAX_HOLDS:
        raise ValueError(f"there are {MAX_HOLDS} holds already; release one of them first")


def check_name(name: str) -> None:
    """Raises ValueError unless this can be the name of robot software."""
    if not _NAME.fullmatch(name):
        words = "at most 64 lower-case letters, digits, '_', '.' and '-', the first a letter or digit"
        raise ValueError(f"{name[:80]!r} is not a name of robot software: that is {words}")


def check_words(words: str) -> None:
    """Raises ValueError unless this can be shown to people, on one line."""
    if len(words) > MAX_WORDS or not words.isprintable():
        raise ValueError(f"give the reason on one line, in at most {MAX_WORDS} characters")


def on_trial(rules: Rules, trial: Trial) -> Waiting:
    """What a trial waits for, in words that stay the same while nothing of it changes: each change is told."""
    awaited: list[str] = []
    if not trial.is_taken_up:
        awaited.append("the hook applied")
    elif rules.health and trial.passes < rules.health.passes:
        awaited.append("the hook health")
    if rules.health and (absent := sorted(rules.health.acks - trial.acks)):
        awaited.append(f"acknowledgements of {', '.join(absent)}")
    if rules.confirm_s is not None and not trial.heard:
        awaited.append("the cloud's answer")
    words = f"on trial, waiting for {', '.join(awaited) or 'nothing more'}"
    return Waiting(code="on_trial", message=Reason.of("on_trial", words).message, until=_until(rules, trial))


def _under_way(kind: Kind, missing: Sequence[Instance]) -> Await:
    if kind == "fetch":
        size = sum(each.size for each in missing) / 1e6
        names = ", ".join(each.path for each in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        words = Reason.of("fetching", f"fetching {size:.1f} MB: {names}{more}").message
        return Await(Waiting(code="fetching", message=words))
    if kind == "check":
        return Await(Waiting(code="checking", message="the hook check looks at it"))
    return Await(Waiting(code="busy", message=f"the hook {kind} still runs for what came into sight before"))


def _on_trial(rules: Rules, now: Situation, trial: Trial, moment: float) -> Act:
    if trial.veto is not None:
        return Reject(Reason.of("vetoed", trial.veto))
    health, term = rules.health, rules.confirm_s
    is_well = trial.is_taken_up and (health is None or (trial.passes >= health.passes and health.acks <= trial.acks))
    is_heard = term is None or trial.heard
    if is_well and is_heard:
        return Confirm()
    wakes: list[float] = []
    if health is not None and not is_well:
        if moment >= trial.since + health.window:
            return Reject(_not_well(health, trial))
        wakes.append(trial.since + health.window)
    if term is not None and not is_heard:
        if moment >= trial.since + term:
            return Reject(_cut_off(trial, term))
        wakes.append(trial.since + term)
        if trial.is_taken_up and now.is_online:
            ask_at = moment if trial.asked_at is None else trial.asked_at + term / ASKS_PER_TERM
            if moment >= ask_at:
                return Ask()
            wakes.append(ask_at)
    act = _next_hook(health, trial)
    if act is not None and not now.under_way:
        again_at = trial.since if trial.tried_at is None else trial.tried_at + _interval(health)
        if moment >= again_at:
            return act
        wakes.append(again_at)
    return Await(on_trial(rules, trial), min(wakes, default=None))


def _next_hook(health: Health | None, trial: Trial) -> Announce | Probe | None:
    if not trial.is_taken_up:
        return Announce()
    return Probe() if health is not None and trial.passes < health.passes else None


def _interval(health: Health | None) -> float:
    return health.interval if health else ANNOUNCE_AGAIN_S


def _until(rules: Rules, trial: Trial) -> datetime.datetime | None:
    terms = [rules.health.window] if rules.health else []
    terms += [rules.confirm_s] if rules.confirm_s is not None else []
    return trial.at + datetime.timedelta(seconds=max(terms)) if terms else None


def _not_well(health: Health, trial: Trial) -> Reason:
    if not trial.is_taken_up:
        what = "the hook applied did not succeed"
    elif trial.passes < health.passes:
        what = "the hook health did not pass"
    else:
        what = f"no acknowledgement came from {', '.join(sorted(health.acks - trial.acks))}"
    said = f": {trial.said}" if trial.said else ""
    return Reason.of("health_failed", f"{what} within {health.window:g} s of the switch{said}")


def _cut_off(trial: Trial, term: float) -> Reason:
    if not trial.is_taken_up:
        said = f": {trial.said}" if trial.said else ""
        return Reason.of("health_failed", f"the hook applied did not succeed within {term:g} s of the switch{said}")
    words = f"the cloud did not answer within {term:g} s of the switch; the deployment may have cut the robot off"
    return Reason.of("cut_off", words)
