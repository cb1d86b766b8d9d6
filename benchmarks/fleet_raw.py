"""The least that a broker can be asked: as many messages of the same size out and back between minimal clients.

As many retained messages of the size of an order go out from one client to the same subscriptions, and each is
answered by a retained message of the size of a report, which the first client receives. Nothing is signed, looked at,
decided or kept. Those who answer are a process of their own, as robots are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import queue
import secrets
import time
from multiprocessing.queues import Queue

from shallop_cloud.bench.simulated.fleet import SHARED
from shallop_cloud.bench.simulated.line import Line, Login

WINDOW = 4_000
"""Messages that are out without an acknowledgement, at most."""
READY_WITHIN_S = 60.0
DONE_WITHIN_S = 600.0
ROOT = "shallop/v1"


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What is sent, and under which account; its name and those of its clients begin with ``cloud``."""

    port: int
    username: str
    password: str = dataclasses.field(repr=False)
    count: int
    order_bytes: int
    report_bytes: int
    run: str = ""
    """Keeps what one run left on the broker out of the next."""

    def login(self) -> Login:
        """As whom one client connects."""
        return Login(f"cloud-raw-{secrets.token_hex(6)}", self.username, self.password)

    def topics(self, part: int) -> list[bytes]:
        """The subscriptions of one of the connections that answer."""
        return [self.topic(number) for number in range(part, self.count, SHARED)]

    def topic(self, number: int) -> bytes:
        """Where one order goes."""
        return f"{ROOT}/raw-{self.run}-{number}/desired".encode()

    @property
    def answer(self) -> bytes:
        """The last segment of the topics of the answers, in the place of ``desired``."""
        return f"raw-{self.run}".encode()


class RawError(Exception):
    """The messages did not all come back."""


def seconds(load: Load) -> float:
    """How long it takes until every message is answered.

    Raises:
        RawError: it does not come to an end.
    """
    load = dataclasses.replace(load, run=secrets.token_hex(4))  # what an earlier run left on the broker is no answer
    context = multiprocessing.get_context("spawn")
    ready: Queue[bool] = context.Queue()
    answering = context.Process(target=_answer, args=(load, ready), daemon=True)
    answering.start()
    try:
        ready.get(timeout=READY_WITHIN_S)
        return asyncio.run(_ask(load))
    except (queue.Empty, TimeoutError):
        raise RawError(f"{load.count} messages did not all come back") from None
    finally:
        answering.kill()
        answering.join()


class _Asker:
    def __init__(self, load: Load, loop: asyncio.AbstractEventLoop) -> None:
        self._load = load
        self._order = bytes(load.order_bytes)
        self._sent = self._out = 0
        self._back: set[bytes] = set()
        self.began = 0.0
        self.up_event = asyncio.Event()
        self.done: asyncio.Future[float] = loop.create_future()

    def up(self, line: Line) -> None:
        line.subscribe([f"{ROOT}/+/".encode() + self._load.answer])
        self.up_event.set()

    def heard(self, line: Line, topic: bytes, payload: bytes) -> None:  # noqa: ARG002
        self._back.add(topic)
        if len(self._back) == self._load.count and not self.done.done():
            self.done.set_result(time.perf_counter() - self.began)

    def answered(self, line: Line, sender: object, *, acknowledged: bool) -> None:  # noqa: ARG002
        self._out -= 1
        self.send(line)

    def lost(self, line: Line, why: str, *, refused: bool) -> None:  # noqa: ARG002
        if not self.done.done():
            self.done.set_exception(RawError(f"the connection was lost: {why}"))

    def send(self, line: Line) -> None:
        while self._out < WINDOW and self._sent < self._load.count:
            topic = self._load.topic(self._sent)
            self._sent += 1
            self._out += 1
            line.publish(topic, self._order, retain=True, sender=None)


async def _ask(load: Load) -> float:
    loop = asyncio.get_running_loop()
    asker = _Asker(load, loop)
    line = Line(load.login(), asker, loop)
    await line.open("127.0.0.1", load.port)
    await asyncio.wait_for(asker.up_event.wait(), READY_WITHIN_S)
    asker.began = time.perf_counter()
    asker.send(line)
    took = await asyncio.wait_for(asker.done, DONE_WITHIN_S)
    line.close()
    return took


class _Answerer:
    def __init__(self, load: Load, part: int, up: asyncio.Event) -> None:
        self._topics = load.topics(part)
        self._suffix = load.answer
        self._report = bytes(load.report_bytes)
        self._up = up

    def up(self, line: Line) -> None:
        line.subscribe(self._topics)
        line.publish(f"{ROOT}/raw-{self._suffix.decode()}/ready".encode(), b"", retain=False, sender=self._up)

    def heard(self, line: Line, topic: bytes, payload: bytes) -> None:  # noqa: ARG002
        line.publish(topic[: -len(b"desired")] + self._suffix, self._report, retain=True, sender=None)

    def answered(self, line: Line, sender: object, *, acknowledged: bool) -> None:  # noqa: ARG002
        if isinstance(sender, asyncio.Event):
            sender.set()  # a broker works through what one client sends in order: its subscriptions stand

    def lost(self, line: Line, why: str, *, refused: bool) -> None:
        """The other side notices that nothing comes."""


def _answer(load: Load, ready: Queue[bool]) -> None:
    asyncio.run(_answer_until_killed(load, ready))


async def _answer_until_killed(load: Load, ready: Queue[bool]) -> None:
    loop = asyncio.get_running_loop()
    stand: list[asyncio.Event] = []
    for part in range(SHARED):
        stand.append(asyncio.Event())
        await Line(load.login(), _Answerer(load, part, stand[-1]), loop).open("127.0.0.1", load.port)
    for event in stand:
        await asyncio.wait_for(event.wait(), READY_WITHIN_S)
    ready.put(True)
    await asyncio.Event().wait()
