"""Puts the agent together from its parts and runs it on this machine."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from shallop_protocol import messages

from shallop_device import (
    __version__,
    agent,
    applier,
    backoff,
    clock,
    contents,
    errands,
    errors,
    fetch,
    files,
    freshness,
    gates,
    hooks,
    identity,
    inbox,
    link,
    links,
    notify,
    runner,
    schema,
    settings,
    state,
    store,
    tls,
    watch,
    worker,
)
from shallop_device.door import desk, server

SYSTEM_CLOCK = clock.SystemClock()


def run(
    chosen: settings.Settings,
    items: inbox.Inbox,
    *,
    time: clock.Clock = SYSTEM_CLOCK,
    open_root: Callable[[Path], files.Files] = files.RootedFiles,
) -> None:
    """Runs the agent of a state directory until ``inbox.Stop``.

    Args:
        time: the machine's clock, or one that is wrong on purpose.
        open_root: makes the port through which the configuration root is written and read.

    Raises:
        errors.AgentError: not enrolled, in use by another agent, unusable, or the connection's thread is gone.
    """
    if not (chosen.state / schema.FILE).exists():
        raise errors.not_enrolled(chosen.state)
    with state.locked(chosen.state):
        memory = store.Store.open(chosen.state)
        try:
            who = memory.identity
            if who is None:
                raise errors.not_enrolled(chosen.state)
            links.lay(chosen.links, who.root / applier.CURRENT)
            _Agent(chosen, identity_of(chosen, who), memory, items, time, open_root(who.root)).run()
        finally:
            memory.close()


def rules(chosen: settings.Settings) -> gates.Rules:
    """The gates of this robot."""
    hooks, health = chosen.hooks, chosen.health
    wants_health = bool(hooks.health or health.acks)
    passes = health.passes if hooks.health else 0
    return gates.Rules(
        check=bool(hooks.check),
        applied=bool(hooks.applied),
        health=gates.Health(health.window_s, health.interval_s, passes, health.acks) if wants_health else None,
        confirm_s=chosen.confirm.within_s,
        longest_hold_s=chosen.holds.longest_s,
    )


def freshness_limits(chosen: settings.Settings) -> freshness.Limits:
    """When this robot is stale, and how often it asks so as not to be."""
    heartbeat_s = chosen.link.heartbeat_s
    stale_after = chosen.freshness.stale_after_s or freshness.HEARTBEATS * heartbeat_s
    return freshness.Limits(stale_after, min(heartbeat_s, stale_after / freshness.HEARTBEATS))


def identity_of(chosen: settings.Settings, who: identity.Identity) -> identity.Identity:
    """Who this device is, with what its settings say against the enrolment's answer."""
    return dataclasses.replace(who, protocol=chosen.link.protocol or who.protocol)


def trust_of(chosen: settings.Settings, who: identity.Identity) -> tls.Trust:
    """Whom this device believes, and who it says it is."""
    wanted = chosen.link
    return tls.Trust(who.ca, wanted.ca, wanted.client_certificate, wanted.client_key, who.certificate)


class _Agent:
    """The parts that have to be ended, in the order in which they were made."""

    def __init__(
        self,
        chosen: settings.Settings,
        who: identity.Identity,
        memory: store.Store,
        items: inbox.Inbox,
        time: clock.Clock,
        root: files.Files,
    ) -> None:
        rng = random.SystemRandom()
        retry = backoff.Backoff(chosen.retry.first_s, chosen.retry.cap_s)
        library = contents.Library(chosen.state / contents.DIRECTORY)
        software = messages.Agent(version=__version__, started_at=messages.utc(time.now()))
        self._items = items
        self._desk = desk.Desk(
            who, memory, items, root, time=time, agent=software, longest_hold_s=chosen.holds.longest_s
        )
        self._runner = runner.Runner(items, hooks_of(chosen, who.root), _fetcher(chosen, who, library, time))
        self._worker = worker.Worker(
            who,
            memory,
            applier.Applier(root, library),
            time=time,
            rng=rng,
            agent=software,
            retry=retry,
            rules=rules(chosen),
            doing=self._runner,
            integrity=chosen.integrity.mode,
            limits=freshness_limits(chosen),
            notice=self._desk.notice,
        )
        self._desk.attach(self._worker)
        place = notify.listening() or chosen.door_path
        self._door = server.Door(place, chosen.door.group, self._desk) if chosen.door.enabled else None
        self._watch = watch.Watch(who.root, items) if chosen.integrity.watch else None
        wanted = chosen.link
        line = link.MqttLink(
            who,
            memory.incarnation,
            items,
            trust=trust_of(chosen, who),
            keepalive=wanted.keepalive_s,
            sends_password=wanted.send_password,
        )
        self._agent = agent.Agent(
            who,
            memory,
            self._worker,
            line,
            time=time,
            rng=rng,
            heartbeat=wanted.heartbeat_s,
            presence=wanted.presence_s,
            check_every=chosen.integrity.every_s,
            reconnect=retry,
            heart=notify.Notifier(),
        )

    def run(self) -> None:
        """Until ``inbox.Stop``."""
        _settle_memory()
        try:
            if self._door:
                self._door.open()
            if self._watch:
                self._watch.start()
            self._agent.run(self._items)
        finally:
            if self._watch:
                self._watch.close()
            if self._door:
                self._door.close()
            else:
                self._desk.close()
            self._runner.close()


def _settle_memory() -> None:
    """Gives back what loading the software took and does not need any more, 5 MB of 56; and spares the collector from
    looking at what stays for good."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def hooks_of(chosen: settings.Settings, root: Path) -> hooks.Hooks | None:
    """Who runs this robot's hooks; None if it has none."""
    wanted = chosen.hooks
    all_: dict[errands.HookName, Sequence[str]] = {
        "check": wanted.check,
        "applied": wanted.applied,
        "health": wanted.health,
    }
    commands: dict[errands.HookName, Sequence[str]] = {name: command for name, command in all_.items() if command}
    if not commands:
        return None
    return hooks.Hooks(
        commands, timeout_s=wanted.timeout_s, user=wanted.user, output_bytes=wanted.output_bytes, root=root
    )


def _fetcher(
    chosen: settings.Settings, who: identity.Identity, library: contents.Library, time: clock.Clock
) -> fetch.Fetcher:
    return fetch.Fetcher(
        who.server,
        who.username,
        who.password,
        library,
        trust=trust_of(chosen, who),
        budget_bytes_per_hour=chosen.content.budget_bytes_per_hour,
        time=time,
    )
