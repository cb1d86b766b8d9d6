"""The tables of ``state.db``, as migrations; and how it is opened."""

from __future__ import annotations

import os
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import sqlite_utils

FILE = "state.db"

MIGRATIONS = sqlite_utils.Migrations("shallop_device")
_ONE: dict[str, Any] = {"id": 1}


@MIGRATIONS(name="m001_first")
def _first(db: sqlite_utils.Database) -> None:  # pyright: ignore[reportUnusedFunction]
    for name, columns in {
        "device": {"id": int, "incarnation": str, "connection": int},
        "enrolment": {"id": int, "server": str, "root": str, "token_digest": str, "secret": str, "answer": str},
        "accepted": {"id": int, "envelope": bytes, "envelope_digest": str, "payload": bytes},
        "refused": {"id": int, "body": str},
        "report": {"id": int, "seq": int, "body": bytes, "sent": int},
        "guard": {"id": int, "applying": int, "message_digest": str, "deaths": int},
        "event": {"id": int, "body": bytes},
    }.items():
        db.table(name).create(columns, pk="id", strict=True)
    db.table("holding").create(
        {
            "position": int,
            "id": str,
            "digest": str,
            "activity": str,
            "error": str,
            "attempts": int,
            "reason_code": str,
            "reason_message": str,
            "since": str,
        },
        pk="position",
        not_null=("id", "digest", "activity", "error", "attempts", "since"),
        strict=True,
    )
    db.table("device").insert({**_ONE, "incarnation": str(uuid.uuid4()), "connection": 0})
    db.table("guard").insert({**_ONE, "applying": 0, "message_digest": None, "deaths": 0})


@MIGRATIONS(name="m002_gates")
def _gates(db: sqlite_utils.Database) -> None:  # pyright: ignore[reportUnusedFunction]
    db.table("hold").create(
        {"name": str, "reason": str, "until": float, "at": str, "boot": str},
        pk="name",
        not_null=("reason", "until", "at", "boot"),
        strict=True,
    )
    db.table("guard").add_column("trial", str)
    db.table("guard").add_column("trials", int, not_null_default=0)
    db.table("guard").add_column("announced", str)


@MIGRATIONS(name="m003_trust")
def _trust(db: sqlite_utils.Database) -> None:  # pyright: ignore[reportUnusedFunction]
    db.table("key_list").create({"id": int, "envelope": bytes}, pk="id", not_null=("envelope",), strict=True)
    db.table("device").add_column("unproven_s", float, not_null_default=0.0)


@MIGRATIONS(name="m004_certificate")
def _certificate(db: sqlite_utils.Database) -> None:  # pyright: ignore[reportUnusedFunction]
    db.table("enrolment").add_column("key", str)


def connect(directory: Path, factory: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite_utils.Database:
    """The database in a state directory, made if it is not there, and brought up to date.

    Args:
        factory: makes the connection; another one for tests.

    Raises:
        OSError, sqlite3.Error: that did not succeed.
    """
    path = directory / FILE
    _make_file(path)
    db = sqlite_utils.Database(sqlite3.connect(path, factory=factory))
    db.enable_wal()
    db.conn.execute("pragma synchronous = full")
    db.conn.execute("pragma busy_timeout = 5000")
    MIGRATIONS.apply(db)
    return db


def _make_file(path: Path) -> None:
    """Makes directory (0700) and file (0600) if they are missing, and their names durable."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True)
        _sync(path.parent.parent)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
