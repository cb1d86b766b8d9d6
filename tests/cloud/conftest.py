"""A shore for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty shore."""
    running = World(tmp_path)
    yield running
    running.close()
