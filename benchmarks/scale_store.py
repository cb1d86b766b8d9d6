"""Fills an empty store as a fleet would have left it after a few hundred days, with rows that the database accepts.

Every device has had ``EACH`` deployments: most are archived, one is in force, and on some one waits, is on its way, or
failed. What is rare is as rare as on a real fleet: ``RARE`` devices are held up or have the label ``pilot``, whatever
the size of the fleet; so a list of them is a needle in the larger haystack.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_cloud import passwords
from shallop_cloud.store import devices as recorded
from shallop_cloud.store import history, prepared, tables
from shallop_cloud.store.database import Database
from shallop_protocol import digests, ids

EACH = 10
"""Deployments of each device, the newest included."""
SITES, MODELS = 50, 4
RARE = 5
_VERSIONS = [f"1.{number}.0" for number in range(EACH + 1)]
_CONTENTS = 1_000
_CHUNK = 10_000
_LATELY = 0.05
"""The share of the devices whose deployments have their history."""
_DAY = datetime.timedelta(days=1)

Row = dict[str, Any]  # Any: what a column holds


@dataclasses.dataclass(frozen=True)
class Filled:
    """What was filled in, with some of it to ask for."""

    devices: int
    deployments: int
    entries: int
    names: Sequence[str]
    staged: Sequence[str]
    release: str


def fill(database: Database, count: int) -> Filled:
    """Fills a store with so many devices."""
    return _Fill(database, count).run()


class _Fill:
    def __init__(self, database: Database, count: int) -> None:
        self._database = database
        self._count = count
        self._rng = random.Random(count)
        self._now = datetime.datetime.now(datetime.UTC)
        self._releases = {version: self._id(ids.Prefix.RELEASE) for version in _VERSIONS}
        self._instances: list[tuple[str, str]] = []
        self._password = passwords.hash_password("of a robot")

    def run(self) -> Filled:
        self._fill_releases()
        devices = [self._device(number) for number in range(self._count)]
        histories = [self._deployments(number, device) for number, device in enumerate(devices)]
        for some in _batches(devices, _CHUNK):
            with self._database.write() as connection:
                recorded.insert(connection, some)
        every = sorted(itertools.chain(*histories), key=lambda row: row["created_at"])
        self._insert(tables.deployments, every)
        chosen = (self._rng.choice(self._instances) for _ in every)
        links = [{"deployment_id": row["id"], "instance_id": one[0]} for row, one in zip(every, chosen, strict=True)]
        self._insert(tables.deployment_instances, links)
        entries = self._fill_history(every, {device["id"] for device in devices[: int(self._count * _LATELY)]})
        return Filled(
            devices=len(devices),
            deployments=len(every),
            entries=entries,
            names=[device["name"] for device in devices],
            staged=[row["id"] for row in every if row["activity"] == "staged"],
            release=_VERSIONS[-1],
        )

    def _fill_releases(self) -> None:
        at = self._now - 400 * _DAY
        schema = self._id(ids.Prefix.SCHEMA)
        releases = [
            {"id": key, "version": version, "git_commit": None, "created_at": at + number * _DAY, "created_by": "bench"}
            for number, (version, key) in enumerate(self._releases.items())
        ]
        slot = {"config_type": "motion", "key": "default", "schema_id": schema, "format": "yaml", "path": "motion.yaml"}
        texts = [f"speed: {number}\n".encode() for number in range(_CONTENTS)]
        data = {digests.of_bytes(text): text for text in texts}
        instances = [
            {
                "id": self._id(ids.Prefix.INSTANCE),
                "schema_id": schema,
                "config_type": "motion",
                "slot": "default",
                "path": "motion.yaml",
                "digest": digest,
                "size": len(text),
                "created_at": at,
            }
            for digest, text in data.items()
        ]
        self._instances = [(row["id"], row["digest"]) for row in instances]
        self._insert(tables.releases, releases)
        opaque: Row = {"id": schema, "digest": digests.of_bytes(b"opaque"), "definition": "opaque", "created_at": at}
        self._insert(tables.config_schemas, [opaque])
        self._insert(tables.slots, [{"release_id": row["id"], **slot, "required": True} for row in releases])
        whole: Row = {"is_text": True, "is_whole": True, "uploaded_at": None}
        self._insert(tables.contents, [{"digest": key, "size": len(text), **whole} for key, text in data.items()])
        self._insert(tables.content_chunks, [{"digest": key, "start": 0, "data": text} for key, text in data.items()])
        self._insert(tables.config_instances, instances)

    def _device(self, number: int) -> Row:
        """A device as enrolment and a year of reports leave it; what is desired is put in with its deployments."""
        labels = {"site": f"site-{number % SITES:02}", "model": f"model-{number % MODELS}"}
        heard = self._now - datetime.timedelta(seconds=self._rng.uniform(0.0, 900.0))
        if is_rare := number % (self._count // RARE) == 7:
            labels["pilot"] = "yes"
            heard -= _DAY
        key = self._id(ids.Prefix.DEVICE)
        return {
            "id": key,
            "name": f"amr-{number:06}",
            "labels": labels,
            "created_at": self._now - 399 * _DAY,
            "archived_at": None,
            "token_hash": None,
            "token_expires_at": None,
            "enrolled_at": self._now - 398 * _DAY,
            "mqtt_password": self._password,
            "epoch": 1,
            "tidying": True,
            "incarnation": key.lower(),
            "former": [],
            "seq": 100,
            "adopted": None,
            "report": _report(key),
            "reported_at": heard,
            "last_heard_at": heard,
            "online": is_rare or number % 20 != 0,
            "presence_incarnation": key.lower(),
            "connection": 5,
        }

    def _deployments(self, number: int, device: Row) -> list[Row]:
        """All deployments of a device, oldest first; writes into the device what is desired of it."""
        rows: list[Row] = []
        for turn in range(EACH):
            at = self._now - (EACH - turn) * 30 * _DAY + self._rng.random() * 29 * _DAY
            rows.append(self._deployment(device["id"], _VERSIONS[turn], at, 2 * turn + 1))
        in_force, newest = rows[-2], rows[-1]
        for row in rows[:-2]:
            _set(row, "archived", "archived", "failed" if self._rng.random() < 0.02 else "none")
        _set(in_force, "deployed", "deployed", "none")
        generation = in_force["ordered"]
        device |= {"desired": in_force["id"], "fallback": None}
        kind = number % 100
        if number % (self._count // RARE) == 7:
            _set(newest, "deployed", "queued", "retrying")
        elif kind < 6:
            _set(newest, "staged", "staged", "none")
        elif number % (self._count // RARE) == 9:
            _set(newest, "staged", "drifted", "none")
        elif kind < 8:
            _set(newest, "deployed", "queued", "none")
        else:
            _set(in_force, "archived", "archived", "none")
            _set(newest, "deployed", "deployed", "none")
        if newest["target"] == "deployed":
            device |= {"desired": newest["id"], "fallback": in_force["id"]}
            generation = newest["ordered"]
        if newest["activity"] == "deployed":
            device["fallback"] = None
        waits = newest["activity"] == "queued" and newest["error"] == "none"
        device |= {
            "generation": generation,
            "published": generation,
            "reported": generation - waits,
            "desired_at": newest["created_at"],
        }
        if newest["target"] == "staged":
            newest["ordered"] = 0
        return rows

    def _deployment(self, device: str, version: str, at: datetime.datetime, ordered: int) -> Row:
        return {
            "id": self._id(ids.Prefix.DEPLOYMENT),
            "device_id": device,
            "release_id": self._releases[version],
            "description": "a change of speed",
            "digest": self._instances[ordered % _CONTENTS][1],
            "patched_from": None,
            "restores": None,
            "base": None,
            "base_generation": 0,
            "reason": None,
            "attempts": 0,
            "ordered": ordered,
            "ended": 0,
            "created_at": at,
            "created_by": "bench",
            "queued_at": at,
            "deployed_at": at,
            "archived_at": None,
        }

    def _fill_history(self, rows: Sequence[Row], devices: set[str]) -> int:
        """What is recorded of some devices' deployments, as the services would have."""
        entries = [
            history.row(
                at=row["created_at"],
                actor="bench" if action != "deployed" else "device",
                action=action,
                device_id=row["device_id"],
                deployment_id=row["id"],
                before=None if action == "staged" else _BEFORE,
                after=_AFTER,
            )
            for row in rows
            if row["device_id"] in devices
            for action in ("staged", "queued", "deployed", "archived")
        ]
        for some in _batches(entries, _CHUNK):
            with self._database.write() as connection:
                history.append(connection, some)
        return len(entries)

    def _insert(self, table: sa.Table, rows: Sequence[Row]) -> None:
        statement = prepared.insert(table, list(rows[0]))
        for some in _batches(rows, _CHUNK):
            with self._database.write() as connection:
                if connection.dialect.name == "postgresql":
                    _copy(connection, table, some)
                else:
                    statement.execute(connection, some)

    def _id(self, prefix: ids.Prefix) -> str:
        return ids.make(prefix, self._rng.randbytes(ids.RANDOM_BYTES))


_BEFORE = {"target_status": "deployed", "activity_status": "queued", "error_status": "none"}
_AFTER = {"target_status": "deployed", "activity_status": "deployed", "error_status": "none"}


def _report(device: str) -> Mapping[str, Any]:
    """As long as a real one."""
    return {
        "device": ids.on_wire(device),
        "incarnation": device.lower(),
        "seq": 100,
        "at": "2026-03-01T12:00:00Z",
        "clock_synced": True,
        "epoch": 1,
        "generation": 1,
        "order": digests.of_bytes(b""),
        "current": None,
        "deployments": [],
        "agent": {"version": "0.1.0", "started_at": "2026-03-01T12:00:00Z"},
    }


def _set(row: Row, target: str, activity: str, error: str) -> None:
    row |= {"target": target, "activity": activity, "error": error}


def _copy(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """As PostgreSQL takes many rows at once. None of them has a column of JSON with anything in it but NULL."""
    columns = ", ".join(f'"{name}"' for name in rows[0])
    driver: Any = connection.connection  # of psycopg
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([json.dumps(value) if isinstance(value, str) and name == "definition" else value
                            for name, value in row.items()])  # fmt: skip


def _batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def settle(database: Database) -> None:
    """Lets the engine do what it does in quiet hours: PostgreSQL looks at how much there is of everything."""
    if database.engine.dialect.name == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
