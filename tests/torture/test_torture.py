"""The torture for about a minute on each broker; ``run.py`` takes as long as one likes.

A failure shows the seed, the command to run it again, and the lines of the history that prove it.
"""

from __future__ import annotations

import os
import random

import pytest
import system_world
from torture import runner


def _torture(settings: runner.Settings) -> None:
    verdict = runner.run(settings)
    print(f"{settings.replay}\n{verdict}")  # noqa: T201  pytest shows it when the test fails
    assert verdict.violations == []
    assert verdict.settled_within is not None
    assert sum(verdict.faults.values()) > 0
    assert verdict.operations["create", "ok"] > settings.robots


def _seed() -> int:
    return int(os.environ.get("SHALLOP_TEST_SEED", random.randrange(2**32)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broker", "seconds"), [("amqtt", 45), pytest.param("mosquitto", 60, marks=pytest.mark.mosquitto)]
)
def test_a_storm(broker: str, seconds: float) -> None:
    if broker == "mosquitto" and system_world.find_mosquitto() is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    _torture(runner.Settings(seconds=seconds, robots=4, broker=broker, seed=_seed()))
