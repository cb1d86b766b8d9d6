"""A shore with an operator's hands and a device that answers as a real one would, without a broker between them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi.testclient import TestClient
from shallop_cloud import authorities, credentials
from shallop_cloud.link import orders
from shallop_cloud.link.ingest import Ingest
from shallop_cloud.store import outgoing
from shallop_cloud.testing import ashore
from shallop_protocol import desired, device, echo, ids, messages
from shallop_protocol.topics import Kind

NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
AGENT = messages.Agent(version="0", started_at=NOW)
RELEASE = {
    "version": "1.0.0",
    "config_types": [{"name": "motion", "schema": "opaque", "format": "yaml", "path": "motion.yaml"}],
}


def drop_trigger(connection: sa.Connection, name: str, table: str) -> None:
    """As somebody does who owns the database."""
    where = f" ON {table}" if connection.dialect.name == "postgresql" else ""
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}{where}")


class Publisher:
    """Stands where the link's publisher does, and notes what it is told."""

    def __init__(self) -> None:
        self.again: list[str] = []
        self.purged: list[str] = []
        self.orders = 0
        self.echoes: list[echo.Echo] = []

    def ordered(self) -> None:
        self.orders += 1

    def assert_again(self, device: str) -> None:
        self.again.append(device)

    def purge(self, device: str) -> None:
        self.purged.append(device)

    def answer(self, echoes: Sequence[echo.Echo]) -> None:
        self.echoes += echoes


class Robot:
    """A device's decisions with an in-memory disk; deployments named in ``bad`` can never be applied."""

    def __init__(self, world: World, key: str, incarnation: str = "one") -> None:
        self.id = key
        self._world = world
        self._incarnation = incarnation
        self.memory = device.Memory()
        self.disk = device.Disk()
        self.bad: set[str] = set()
        self.seq = 0

    def obey(self) -> None:
        """Takes the newest order and does all of it."""
        envelope = self._world.published(self.id)
        if envelope is not None:
            wire = ids.on_wire(self.id)
            order = desired.open_desired(envelope, {ashore.SIGNER.key.keyid: ashore.SIGNER.key}, wire)
            self.memory = device.receive(self.memory, order, NOW).memory
        while (step := device.plan(self.memory, self.disk, NOW)) is not None:
            self._do(step)

    def _do(self, step: device.Step) -> None:
        trees = self.disk.trees
        match step:
            case device.Remember():
                self.memory = step.memory
            case device.Apply():
                key = step.manifest.id
                if key in self.bad:
                    reason = messages.Reason(code="check_rejected", message="the robot will not have it")
                    self.memory = device.rejected(self.memory, key, reason, NOW)
                else:
                    self.disk = device.Disk(key, trees | {key})
                    self.memory = device.applied(self.memory, key, NOW)
            case device.Point():
                self.disk = device.Disk(step.deployment, trees)
            case device.Remove():
                self.disk = device.Disk(self.disk.current, trees - {step.deployment})

    def report(self) -> messages.Report:
        self.seq += 1
        return device.report(
            self.memory,
            self.disk,
            device=ids.on_wire(self.id),
            incarnation=self._incarnation,
            seq=self.seq,
            now=NOW,
            clock_synced=True,
            agent=AGENT,
            next_attempts={},
        )

    def tell(self) -> None:
        """Its report reaches the cloud."""
        self._world.hear(self.id, Kind.REPORT, self.report().to_bytes())

    def settle(self) -> None:
        """Obeys and tells until nothing changes any more."""
        for _ in range(4):
            self.obey()
            self.tell()


@dataclasses.dataclass
class World:
    """One shore, driven through its API and its ingest; on SQLite, or on the PostgreSQL database at ``url``."""

    directory: Path
    url: str | None = None

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.ashore = self._stack.enter_context(ashore.shore(self.directory, url=self.url))
        # Entered, it keeps one event loop for all requests.
        self.client = self._stack.enter_context(TestClient(self.ashore.app, raise_server_exceptions=False))
        self.client.headers["Authorization"] = f"Bearer {ashore.TOKEN}"
        self.publisher = Publisher()
        self.ingest = Ingest(self.ashore.shore.database, self.ashore.shore.topics, self.publisher)

    def sign_certificates(self, authority: authorities.Authority) -> None:
        """From now on this authority signs for robots that enrol."""
        shore = self.ashore.app.state.shore
        made = credentials.Credentials(self.directory, shore.database, authority)
        self.ashore.app.state.shore = dataclasses.replace(shore, authority=authority, credentials=made)

    def close(self) -> None:
        self._stack.close()

    def api(self, method: str, path: str, body: object = None, **query: Any) -> httpx.Response:
        return self.client.request(method, path, json=body, params=query or None)

    def must(self, method: str, path: str, body: object = None, **query: Any) -> Any:
        answer = self.api(method, path, body, **query)
        assert answer.is_success, answer.text
        return answer.json()

    def device(self, name: str = "amr-1") -> Robot:
        return Robot(self, self.must("POST", "/v1/devices", {"name": name})["id"])

    def release(self, version: str = "1.0.0") -> None:
        self.must("POST", "/v1/releases", {**RELEASE, "version": version})

    def order(self, content: str, name: str = "amr-1", **more: Any) -> str:
        configs = [{"config_type": "motion", "content": content}]
        body = {"device": name, "release": "1.0.0", "configs": configs, **more}
        return self.must("POST", "/v1/deployments", body)["id"]

    def statuses(self, key: str) -> tuple[str, str, str, str]:
        shown = self.must("GET", f"/v1/deployments/{key}")
        return shown["target_status"], shown["activity_status"], shown["error_status"], shown["status"]

    def published(self, key: str) -> bytes | None:
        """What the link would publish for a device now, having recorded that it may be out."""
        shore = self.ashore.shore
        with shore.database.write() as connection:
            outgoing.mark_published(connection, [key])
            found = orders.newest(connection, [key])
        return orders.Sealer(shore.keyring, shore.limits.envelope).seal(found[0]) if found else None

    def hear(self, key: str, kind: Kind, payload: bytes) -> None:
        self.ingest.record([(self.ashore.shore.topics.of(ids.on_wire(key), kind), payload)])
