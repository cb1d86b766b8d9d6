"""The cloud without a broker, for tests: the real store, services and API on a temporary directory."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import tempfile
from collections.abc import Generator
from pathlib import Path

import fastapi
from shallop_protocol import dsse
from shallop_protocol.topics import Topics

from shallop_cloud import files
from shallop_cloud.api.app import create_app
from shallop_cloud.credentials import Credentials
from shallop_cloud.keyring import SIGNING_KEY, Keyring
from shallop_cloud.link.link import Standing
from shallop_cloud.services.shore import BrokerAddress, Limits, Shore
from shallop_cloud.store import tokens
from shallop_cloud.store.database import Database

TOKEN = "shallop-admin-of-a-test"  # noqa: S105  opens nothing
SEED = bytes(range(32))
SIGNER = dsse.signer_from_seed(SEED)
"""The key that signs at first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ashore:
    """A shore, its API, and how often the link was told that something new is desired."""

    shore: Shore
    app: fastapi.FastAPI
    ordered: list[None]


@contextlib.contextmanager
def shore(directory: Path, limits: Limits | None = None, url: str | None = None) -> Generator[Ashore]:
    """A shore with an empty store in ``directory``, or with the PostgreSQL database at ``url``."""
    files.secret(directory / SIGNING_KEY, SEED.hex)
    database = Database.at(url) if url else _new(directory)
    ordered: list[None] = []
    try:
        with database.write() as connection:
            tokens.ensure(connection, "TOK-0000000000000000", "admin", TOKEN, datetime.datetime.now(datetime.UTC))
        made = Shore(
            database=database,
            keyring=Keyring(directory, database),
            credentials=Credentials(directory, database),
            broker=BrokerAddress("mqtt://127.0.0.1:1883"),
            topics=Topics(),
            ordered=lambda: ordered.append(None),
            limits=limits or Limits(),
        )
        yield Ashore(made, create_app(made, lambda: Standing(holds=True, connected=True)), ordered)
    finally:
        database.close()


def _new(directory: Path) -> Database:
    file = directory / files.DATABASE
    if not file.exists():
        file.write_bytes(_empty())
    return Database.in_directory(directory)


@functools.cache
def _empty() -> bytes:
    """A SQLite database with all tables and nothing in them: migrated once, and copied for each test."""
    with tempfile.TemporaryDirectory() as directory:
        Database.in_directory(Path(directory)).close()
        return (Path(directory) / files.DATABASE).read_bytes()
