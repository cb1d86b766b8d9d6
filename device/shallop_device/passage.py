"""One deployment on its way through the gates: what is known of it, and the errand that is under way for it.

Nothing here is durable but the holds and the notice that the hook ``applied`` took; both are the store's. What is
lost with the process is found out again: contents and trees are on the disk, a check is run once more, and a trial
begins anew.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from shallop_protocol import desired, messages, strict_json
from shallop_protocol.desired import Instance, Manifest
from shallop_protocol.messages import Reason, Waiting

from shallop_device import clock, errands, gates, inbox, store

NOT_NOW = 75
"""EX_TEMPFAIL of sysexits.h: a hook says that it may be different later."""
UNSURE = ""
"""Recorded, instead of a deployment, before the hook ``applied`` runs: nobody knows what it has done until it ended."""
SAID_CHARACTERS = 1_000
"""Of what a hook said go into a reason or an event: the end of it."""
_NONCE_BYTES = 18

Change = Literal["deployed", "returned", "removed"]
"""What the hook ``applied`` is told: a new deployment, one that was in force before, or none any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What an errand's end means. Neither reason: it went well, or the trial goes on.

    Attributes:
        kind: what the errand was.
        deployment: for which it was done; None after everything was taken off.
        held_up: it may go better later.
        rejected: the deployment can never work here.
        news: for people; None if the like of it was told before.
    """

    kind: gates.Kind
    deployment: str | None
    held_up: Reason | None = None
    rejected: Reason | None = None
    news: Reason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Running:
    number: int
    kind: gates.Kind
    deployment: str | None


class Passage:
    """The gates of one robot, and what stands before them.

    Args:
        rules: which gates there are.
    """

    def __init__(
        self,
        rules: gates.Rules,
        doing: errands.Errands,
        memory: store.Store,
        *,
        time: clock.Clock,
        rng: random.Random,
    ) -> None:
        self._rules = rules
        self._errands = doing
        self._store = memory
        self._clock = time
        self._rng = rng
        self._numbers = 0
        self._running: _Running | None = None
        self._missing: Sequence[Instance] | None = None
        self._staged: tuple[str, str] | None = None
        self._checked: str | None = None
        self._trial: gates.Trial | None = None
        self._online_since: float | None = None
        self._lines = 0
        self._waiting: Mapping[str, Waiting] = {}
        self._until: float | None = None
        self._told: set[tuple[gates.Kind, str | None, object]] = set()

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """Why a deployment is not brought on although nothing is wrong."""
        return self._waiting

    @property
    def wake_at(self) -> float | None:
        """The monotonic moment at which a wait is over by itself."""
        return self._until

    @property
    def trial(self) -> gates.Trial | None:
        """The trial that goes on."""
        return self._trial

    @property
    def nonce(self) -> str | None:
        """What the cloud is asked to echo: nothing before a connection stands that proves something."""
        trial = self._trial
        return trial.nonce if trial and trial.asked_at is not None and self._awaits_echo(trial) else None

    @property
    def wants_fresh_line(self) -> bool:
        """Whether the connection is to be made anew: one from before the deployment was taken up proves nothing."""
        trial = self._trial
        is_waiting = trial is not None and trial.is_taken_up and self._awaits_echo(trial)
        return is_waiting and not self._has_line_since(trial)

    @property
    def is_busy(self) -> bool:
        """Whether an errand is under way."""
        return self._running is not None

    @property
    def announces(self) -> bool:
        """Whether there is a hook ``applied``."""
        return self._rules.applied

    def is_free(self, order: desired.Desired) -> bool:
        """Whether nothing at all stands between an order and its being applied."""
        rules = self._rules.of(order.confirm_s)
        comes_whole = order.deployment is None or all(each.content is not None for each in order.deployment.instances)
        has_gates = rules.check or rules.applied or rules.has_trial
        return comes_whole and not has_gates and not self.is_busy and not self.holds

    def has_trial(self, order: desired.Desired) -> bool:
        """Whether a deployment in sight may still be rejected under an order."""
        return self._rules.of(order.confirm_s).has_trial

    # What the world says.

    def online(self, since: float | None) -> None:
        """A connection was made, at this moment; None: the one that stood is no more."""
        self._lines += since is not None
        self._online_since = since

    @property
    def online_since(self) -> float | None:
        """The monotonic moment since which the connection stands; None if there is none."""
        return self._online_since

    @property
    def holds(self) -> Sequence[gates.Hold]:
        """What robot software holds back now."""
        moment = self._clock.monotonic()
        return [hold for hold in self._store.holds(self._clock.boot()) if hold.until > moment]

    def hold(self, name: str, reason: str, seconds: float) -> gates.Hold:
        """Robot software says "not now", for at most so long. The same name renews it.

        Raises:
            ValueError: not by this name, for this reason, for so long, or one too many; the text is for a person.
            errors.HeldUp: it could not be written down, and does not count.
        """
        gates.check_hold(self._rules, self.holds, name, reason, seconds)
        at = messages.utc(self._clock.now() + datetime.timedelta(seconds=seconds))
        hold = gates.Hold(name, reason, self._clock.monotonic() + seconds, at)
        self._store.put_hold(hold, self._clock.boot())
        return hold

    def release(self, name: str) -> bool:
        """Robot software says "now". False if it held nothing.

        Raises:
            errors.HeldUp: it could not be written down, and the hold still counts.
        """
        known = any(hold.name == name for hold in self.holds)
        if known:
            self._store.drop_hold(name)
        return known

    def acknowledge(self, name: str, deployment: str, veto: str | None) -> bool:
        """Robot software says that a deployment is well, or what is wrong with it. False if it is not on trial.

        Raises:
            ValueError: not by this name or in these words; the text is for a person.
        """
        gates.check_name(name)
        if veto is not None:
            gates.check_words(veto)
        trial = self._trial
        if trial is None or trial.deployment != deployment:
            return False
        if veto is None:
            self._trial = dataclasses.replace(trial, acks=trial.acks | {name})
        else:
            self._trial = dataclasses.replace(trial, veto=f"{name}: {veto}")
        return True

    def hear(self, nonce: str) -> None:
        """The cloud echoed this."""
        if nonce == self.nonce and self._trial:
            self._trial = dataclasses.replace(self._trial, heard=True)

    # The way of one deployment.

    def next_act(self, order: desired.Desired, manifest: Manifest, situation: gates.Situation) -> gates.Act:
        """What comes next for a deployment, completed by what is known here; the wait, if it is one, is noted.

        Args:
            situation: what the disk and the memory say of it.
        """
        trial = self._trial_of(manifest.id)
        now = dataclasses.replace(
            situation,
            holds=self.holds,
            is_online=self._has_line_since(trial),
            is_staged=self._staged is not None and self._staged[0] == manifest.id,
            is_checked=self._checked == manifest.id,
            under_way=self._running.kind if self._running else None,
            trial=trial,
            trials=self._store.trials(manifest.id),
        )
        act = gates.next_act(self._rules.of(order.confirm_s), now, self._clock.monotonic())
        if not isinstance(act, gates.Await):
            return act
        self._wait(act, manifest.id)
        if act.waiting.code in ("held", "offline"):
            self._checked = None
        return act

    def wait(self, *deployments: str) -> bool:
        """Whether what is in sight has to stay, because robot software holds it; the wait is noted.

        Args:
            deployments: which are waiting.
        """
        held = gates.held_up_by(self.holds)
        if held is not None:
            self._wait(held, *deployments)
        return held is not None

    def go_on(self) -> None:
        """Nothing is waited for."""
        self._waiting, self._until = {}, None

    def doubt(self) -> None:
        """Something did not succeed: what was found out before is found out again. A trial goes on."""
        self._missing = self._staged = self._checked = None
        self.go_on()

    @property
    def missing(self) -> Sequence[Instance] | None:
        """The contents that were found not to be on this robot; None if that is to be looked for."""
        return self._missing

    def misses(self, missing: Sequence[Instance]) -> None:
        """These contents were looked for, and are not on this robot. That holds until they were fetched."""
        self._missing = missing

    def staged(self, deployment: str, tree: str) -> None:
        """A deployment's tree is on the disk, there."""
        self._staged = (deployment, tree)

    def begin_trial(self, order: desired.Desired, deployment: str) -> None:
        """A deployment came into sight, and is not confirmed. If its trial goes on already, that stays as it is."""
        if self._trial_of(deployment):
            return
        nonce = base64.urlsafe_b64encode(self._rng.randbytes(_NONCE_BYTES)).decode()
        moment = self._clock.monotonic()
        is_taken_up = not self._rules.applied or self._store.announced == deployment
        old_lines = self._lines if is_taken_up else None
        self._trial = gates.Trial(deployment, moment, messages.utc(self._clock.now()), nonce, old_lines)
        self._wait(gates.Await(gates.on_trial(self._rules.of(order.confirm_s), self._trial)), deployment)

    def asked(self) -> None:
        """The cloud is being asked for an echo."""
        assert self._trial is not None
        self._trial = dataclasses.replace(self._trial, asked_at=self._clock.monotonic())

    def forget(self) -> None:
        """Something else is wanted now, or the outcome is known. The hook ``applied`` is let end what it began."""
        if self._running and self._running.kind != "applied":
            self._errands.call_off()
            self._running = None
        self._trial = None
        self.doubt()

    # Errands.

    def fetch(self, deployment: str, missing: Sequence[Instance]) -> None:
        """Gets contents."""
        self._begin("fetch", deployment, lambda number: errands.FetchContents(number, tuple(missing)))

    def check(self, manifest: Manifest, current: str | None) -> None:
        """Runs the hook ``check`` on the tree that was staged."""
        assert self._staged is not None
        self._run(
            "check", manifest.id, {"deployment": _described(manifest), "tree": self._staged[1], "current": current}
        )

    def probe(self, manifest: Manifest) -> None:
        """Runs the hook ``health``."""
        self._run("health", manifest.id, {"deployment": _described(manifest)})

    def announce(self, deployment: str | None, change: Change, manifest: Manifest | None) -> None:
        """Runs the hook ``applied`` for what is in sight.

        Raises:
            errors.HeldUp: it could not be written down that it begins, and it did not.
        """
        if self._store.announced != UNSURE:
            self._store.announce(UNSURE)
        described = _described(manifest) if manifest else {"id": deployment} if deployment else None
        self._run("applied", deployment, {"deployment": described, "change": change})

    def ended(self, result: inbox.Ended) -> Finding | None:
        """What the end of an errand means; None if it was called off.

        Raises:
            errors.HeldUp: the notice that the hook ``applied`` took could not be written down; it is run again.
        """
        running = self._running
        if running is None or running.number != result.number:
            return None
        self._running = None
        kind, deployment = running.kind, running.deployment
        if kind == "fetch":
            self._missing = None
            return Finding(kind, deployment, held_up=result.trouble)
        failed = None if result.code == 0 else _failed(kind, result)
        if kind == "check":
            is_final = failed is not None and result.code not in (None, NOT_NOW)
            self._checked = deployment if failed is None else None
            return Finding(kind, deployment, None if is_final else failed, failed if is_final else None)
        trial = self._trial_of(deployment)
        if trial:
            passes = trial.passes + 1 if kind == "health" and failed is None else 0
            said = failed.message if failed else trial.said
            self._trial = trial = dataclasses.replace(trial, tried_at=self._clock.monotonic(), passes=passes, said=said)
        if kind == "applied" and failed is None:
            self._store.announce(deployment)
            if trial:  # the first look at its health follows at once
                self._trial = dataclasses.replace(trial, tried_at=None, old_lines=self._lines)
        has_term = trial is not None and (self._rules.health is not None or self._confirm_s(trial) is not None)
        return Finding(kind, deployment, None if has_term else failed, None, self._news(running, result, failed))

    def _trial_of(self, deployment: str | None) -> gates.Trial | None:
        return self._trial if self._trial and self._trial.deployment == deployment else None

    def _has_line_since(self, trial: gates.Trial | None) -> bool:
        """Whether a connection stands; if there is a trial, whether one does that proves something."""
        proves_something = trial is None or trial.old_lines is None or self._lines > trial.old_lines
        return self._online_since is not None and proves_something

    def _confirm_s(self, trial: gates.Trial) -> float | None:
        order = self._store.memory.order
        is_ordered = order is not None and order.deployment is not None and order.deployment.id == trial.deployment
        return self._rules.of(order.confirm_s).confirm_s if order and is_ordered else None

    def _awaits_echo(self, trial: gates.Trial) -> bool:
        return not trial.heard and self._confirm_s(trial) is not None

    def _news(self, running: _Running, result: inbox.Ended, failed: Reason | None) -> Reason | None:
        """Each way in which a hook can end is told once for a deployment, however often it ends so."""
        self._told = {told for told in self._told if told[1] == running.deployment}
        outcome = running.kind, running.deployment, result.trouble.code if result.trouble else result.code
        if outcome in self._told:
            return None
        self._told.add(outcome)
        return failed or _told(f"{running.kind}_passed", f"the hook {running.kind} went well", result.output)

    def _wait(self, wait: gates.Await, *deployments: str) -> None:
        self._waiting = dict.fromkeys(deployments, wait.waiting)
        self._until = wait.until

    def _begin(self, kind: gates.Kind, deployment: str | None, errand: Callable[[int], errands.Errand]) -> None:
        assert self._running is None
        self._numbers += 1
        self._errands.begin(errand(self._numbers))
        self._running = _Running(self._numbers, kind, deployment)

    def _run(self, hook: errands.HookName, deployment: str | None, document: dict[str, object]) -> None:
        data = strict_json.dumps({"v": 1, "hook": hook, **document})
        self._begin(hook, deployment, lambda number: errands.RunHook(number, hook, data))


def _described(manifest: Manifest) -> dict[str, object]:
    """A deployment as hooks are told of it: all but the contents, which lie on the disk."""
    return {
        "id": manifest.id,
        "release": manifest.release,
        "digest": manifest.digest,
        "files": [
            {"path": each.path, "slot": each.slot, "mode": each.mode, "size": each.size, "digest": each.digest}
            for each in manifest.instances
        ],
    }


def _failed(hook: errands.HookName, result: inbox.Ended) -> Reason:
    """Why a hook did not say yes."""
    if result.trouble is not None:
        return _told(result.trouble.code, result.trouble.message, result.output)
    assert result.code is not None
    if result.code == NOT_NOW:
        return _told("not_safe_now", f"the hook {hook} says not now", result.output)
    code = "check_rejected" if hook == "check" else f"{hook}_failed"
    if result.code < 0:
        return _told(code, f"the hook {hook} was ended by signal {_signal_name(-result.code)}", result.output)
    return _told(code, f"the hook {hook} ended with status {result.code}", result.output)


def _told(code: str, words: str, output: str) -> Reason:
    """A reason with the end of what a hook said."""
    said = output.strip()
    said = f"…{said[1 - SAID_CHARACTERS :]}" if len(said) > SAID_CHARACTERS else said
    return Reason.of(code, f"{words}: {said}" if said else words)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
