"""Whether this device has what the cloud wants it to have, as far as that can be proven without a clock.

The report asks, by a nonce; the cloud's signed echo answers, and names its newest order and key list. A broker can hold
messages back, or give old ones, but it cannot make an echo. What an echo proves was so at the latest when the question
was asked, so that is the moment that counts, however long the echo was on its way. A device that cannot prove it for
too long says that it is stale. It changes nothing else by that: absence is not a command.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import random
from typing import Literal

from shallop_protocol import device
from shallop_protocol.echo import Echo
from shallop_protocol.messages import Reason

from shallop_device import backoff, clock, errors, store

HEARTBEATS = 2.5
"""So many heartbeats without a proof make a device stale, unless its settings say otherwise."""
STALE_AFTER_S = HEARTBEATS * 21_600.0
WITHHELD_S = 900.0
"""So long an order that an echo names may take to come. The cloud sends it again every five minutes."""
NOTED_S = 3600.0
"""So often it is written down for how long nothing was proven: a robot that is switched off every night adds it up."""
ASK_AGAIN_S = 60.0
"""A question that was not answered, or not by a proof, is asked again after so long, then after ever longer."""
_OPEN_QUESTIONS = 4
_NONCE_BYTES = 18


logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Withheld:
    """Echoes in a row that named something newer: when the first and the last of them were asked for, and what the last
    one named."""

    first: float
    last: float
    words: str


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """When a device is stale.

    Attributes:
        stale_after: seconds of running without a proof.
        ask_every: seconds after a proof until the next one is asked for.
    """

    stale_after: float = STALE_AFTER_S
    ask_every: float = STALE_AFTER_S / HEARTBEATS


STANDARD = Limits()


class Freshness:
    """One device's. Only the monotonic clock counts, and only time in which the agent runs."""

    def __init__(self, memory: store.Store, limits: Limits, time: clock.Clock, rng: random.Random) -> None:
        self._store = memory
        self._limits = limits
        self._waits = backoff.Backoff(first=ASK_AGAIN_S, cap=limits.ask_every, least=ASK_AGAIN_S)
        self._clock = time
        self._rng = rng
        self._proven_at = time.monotonic() - memory.unproven_s
        self._noted_at = time.monotonic()
        self._is_proven = False
        self._open: dict[str, float] = {}
        self._again_at: float | None = None
        self._asked = 0
        self._withheld: _Withheld | None = None
        self._is_stale = self.reason is not None

    @property
    def reason(self) -> Reason | None:
        """Why this device is stale; None if it is not."""
        withheld, unproven = self._withheld, self._clock.monotonic() - self._proven_at
        if withheld is not None and withheld.last - withheld.first >= WITHHELD_S:
            words = f"the cloud says that {withheld.words}, and it does not come: somebody on the way may hold it back"
            return Reason.of("withheld", words)
        if unproven < self._limits.stale_after:
            return None
        words = f"for {unproven / 3600:.1f} hours the cloud has not answered whether this robot has its newest order"
        return Reason.of("unanswered", words)

    @property
    def is_stale(self) -> bool:
        """Whether the report says so."""
        return self._is_stale

    @property
    def proven_s_ago(self) -> float | None:
        """Seconds since the newest proof; None if there was none since the agent started."""
        return self._clock.monotonic() - self._proven_at if self._is_proven else None

    @property
    def nonce(self) -> str | None:
        """What is asked and was not answered."""
        return next(reversed(self._open), None)

    @property
    def is_behind(self) -> bool:
        """Whether the last echo named something newer than there is here."""
        return self._withheld is not None

    @property
    def ask_at(self) -> float:
        """The monotonic moment at which to ask, if a connection stands then."""
        return self._proven_at + self._limits.ask_every if self._again_at is None else self._again_at

    @property
    def look_at(self) -> float:
        """The monotonic moment at which to ``look`` next."""
        noted = self._noted_at + NOTED_S
        return noted if self._is_stale else min(noted, self._proven_at + self._limits.stale_after)

    def ask(self) -> None:
        """Asks anew. The next report has the question."""
        self._asked += 1
        self._again_at = self._clock.monotonic() + self._waits.delay(self._asked, self._rng)
        self.asked(base64.urlsafe_b64encode(self._rng.randbytes(_NONCE_BYTES)).decode())

    def asked(self, nonce: str) -> None:
        """This is asked, by a report that is about to be written."""
        if nonce not in self._open:
            self._open[nonce] = self._clock.monotonic()
            while len(self._open) > _OPEN_QUESTIONS:
                del self._open[next(iter(self._open))]

    def hear(self, echo: Echo, memory: device.Memory, keys: int) -> None:
        """Takes a verified echo.

        Args:
            keys: the version of the key list that counts here.
        """
        asked_at = self._open.pop(echo.nonce, None)
        if asked_at is None:
            return
        if words := _newer(echo, memory, keys):
            first = self._withheld.first if self._withheld else asked_at
            self._withheld = _Withheld(first, asked_at, words)
            return
        self._proven_at = max(self._proven_at, asked_at)
        self._is_proven = True
        self._open.clear()
        self._asked, self._again_at, self._withheld = 0, None, None

    def look(self) -> Literal["stale", "fresh_again"] | None:
        """What changed since the last look."""
        if self._clock.monotonic() >= self._noted_at + NOTED_S:
            self.note()
        is_stale = self.reason is not None
        if is_stale is self._is_stale:
            return None
        self._is_stale = is_stale
        return "stale" if is_stale else "fresh_again"

    def note(self) -> None:
        """Writes down for how long nothing was proven. If that cannot be, it is less after the next start."""
        self._noted_at = self._clock.monotonic()
        try:
            self._store.note_unproven(self._noted_at - self._proven_at)
        except errors.HeldUp as error:
            logger.debug("how long nothing was proven is not written down: %s", error)


def _newer(echo: Echo, memory: device.Memory, keys: int) -> str | None:
    """What an echo names that is not here. An order that was refused is."""
    if echo.keys > keys:
        return f"key list {echo.keys} is its newest, not {keys}"
    refused = memory.refused.generation if memory.refused else None
    named = (echo.epoch, echo.generation)
    if echo.generation == 0 or named <= memory.position or echo.generation == refused:
        return None
    epoch, generation = memory.position
    return f"order {echo.epoch}/{echo.generation} is its newest, not {epoch}/{generation}"
