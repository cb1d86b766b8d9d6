"""Puts the agent together from its parts and runs it on this machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from shallop_protocol import messages

from shallop_device import (
    __version__,
    agent,
    applier,
    backoff,
    clock,
    errors,
    files,
    identity,
    inbox,
    link,
    state,
    store,
    worker,
)

SYSTEM_CLOCK = clock.SystemClock()


def run(
    state_dir: Path,
    items: inbox.Inbox,
    *,
    heartbeat: float,
    retry: backoff.Backoff,
    time: clock.Clock = SYSTEM_CLOCK,
    open_root: Callable[[Path], files.Files] = files.RootedFiles,
) -> None:
    """Runs the agent of a state directory until ``inbox.Stop``.

    Args:
        heartbeat: seconds after which the report is sent again though nothing changed.
        retry: the waits before what failed is tried again, on the disk and with the broker.
        time: the machine's clock, or one that is wrong on purpose.
        open_root: makes the port through which the configuration root is written and read.

    Raises:
        errors.AgentError: not enrolled, in use by another agent, unusable, or the connection's thread is gone.
    """
    if not state_dir.is_dir():
        raise not_enrolled(state_dir)
    with state.locked(state_dir):
        memory = store.Store.open(state_dir)
        try:
            who = memory.identity
            if who is None:
                raise not_enrolled(state_dir)
            disk = applier.Applier(open_root(who.root))
            _agent(who, memory, items, disk, time, heartbeat, retry).run(items)
        finally:
            memory.close()


def not_enrolled(state_dir: Path) -> errors.AgentError:
    """The error that says what to do first."""
    return errors.AgentError(f"{state_dir} is not enrolled: run shallopd enroll first (shallopd enroll --help)")


def _agent(
    who: identity.Identity,
    memory: store.Store,
    items: inbox.Inbox,
    disk: applier.Applier,
    time: clock.Clock,
    heartbeat: float,
    retry: backoff.Backoff,
) -> agent.Agent:
    rng = random.SystemRandom()
    software = messages.Agent(version=__version__, started_at=messages.utc(time.now()))
    hands = worker.Worker(who, memory, disk, time=time, rng=rng, agent=software, retry=retry)
    line = link.MqttLink(who, memory.incarnation, items)
    return agent.Agent(who, memory, hands, line, time=time, rng=rng, heartbeat=heartbeat, reconnect=retry)
