"""``--wait``: look at a deployment until its outcome is known, and end as it ended."""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from shallop_cloud.cli import exits, output, problems, progress, views, words

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 1.0
GROWTH = 1.5


class Clock(Protocol):
    """Seconds that only go forward, and a way to let them pass. The module ``time`` is one."""

    def monotonic(self) -> float:
        """Now."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Returns when they are over."""
        ...


class Outcome(enum.Enum):
    """How a wait ended."""

    DEPLOYED = enum.auto()
    FAILED = enum.auto()
    ARCHIVED = enum.auto()
    TIMED_OUT = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Waited:
    """How a wait ended, and the deployment as it was last known."""

    outcome: Outcome
    deployment: Json


Look = Callable[[float], "Json"]
"""Gives the deployment as it is now, within so many seconds."""


def judged(deployment: Json) -> Outcome | None:
    """The outcome of a deployment; None while it is not known."""
    if deployment["error_status"] == "failed":
        return Outcome.FAILED
    if deployment["activity_status"] == "deployed" and deployment["error_status"] == "none":
        return Outcome.DEPLOYED
    return Outcome.ARCHIVED if deployment["target_status"] == "archived" else None


def until_known(
    deployment: Json, look: Look, clock: Clock, timeout: float, tell: Callable[[str], None] = lambda _: None
) -> Waited:
    """Looks again and again, 0.2 s apart at first and 1 s at most, until there is an outcome or ``timeout`` is over.

    A server that cannot be reached or is in trouble meanwhile is asked again: the order has been given already.
    ``tell`` hears what is known after each look.

    Raises:
        problems.Problem: an answer that will not change by itself.
    """
    deadline = clock.monotonic() + timeout
    pause = FIRST_PAUSE
    tell(described(deployment))
    while (outcome := judged(deployment)) is None:
        left = deadline - clock.monotonic()
        if left <= 0:
            return Waited(Outcome.TIMED_OUT, deployment)
        clock.sleep(min(pause, left))
        pause = min(pause * GROWTH, LONGEST_PAUSE)
        try:
            deployment = look(max(deadline - clock.monotonic(), LONGEST_PAUSE))
        except problems.Unreachable:
            tell(f"{described(deployment)}; the server does not answer, asking again")
        except problems.Problem as problem:
            if not problem.passing:
                raise
            tell(f"{described(deployment)}; the server is in trouble ({problem.status}), asking again")
        else:
            tell(described(deployment))
    return Waited(outcome, deployment)


def described(deployment: Json) -> str:
    """``DPL-… on amr-07: retrying (attempt 2): disk_full: no space left``."""
    return f"{_name(deployment)}: {_status(deployment)}"


def finish(api: Api, deployment: Json, timeout: float, format: output.Format) -> None:  # noqa: A002
    """Waits for a deployment that was just ordered, and prints it as it was last known.

    Raises:
        exits.Failure: it failed or was archived (9), or its outcome was not known in time (8).
    """
    with progress.shown(f"waiting for {deployment['device_name']} to confirm it") as tell:
        waited = until_known(
            deployment, lambda within: api.get("deployments", deployment["id"], within=within), time, timeout, tell
        )
    output.show(waited.deployment, format, views.deployment)
    if waited.outcome is Outcome.DEPLOYED:
        return
    if waited.outcome is not Outcome.TIMED_OUT:
        raise exits.Failure(exits.Exit.DEVICES_FAILED, told(waited))
    known = f"{_name(waited.deployment)} is not known to be deployed after {timeout:g} s"
    known = f"{known}; last known: {_status(waited.deployment)}; {_device(api, waited.deployment)}"
    raise exits.Failure(exits.Exit.TIMED_OUT, f"{known}; the order stands, and is not undone")


def told(waited: Waited) -> str:
    """What became of a deployment, in a line."""
    name = _name(waited.deployment)
    match waited.outcome:
        case Outcome.DEPLOYED | Outcome.TIMED_OUT:
            return f"{name}: {_status(waited.deployment)}"
        case Outcome.FAILED:
            return f"{name} failed: {views.reason(waited.deployment) or 'the device gave no reason'}"
        case Outcome.ARCHIVED:
            return f"{name} {_archived(waited.deployment)}"


def _archived(deployment: Json) -> str:
    if deployment["deployed_at"]:
        return "was in force, and has been archived or replaced since"
    return "was archived before the device confirmed it"


def _device(api: Api, deployment: Json) -> str:
    """What is known of the device, which mostly explains why nothing is known of the deployment."""
    name = deployment["device_name"]
    try:
        device = api.get("devices", deployment["device_id"], within=LONGEST_PAUSE)
    except (problems.Unreachable, problems.Problem):
        return f"nothing is known of {name}"
    heard = words.ago(device["last_heard_at"], words.now()) or "never"
    return f"{name} is {views.link(device)}, last heard: {heard}"


def _status(deployment: Json) -> str:
    attempt = f" (attempt {deployment['attempts']})" if deployment["error_status"] == "retrying" else ""
    why = views.reason(deployment)
    return f"{views.words_of_status(deployment)}{attempt}{': ' if why else ''}{why}"


def _name(deployment: Json) -> str:
    return f"{deployment['id']} on {deployment['device_name']}"
