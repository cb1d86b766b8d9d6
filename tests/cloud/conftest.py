"""A shore for each test, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_world import World
from postgres_world import Server

ON_SQLITE_FIRST = frozenset(
    f"test_{name}"
    for name in (
        "batches",
        "certificates",
        "revocation",
        "devices",
        "api",
        "api_events",
        "api_tokens",
        "patches",
        "release_slots",
        "review",
        "rollback",
        "slots",
        "staging",
        "waiting",
        "why",
    )
)
"""Modules whose subject is not the database: what they ask of PostgreSQL is asked by others, too, and takes long."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.module.__name__.rpartition(".")[2] in ON_SQLITE_FIRST:
            called = getattr(item, "callspec", None)
            if called is not None and called.params.get("database_url") == "postgresql":
                item.add_marker(pytest.mark.slow)


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
