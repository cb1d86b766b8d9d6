"""One run: a system, operators, readers and a nemesis for so many seconds, then peace, and a verdict."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from shallop_device import agent
from system_world import wait
from torture import operators, readers, reading, torture_world
from torture.checker import RULES, Violation, check
from torture.history import ANY, History, Log
from torture.nemeses import GAP_S, KINDS, Nemesis
from torture.torture_world import TortureWorld

SETTLED_WITHIN_S = 90.0
"""The bound for everything to agree after the last fault: the cloud waits up to 30 s before it connects again, and a
connection that hangs is noticed after 45 s."""
SHOWN = 5
"""So many violations of a rule are printed."""
ECHO_S = agent.HELLO_GAP_CAP_S + 1.0
ECHOES_WITHIN_S = 60.0
"""How long after that something may still be on its way: the rest of what was queued, wills that come late, and the
answer to the last of many hellos, which a robot puts off. It is over when nothing passed for ``ECHO_S``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What to run.

    Attributes:
        seconds: how long there are operators and faults.
        kinds: the kinds of faults; by default all.
        gap: seconds between faults, on average.
        quiet: for how many seconds nobody may say anything, at the end.
        keep: where the history and the logs stay; None for nowhere.
    """

    seconds: float
    robots: int
    broker: str
    seed: int
    kinds: Sequence[str] = tuple(KINDS)
    operators: int = 3
    readers: int = 2
    gap: float = GAP_S
    quiet: float = 3.0
    keep: Path | None = None

    @property
    def replay(self) -> str:
        """The command that runs the same again; the moments will be others."""
        words = ["uv run python tests/torture/run.py", f"--seconds {self.seconds:g}", f"--robots {self.robots}"]
        words += [f"--broker {self.broker}", f"--seed {self.seed}"]
        if tuple(self.kinds) != tuple(KINDS):
            words.append(f"--nemesis {','.join(self.kinds)}")
        return " ".join(words)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run."""

    settings: Settings
    operations: Mapping[tuple[str, str], int]
    faults: Mapping[str, int]
    lines: Mapping[str, int]
    settled_within: float | None
    violations: Sequence[Violation]

    def __str__(self) -> str:
        done = [f"{act} {outcome} {count}" for (act, outcome), count in sorted(self.operations.items())]
        settled = "never" if self.settled_within is None else f"after {self.settled_within:.1f} s"
        text = [
            f"operations  {', '.join(done)}",
            f"faults      {', '.join(f'{kind} {count}' for kind, count in sorted(self.faults.items())) or 'none'}",
            f"history     {', '.join(f'{kind} {count}' for kind, count in sorted(self.lines.items()))}",
            f"settled     {settled}",
            f"rules       {len(RULES)}: {', '.join(RULES)}",
        ]
        for rule in RULES:
            found = [each for each in self.violations if each.rule == rule]
            text += [str(each) for each in found[:SHOWN]]
            text += [f"{rule}: {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        return "\n".join(text)


def run(settings: Settings) -> Verdict:
    """Does all of it.

    Raises:
        AssertionError: the system did not even start, or the nemesis or the tap failed.
    """
    with torture_world.directory(settings.keep) as directory:
        path = directory / "history.jsonl"
        log = Log(path)
        try:
            faults = _run(settings, directory, log)
        finally:
            log.close()
        history = History.read(path)
        violations = check(history)
    settled = history.of("settled")
    return Verdict(
        settings,
        collections.Counter((each.act, each.outcome) for each in history.operations),
        faults,
        collections.Counter(line["kind"] for line in history.lines),
        settled[0]["within"] if settled else None,
        violations,
    )


def _run(settings: Settings, directory: Path, log: Log) -> Mapping[str, int]:
    dice = random.Random(settings.seed)
    seeds = [random.Random(dice.random()) for _ in range(2 + settings.operators + settings.readers)]
    world = TortureWorld(directory, settings.broker, log, seeds[0])
    names = [f"amr-{number}" for number in range(1, settings.robots + 1)]
    board = operators.Board(names)
    try:
        world.start()
        world.join(names)
        nemesis = Nemesis(world, settings.kinds, log, seeds[1], lambda: board.made, settings.gap)
        people = [
            operators.Operator(f"operator-{number}", world.url, world.token, board, names, log, rng)
            for number, rng in enumerate(seeds[2 : 2 + settings.operators], 1)
        ]
        watchers = [
            readers.Reader(f"reader-{number}", world.url, world.token, names, log, rng)
            for number, rng in enumerate(seeds[2 + settings.operators :], 1)
        ]
        with _at_work(watchers):
            with _at_work([*people, nemesis]):
                time.sleep(settings.seconds)  # the storm
            assert nemesis.error is None, nemesis.error
            _last_wishes(world, board, log, dice, amnesia="wipe-broker" in settings.kinds)
            _settle(world, log)
        _listen(world, log, settings.quiet)
        for name in names:
            _look_back(world, name, log)
        verdict = world.api("GET", "/v1/history:verify").json()
        log.write("verified", whole=verdict["whole"], entries=verdict["entries"], reason=verdict["reason"])
        assert world.tap.unreadable == [], world.tap.unreadable
        return nemesis.counts
    finally:
        world.stop()


@contextlib.contextmanager
def _at_work(threads: Sequence[Any]) -> Iterator[None]:
    """Threads that run while the block lasts."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stop.set()
        for thread in threads:
            thread.join()


def _last_wishes(world: TortureWorld, board: operators.Board, log: Log, rng: random.Random, *, amnesia: bool) -> None:
    """After the storm every second robot is ordered one more deployment, which has to arrive. The others have to arrive
    at what they were ordered before. With amnesia, they are ordered one more as well: they are offline then, and before
    they are back the broker forgets it.
    """
    names = list(world.tortured)
    for name in names:
        _take_back(world, board, log, name)
    if amnesia:
        late = [world.tortured[name].wire_id for name in names[1::2]]
        topics = [world.tap.topic(wire_id) for wire_id in late]
        before = {topic: world.tap.envelopes.get(topic) for topic in topics}
        world.network.offline(*late)
        for name in names[1::2]:
            _wish(world, board, log, name, rng)
        sent = world.tap.envelopes
        wait("the last orders left", lambda: all(sent.get(topic) != before[topic] for topic in topics))
        world.wipe_broker()
        world.start_broker()
        world.network.heal()
        log.write("healed", at=log.now())
    for name in names[::2]:
        _wish(world, board, log, name, rng)


def _take_back(world: TortureWorld, board: operators.Board, log: Log, name: str) -> None:
    """Has the device in service, and does not give up."""
    headers = {"Authorization": f"Bearer {world.token}"}
    end = time.monotonic() + SETTLED_WITHIN_S
    with httpx.Client(base_url=world.url, headers=headers, timeout=10) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"/v1/devices/{name}").json()["archived_at"] is None:
                    return
                operators.take_back(client, board, log, "operator-0", name)
            assert time.monotonic() < end, "the cloud does not take devices back any more"
            time.sleep(0.1)


def _wish(world: TortureWorld, board: operators.Board, log: Log, name: str, rng: random.Random) -> None:
    """Orders a deployment, and does not give up."""
    headers = {"Authorization": f"Bearer {world.token}"}
    end = time.monotonic() + SETTLED_WITHIN_S
    with httpx.Client(base_url=world.url, headers=headers, timeout=10) as client:
        while operators.create(client, board, log, "operator-0", name, ANY, False, rng) is None:
            assert time.monotonic() < end, "the cloud does not take orders any more"
            time.sleep(0.1)


def _settle(world: TortureWorld, log: Log) -> None:
    """Waits until everything agrees, or the bound is over; which of both is a matter of the history."""
    start = time.monotonic()
    why = ""
    while time.monotonic() - start < SETTLED_WITHIN_S:
        try:
            why = _unsettled(world)
        except (httpx.HTTPError, AssertionError, KeyError, OSError) as error:
            why = repr(error)
        if not why:
            log.write("settled", within=round(time.monotonic() - start, 3), why=None)
            return
        time.sleep(0.1)
    log.write("settled", within=None, why=why)


def _unsettled(world: TortureWorld) -> str:
    """What does not agree yet."""
    here = world.network.clients()
    if not any(client.startswith("cloud-") for client in here):
        return "the cloud is not connected"
    going_by = world.api("GET", "/v1/keys").json()["devices"]
    if going_by["older"] or going_by["newer"] or going_by["unknown"]:
        return f"robots go by other key lists than the newest: {going_by}"
    for name, robot in world.tortured.items():
        device = world.api("GET", f"/v1/devices/{name}").json()
        if robot.wire_id not in here:
            return f"{name} is not connected"
        if not device["in_sync"] or device["fallback"] or not device["online"]:
            return f"{name} is not in sync"
        page = world.api("GET", "/v1/deployments", params={"device": name, "limit": 100}).json()["data"]
        for row in page:
            if row["id"] == device["current"]:
                if row["status"] != "deployed":
                    return f"{row['id']}, which is current, is {row['status']}"
            elif row["activity_status"] not in ("staged", "drifted", "archived"):
                return f"{row['id']}, which is not current, is {row['status']}"
        if len(robot.trees) > 1:
            return f"{name} holds more than one tree"
    return ""


def _listen(world: TortureWorld, log: Log, seconds: float) -> None:
    """Counts what passes in a while in which nobody wants anything."""
    heard, since, end = world.tap.messages, time.monotonic(), time.monotonic() + ECHOES_WITHIN_S
    while time.monotonic() < min(since + ECHO_S, end):
        if world.tap.messages != heard:
            heard, since = world.tap.messages, time.monotonic()
        time.sleep(0.05)
    before, begin = world.tap.messages, log.now()
    time.sleep(seconds)
    log.write("quiet", begin=begin, end=log.now(), messages=world.tap.messages - before)


def _look_back(world: TortureWorld, name: str, log: Log) -> None:
    """Writes down all that is known of a robot."""
    robot = world.tortured[name]
    begin = log.now()
    document = world.api("GET", f"/v1/devices/{name}").json()
    rows = [{"id": each["id"], **readers.row(each)} for each in world.pages("/v1/deployments", device=name)]
    recorded = list(world.pages(f"/v1/devices/{name}/history"))
    retired = {(each["at"], each["actor"]) for each in recorded if each["action"] == "device_archived"}
    entries = [_entry(each, retired) for each in recorded if each["deployment_id"]]
    found = reading.look(robot.robot.root)
    log.write(
        "final",
        device=name,
        begin=begin,
        end=log.now(),
        document={key: document[key] for key in ("current", "fallback", "generation", "in_sync", "online")},
        rows=rows,
        entries=entries,
        trees=robot.trees,
        digest=found.digest if found else None,
    )


def _entry(shown: Mapping[str, Any], retired: Collection[tuple[str, str]]) -> dict[str, Any]:
    """What a history keeps of a recorded change; ``retired`` is when the device was archived, and by whom."""
    return {
        "at": shown["at"],
        "actor": shown["actor"],
        "retired": (shown["at"], shown["actor"]) in retired,
        "deployment": shown["deployment_id"],
        "before": _statuses(shown["before"]),
        "after": _statuses(shown["after"]),
    }


def _statuses(shown: Mapping[str, Any] | None) -> dict[str, str] | None:
    if not shown:
        return None
    return {short: shown[f"{short}_status"] for short in ("target", "activity", "error")}
