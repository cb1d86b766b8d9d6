"""The robot of which the power is cut: the real agent on a real file system, with a pipe for a broker.

It runs in a child that was forked from a process in which everything is loaded: a life costs no start of Python. What
it publishes comes out of one pipe, orders come in by another. Each message is a letter, a length and a body.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import json
import logging
import os
import random
import select
import signal
import struct
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from power import kernel
from shallop_device import agent, applier, backoff, errands, files, gates, inbox, state, store, testing, worker
from shallop_protocol import messages
from shallop_protocol.topics import Kind

OPENED, REPORT, RESTS, DIED = b"O", b"R", b"I", b"E"
HEADER = struct.Struct(">cI")
RESTS_FROM_S = 10.0
"""An agent that has nothing to do for so long rests: what is left is its heartbeat."""
RULES = gates.Rules(check=True, applied=True, health=gates.Health(window=5.0, interval=1.0, passes=2))
"""The gates of a robot that has any. Time passes when nothing else is to be done, so they cost none."""
REFUSED, UNWELL = "refused.yaml", "unwell.yaml"
"""With such a file in it, a deployment is refused by the hook ``check``, or does not pass ``health``."""
BACKOFF = backoff.Backoff(first=0.0005, cap=0.005)
_KEPT_LINES = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Berth:
    """Where a robot lives, what the cloud answers when it enrols, and its gates."""

    state: Path
    root: Path
    answer: bytes
    rules: gates.Rules


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class _Inbox(inbox.Inbox):
    """The agent's inbox, fed by a pipe. Where the agent would wait, its time passes at once. The inbox says when the
    agent has nothing more to do, and how many orders it heard."""

    def __init__(self, orders: int, told: int, log: _Log, time: testing.FakeClock, *, stops: bool) -> None:
        super().__init__()
        self._clock = time
        self._orders, self._told, self._log, self._stops = orders, told, log, stops
        self._waiting: collections.deque[inbox.Item] = collections.deque()
        self._heard = 0
        self._poll = select.poll()
        self._poll.register(orders, select.POLLIN)

    def put(self, item: inbox.Item) -> None:
        self._waiting.append(item)

    def get(self, timeout: float) -> inbox.Item | None:
        if self._waiting:
            return self._waiting.popleft()
        if not self._poll.poll(0):
            if timeout < RESTS_FROM_S:
                self._clock.sleep(timeout)
                return None
            tell(self._told, RESTS, json.dumps({"heard": self._heard, "log": list(self._log.lines)}).encode())
            self._log.lines.clear()
            if self._stops:
                os.kill(os.getpid(), signal.SIGSTOP)
            self._poll.poll()
        header = _read(self._orders, 4)
        if not header:
            return inbox.Stop()
        self._heard += 1
        return inbox.Ordered(_read(self._orders, int.from_bytes(header, "big")))


class _Hooks:
    """Hooks that end at once, and judge a deployment by the names of its files."""

    def __init__(self, items: _Inbox) -> None:
        self._items = items

    def begin(self, errand: errands.Errand) -> None:
        assert isinstance(errand, errands.RunHook)
        described = json.loads(errand.document)["deployment"] or {}
        paths = {each["path"] for each in described.get("files", ())}
        fails = (errand.hook, True) in {("check", REFUSED in paths), ("health", UNWELL in paths)}
        self._items.put(inbox.Ended(errand.number, int(fails), ""))

    def call_off(self) -> None:
        """Nothing is ever under way for long."""


class _Link:
    """A broker that is always there and acknowledges at once; whoever reads the pipe is the cloud."""

    def __init__(self, items: _Inbox, told: int) -> None:
        self._items, self._told = items, told
        self._connection = 0
        self._number = 0

    def open(self, connection: int) -> None:
        self._connection = connection
        self._items.put(inbox.Connected(connection))

    def publish(self, kind: Kind, payload: bytes) -> int | None:
        self._number += 1
        if kind is Kind.REPORT:
            tell(self._told, REPORT, payload)
        self._items.put(inbox.Acknowledged(self._connection, self._number))
        return self._number

    def close(self) -> None:
        self._connection = 0

    def is_alive(self) -> bool:
        return True


def live(berth: Berth, orders: int, told: int, *, stops: bool) -> NoReturn:
    """One life of the robot; never returns. With ``stops`` it stops before each change, and when it rests."""
    try:
        log = _Log()
        logging.basicConfig(handlers=[log], level=logging.WARNING, force=True)
        if stops:
            kernel.stop_before_changes()
            os.kill(os.getpid(), signal.SIGSTOP)
        _run(berth, orders, told, log, stops=stops)
    except BaseException:  # noqa: BLE001  whatever it died of, the parent is to know
        with contextlib.suppress(OSError):
            tell(told, DIED, traceback.format_exc().encode())
    os._exit(1)


def _run(berth: Berth, orders: int, told: int, log: _Log, *, stops: bool) -> None:
    time = testing.FakeClock()
    time.boots = os.getpid()
    items = _Inbox(orders, told, log, time, stops=stops)
    with state.locked(berth.state):
        memory = store.Store.open(berth.state)
        tell(told, OPENED, json.dumps(_opened(memory)).encode())
        if memory.identity is None:
            memory.begin_enrolment("http://127.0.0.1", berth.root, "token")
            memory.finish_enrolment(berth.answer)
        who = memory.identity
        assert who is not None
        berth.root.mkdir(mode=0o755, exist_ok=True)
        rng = random.Random(os.getpid())
        software = messages.Agent(version="0", started_at=messages.utc(time.now()))
        disk = applier.Applier(files.RootedFiles(berth.root))
        hands = worker.Worker(
            who,
            memory,
            disk,
            time=time,
            rng=rng,
            agent=software,
            retry=BACKOFF,
            rules=berth.rules,
            doing=_Hooks(items),
        )
        line = _Link(items, told)
        agent.Agent(who, memory, hands, line, time=time, rng=rng, reconnect=BACKOFF).run(items)


def _opened(memory: store.Store) -> dict[str, object]:
    epoch, generation = memory.memory.position
    return {
        "incarnation": memory.incarnation,
        "generation": generation if epoch else 0,
        "seq": memory.report.seq if memory.report else 0,
    }


def tell(pipe: int, letter: bytes, body: bytes) -> None:
    """Writes a message, whole."""
    data = HEADER.pack(letter, len(body)) + body
    while data:
        data = data[os.write(pipe, data) :]


def told_in(data: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Takes the whole messages out of what was read."""
    while len(data) >= HEADER.size:
        letter, length = HEADER.unpack_from(data)
        end = HEADER.size + length
        if len(data) < end:
            return
        yield letter, bytes(data[HEADER.size : end])
        del data[:end]


def _read(pipe: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = os.read(pipe, length - len(data))
        if not more:
            return b""
        data += more
    return data


def warm_up() -> None:
    """Lives once in this process, beside a temporary disk: what is loaded and made then need not be in any child."""
    with tempfile.TemporaryDirectory() as directory:
        robot = testing.Robot(Path(directory), testing.Shore())
        robot.boot()
        robot.take(robot.shore.order(robot.shore.manifest({"f": "1"})))
        robot.settle()
        robot.store.close()
    gc.collect()
    gc.freeze()
