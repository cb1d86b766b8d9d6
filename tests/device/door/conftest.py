"""One agent behind an open door, for each test."""

from __future__ import annotations

from collections.abc import Generator

import door_world
import pytest


@pytest.fixture
def local() -> Generator[door_world.Local]:
    with door_world.local() as made:
        yield made
