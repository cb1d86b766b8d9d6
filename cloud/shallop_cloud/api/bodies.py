"""Bounds of what is on its way in: how slowly it may come, and how much of it is kept at once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Generator

from starlette.types import Message, Receive, Scope

from shallop_cloud import errors

GRACE_S = 30.0
"""Seconds that any body may take."""
RATE = 8_192
"""Bytes a second on which the time allowed grows: what comes faster may go on for as long as it takes."""
MOST_OF_ONE = 67_108_864
"""Bytes of bodies that are kept for one address at once."""
MOST_OF_ALL = 268_435_456
"""And for all of them."""


def paced(receive: Receive) -> Receive:
    """The same messages, as long as the body comes at the rate that it must have.

    The values raise ``errors.Problem`` 408 ``request_slow``.
    """
    started = time.monotonic()
    size = 0
    has_ended = False

    async def next_message() -> Message:
        nonlocal size, has_ended
        if has_ended:
            return await receive()
        left = started + GRACE_S + size / RATE - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0.0)):
                message = await receive()
        except TimeoutError:
            words = f"the request came too slowly: {size} bytes of its body in {time.monotonic() - started:.0f} s"
            raise errors.Problem(408, "request_slow", f"{words}; send it again over a better line") from None
        size += len(message.get("body", b""))
        has_ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return next_message


class Load:
    """The bodies that are kept now, of all requests; on the event loop that serves them."""

    def __init__(self) -> None:
        self._of: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def share(self, scope: Scope) -> Generator[Share]:
        """The share of one request, given back when the block ends."""
        client = scope.get("client")
        share = Share(self._of, client[0] if client else "")
        try:
            yield share
        finally:
            share.give_back()


class Share:
    """What is kept of one body."""

    def __init__(self, of: collections.Counter[str], address: str) -> None:
        self._of = of
        self._address = address
        self._size = 0

    def add(self, size: int) -> None:
        """So many bytes more are to be kept.

        Raises:
            errors.Problem: 503 ``bodies_busy`` if there are too many already.
        """
        if self._of[self._address] + size > MOST_OF_ONE or self._of.total() + size > MOST_OF_ALL:
            words = "too many large requests are on their way at once; send it again in a moment"
            raise errors.Problem(503, "bodies_busy", words)
        self._of[self._address] += size
        self._size += size

    def give_back(self) -> None:
        """Nothing is kept any more."""
        self._of[self._address] -= self._size
        self._size = 0
        if not self._of[self._address]:
            del self._of[self._address]
