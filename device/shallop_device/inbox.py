"""What happens to the agent, as values, and the queue in which it waits its turn."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import queue
import threading
from collections.abc import Callable
from typing import Literal, TypeVar, cast

from shallop_protocol.messages import Reason

T = TypeVar("T")
Trouble = Literal["network", "refused", "taken_over", "unsolicited"]

MAX_WAITING = 32
"""Items that wait, beyond which no message is taken."""
MAX_WAITING_BYTES = 4_194_304
"""Of messages that wait. Each may be as long as an envelope."""


@dataclasses.dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted this connection, and the agent is subscribed."""

    connection: int


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """This connection is over, or was never made.

    Attributes:
        trouble: whether the network was at fault, the broker refused the credential, another client that calls itself
            by this device's id took the session over, or the broker sent what it may not send.
    """

    connection: int
    why: str
    trouble: Trouble = "network"


@dataclasses.dataclass(frozen=True, slots=True)
class Ordered:
    """Bytes from the topic of this device's desired state."""

    payload: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Greeted:
    """Bytes from the topic of the cloud's hello."""

    payload: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered a publish. ``refusal`` is its reason not to take it (MQTT 5 only)."""

    connection: int
    number: int
    refusal: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Echoed:
    """Bytes from the topic of the cloud's echoes."""

    payload: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Keyed:
    """Bytes from the topic of the cloud's key list."""

    payload: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """An errand is over.

    Attributes:
        number: of the errand.
        code: the exit status of a hook; 0 for contents that were fetched; None if it did not come to that.
        output: what a hook said on its standard output and error, the end of it.
        trouble: why it did not come to that; it may later.
    """

    number: int
    code: int | None
    output: str = ""
    trouble: Reason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Touched:
    """Something below the configuration root was changed, perhaps by the agent itself.

    Attributes:
        is_inside: within the tree that is in sight, so that its files have to be read back. False: only which trees
            there are, or which one is in sight, and that is looked at in any case.
    """

    is_inside: bool = True


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Something to be done by the agent's thread for another one, which waits for ``answer``."""

    act: Callable[[], object]
    answer: concurrent.futures.Future[object]


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """The agent is to end."""


Message = Ordered | Greeted | Echoed | Keyed
Item = Connected | Lost | Message | Acknowledged | Ended | Touched | Call | Stop


class Inbox:
    """A queue that any thread, and a signal handler, may put into: SimpleQueue.put is reentrant."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0

    def put(self, item: Item) -> None:
        """Adds what must not be lost, and is little."""
        self._queue.put(item)

    def offer(self, item: Message) -> bool:
        """Adds a message unless too many wait. False: the caller drops the connection, so that the broker sends the
        retained message again later."""
        with self._lock:
            if self._queue.qsize() >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
                return False
            self._waiting_bytes += len(item.payload)
        self._queue.put(item)
        return True

    def call(self, act: Callable[[], T], timeout: float) -> T:
        """Has something done by the agent's thread, and gives what it gives, or raises what it raises.

        Raises:
            TimeoutError: it was not done within so many seconds. It may be done yet.
        """
        answer: concurrent.futures.Future[object] = concurrent.futures.Future()
        self._queue.put(Call(act, answer))
        try:
            return cast("T", answer.result(timeout))
        except concurrent.futures.TimeoutError:  # its own class before Python 3.11
            raise TimeoutError(f"the agent did not come to it within {timeout:g} s") from None

    def get(self, timeout: float) -> Item | None:
        """The next item; None if there is none within ``timeout`` seconds."""
        try:
            item = self._queue.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(item, Message):
            with self._lock:
                self._waiting_bytes -= len(item.payload)
        return item
