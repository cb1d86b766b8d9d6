"""What happens to the agent, as values, and the queue in which it waits its turn."""

from __future__ import annotations

import dataclasses
import queue
from typing import Literal

MAX_WAITING = 32
"""Messages that wait. Each may be as long as an envelope, so this bounds memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted this connection, and the agent is subscribed."""

    connection: int


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """This connection is over, or was never made.

    Attributes:
        trouble: whether the network was at fault, the broker refused the credential, or another client that calls
            itself by this device's id took the session over.
    """

    connection: int
    why: str
    trouble: Literal["network", "refused", "taken_over"] = "network"


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
class Stop:
    """The agent is to end."""


Item = Connected | Lost | Ordered | Greeted | Acknowledged | Stop


class Inbox:
    """A queue that any thread, and a signal handler, may put into: SimpleQueue.put is reentrant."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def put(self, item: Item) -> None:
        """Adds what must not be lost, and is little."""
        self._queue.put(item)

    def offer(self, item: Item) -> bool:
        """Adds a message unless too many wait. False: the caller drops the connection, so that the broker sends the
        retained message again later."""
        if self._queue.qsize() >= MAX_WAITING:
            return False
        self._queue.put(item)
        return True

    def get(self, timeout: float) -> Item | None:
        """The next item; None if there is none within ``timeout`` seconds."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None
