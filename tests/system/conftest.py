"""A world for each test, on each kind of broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import system_world
from system_world import World


@pytest.fixture(params=["amqtt", pytest.param("mosquitto", marks=[pytest.mark.mosquitto, pytest.mark.slow])])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A broker and a cloud that run, without robots yet."""
    if request.param == "mosquitto" and system_world.find_mosquitto() is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    running = World(tmp_path, request.param)
    try:
        running.start()
        yield running
    finally:
        running.stop()
