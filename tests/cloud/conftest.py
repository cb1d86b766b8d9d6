"""A shore for each test, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_world import World
from postgres_world import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where an empty, migrated database is; None for SQLite in a directory."""
    if request.param == "sqlite":
        yield None
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def world(tmp_path: Path, database_url: str | None) -> Iterator[World]:
    """An empty shore."""
    running = World(tmp_path, database_url)
    yield running
    running.close()
