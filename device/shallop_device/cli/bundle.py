"""``shallopd apply-bundle`` and ``shallopd report``: orders and reports that people carry by hand."""

from __future__ import annotations

import dataclasses
import random
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import click
from shallop_protocol import desired, messages, terminal
from shallop_protocol.statuses import Activity, Error

from shallop_device import (
    __version__,
    applier,
    bundles,
    clock,
    contents,
    daemon,
    errors,
    files,
    inbox,
    logs,
    runner,
    settings,
    state,
    store,
    worker,
)
from shallop_device.cli import options
from shallop_device.door import client

SETTLE_S = 300.0
LOOK_EVERY_S = 0.2
REPORT_HINT = "to tell the cloud: shallopd report -o FILE, and carry it back"


@click.command("apply-bundle")
@click.argument("file", type=click.File("rb"), metavar="FILE")
@options.STATE
@options.CONFIG
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.0, min_open=True),
    default=SETTLE_S,
    show_default=True,
    help="Seconds to wait until it is in force.",
)
def apply_bundle(file: BinaryIO, state_dir: Path | None, config_file: Path | None, timeout: float) -> None:
    """Put into force what "shallop bundle" wrote, where no network goes.

    It is taken as if it had come through the broker: only signed, only for this robot, never something older. An agent
    that runs is handed it at its door. Ends with 1 if it is refused, or not in force.

    Example: shallopd apply-bundle amr-07.shallop-bundle
    """
    chosen = options.load(config_file, state_dir).settings
    logs.set_up("warning")
    if not chosen.state.is_dir():
        raise errors.not_enrolled(chosen.state)
    try:
        with state.locked(chosen.state):
            memory = store.Store.open(chosen.state)
            try:
                words, is_well = _apply(chosen, memory, file, timeout)
            finally:
                memory.close()
    except errors.InUse:
        words, is_well = _hand_over(chosen, file, timeout)
    click.echo(terminal.lines(words))
    click.echo(REPORT_HINT)
    if not is_well:
        sys.exit(1)


@click.command()
@click.option("-o", "--to", "out", type=click.File("wb"), default="-", help="Where to write it, instead of stdout.")
@options.STATE
@options.CONFIG
def report(out: BinaryIO, state_dir: Path | None, config_file: Path | None) -> None:
    """Write the newest report, for "shallop report" to take it to the cloud.

    Example: shallopd report -o amr-07.report.json
    """
    memory = store.Store.open_to_read(options.load(config_file, state_dir).settings.state)
    try:
        newest = memory.report
    finally:
        memory.close()
    if newest is None:
        raise errors.AgentError("there is no report yet: nothing was ordered, and the agent never ran")
    out.write(newest.body)


def _apply(chosen: settings.Settings, memory: store.Store, file: BinaryIO, timeout: float) -> tuple[str, bool]:
    """Takes a bundle, and works until what it orders is in force, or is not going to be; says so, and which."""
    known = memory.identity
    if known is None:
        raise errors.not_enrolled(chosen.state)
    who = daemon.identity_of(chosen, known)
    now = clock.SystemClock()
    library = contents.Library(chosen.state / contents.DIRECTORY)
    bundle = bundles.read(file, memory.trust(who.anchor), memory.memory, now.now())
    bundles.keep(file, bundle, library)
    items = inbox.Inbox()
    doing = runner.Runner(items, daemon.hooks_of(chosen, who.root))
    # The order says nothing of an answer of the cloud, which cannot be asked here.
    rules = dataclasses.replace(daemon.rules(chosen), confirm_s=None)
    hands = worker.Worker(
        who,
        memory,
        applier.Applier(files.RootedFiles(who.root), library),
        time=now,
        rng=random.SystemRandom(),
        agent=messages.Agent(version=__version__, started_at=messages.utc(now.now())),
        rules=rules,
        doing=doing,
        integrity=chosen.integrity.mode,
    )
    try:
        hands.start()
        if bundle.key_list is not None:
            hands.renew(bundle.key_list)
        hands.take(bundle.envelope)
        _settle(hands, memory, items, now, timeout)
    finally:
        doing.close()
    return _outcome(memory, hands, bundle)


def _hand_over(chosen: settings.Settings, file: BinaryIO, timeout: float) -> tuple[str, bool]:
    """Has the agent that runs take a bundle, and waits for what becomes of it; says so, and whether it is well."""
    memory = store.Store.open_to_read(chosen.state)
    try:
        who, known = memory.identity, memory.memory
        trusted = memory.trust(who.anchor) if who else None
    finally:
        memory.close()
    if trusted is None:
        raise errors.not_enrolled(chosen.state)
    bundle = bundles.read(file, trusted, known, clock.SystemClock().now())
    library = contents.Library(chosen.state / contents.DIRECTORY)
    bundles.keep(file, bundle, library)
    door = client.Client(chosen.door_path)
    if bundle.key_list is not None:
        door.key_list(bundle.key_list)
    door.order(bundle.envelope)
    # What the agent cleared away, because nothing wanted it before the order came, is put there again.
    bundles.keep(file, bundle, library)
    door.retry()
    deadline = time.monotonic() + timeout
    while True:
        words, is_well = _told(door.get("/v1/status"), bundle.order)
        if is_well is not None:
            return words, is_well
        if time.monotonic() >= deadline:
            return f"{words}; the agent goes on with it", False
        time.sleep(LOOK_EVERY_S)


def _told(status: Any, order: desired.Desired) -> tuple[str, bool | None]:
    """What the agent says of an order, and whether it is well; None while that is open."""
    entries = {each["id"]: each for each in status["report"]["deployments"]}
    if order.deployment is None:
        left = [each for each in entries.values() if each["activity"] != Activity.ARCHIVED.value]
        return ("not everything is taken off yet", None) if left else ("everything is taken off", True)
    name, entry = f"{order.deployment.id}, release {order.deployment.release},", entries.get(order.deployment.id)
    if entry is None:
        return f"{name} gave way to a newer order", False
    if entry["error"] == Error.FAILED.value:
        return f"{name} failed: {entry['reason']['message']}", False
    if entry["activity"] == Activity.DEPLOYED.value:
        return f"{name} is in force", True
    why = entry["reason"] or entry["waiting"]
    return f"{name} is not in force yet: {why['message'] if why else 'it takes longer'}", None


def _settle(hands: worker.Worker, memory: store.Store, items: inbox.Inbox, ticks: clock.Clock, timeout: float) -> None:
    """Gives the worker its turns until nothing is left to do, or the time is over."""
    deadline = ticks.monotonic() + timeout
    while True:
        hands.work()
        is_done = _is_done(memory) and not hands.passage.is_busy
        now = ticks.monotonic()
        wake_at = hands.wake_at
        if (is_done and (wake_at is None or wake_at > now)) or now >= deadline:
            return
        item = items.get(max(0.0, min(deadline, deadline if wake_at is None else wake_at) - now))
        if isinstance(item, inbox.Ended):
            hands.ended(item)


def _is_done(memory: store.Store) -> bool:
    """Whether what is ordered is in force or failed, and what is to come off did."""
    known = memory.memory
    wanted = known.wanted
    if wanted is None:
        return all(each.is_finished for each in known.holdings)
    return wanted.activity is Activity.DEPLOYED or wanted.error is Error.FAILED


def _outcome(memory: store.Store, hands: worker.Worker, bundle: bundles.Bundle) -> tuple[str, bool]:
    known = memory.memory
    if known.position != (bundle.order.epoch, bundle.order.generation):
        return "the order could not be written down; is the disk full?", False
    wanted = known.wanted
    if bundle.order.deployment is None or wanted is None:
        is_well = _is_done(memory)
        return (
            "everything is taken off" if is_well else "not everything is taken off yet; the agent goes on with it",
            is_well,
        )
    release = bundle.order.deployment.release
    if wanted.activity is Activity.DEPLOYED:
        return f"{wanted.id}, release {release}, is in force", True
    why = wanted.reason.message if wanted.reason else ""
    if wanted.error is Error.FAILED:
        return f"{wanted.id}, release {release}, failed: {why}", False
    waiting = hands.passage.waiting.get(wanted.id)
    why = why or (waiting.message if waiting else "it takes longer")
    return f"{wanted.id}, release {release}, is not in force yet: {why}; the agent goes on with it when it runs", False
