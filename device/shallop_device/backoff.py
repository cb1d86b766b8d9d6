"""How long to wait before the next attempt: exponential, with full jitter.

Full jitter (a uniform choice between nothing and the ceiling) spreads a fleet that failed at one moment better than
a fixed wait with some noise. Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
"""

from __future__ import annotations

import dataclasses
import random

import tenacity


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """A schedule of waits.

    Attributes:
        first: ceiling of the wait after the first failure, in seconds; it doubles with each further one.
        cap: the highest ceiling, in seconds.
        least: what is added to every wait, in seconds.
    """

    first: float = 1.0
    cap: float = 300.0
    least: float = 0.0

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after this many failures in a row, which is at least 1."""
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = failures
        ceiling = tenacity.wait_exponential(multiplier=self.first, max=self.cap)(state)
        return self.least + rng.uniform(0.0, ceiling)


RETRY = Backoff()
"""For what is tried again on the robot itself."""
RECONNECT = Backoff()
"""For connecting to the broker."""
UNWELCOME = Backoff(first=60.0, cap=1800.0, least=60.0)
"""For connecting again after the broker refused the credential, or another client took the session over."""
