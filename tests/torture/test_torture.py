"""The torture, for a short while in every run of the tests and longer where time is; ``run.py`` takes as long as one
likes. A failure shows the seed, the command to run it again, and the lines of the history that prove it.
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


def test_a_short_storm() -> None:
    """Without the deaths of cloud and broker, whose coming back takes most of the time; with one seed for everybody."""
    kinds = [kind for kind in runner.KINDS if kind not in ("kill-cloud", "kill-broker", "wipe-broker")]
    _torture(runner.Settings(seconds=3, robots=2, broker="amqtt", seed=7, kinds=kinds, gap=0.2, quiet=0.5))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broker", "seconds"), [("amqtt", 45), pytest.param("mosquitto", 60, marks=pytest.mark.mosquitto)]
)
def test_a_long_storm(broker: str, seconds: float) -> None:
    if broker == "mosquitto" and system_world.find_mosquitto() is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    _torture(runner.Settings(seconds=seconds, robots=4, broker=broker, seed=_seed()))
