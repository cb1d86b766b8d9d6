"""``shallop export``."""

from __future__ import annotations

import json
import sqlite3

import pytest
from cli_world import DIGEST, before, deployment, device, refusal, release
from shallop_cloud.api import models
from shallop_cloud.cli import client

DPL, OLD = "DPL-7K3QF0H2M9XW4RTC", "DPL-M2W8R00000000000"


@pytest.fixture
def fleet(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    instance = models.ConfigInstance(
        id="CFG-2WJ8C00000000000", config_type="motion", slot="default", path="motion.yaml", digest=DIGEST, size=5
    )
    world.contents[instance.id] = b"a: 1\n"
    world.config_schemas["SCH-0000000000000001"] = models.ConfigSchema(
        id="SCH-0000000000000001",
        digest=DIGEST,
        definition={"entry": "a.json", "documents": {"a.json": "{}"}},
        created_at=before(hours=1),
    )
    reason = models.Reason(code="check_rejected", message="too fast")
    world.add(
        release("1.4.0", "motion", "map"),
        release("1.5.0", "motion"),
        device("amr-07", labels={"site": "lyon", "model": "amr2"}, current=DPL),
        device("amr-08", archived_at=before(hours=1)),
        deployment(DPL, activity="deployed", config_instances=[instance], patched_from=OLD),
        deployment(OLD, "archived", "archived", "failed", reason=reason, config_instances=[instance]),
    )
    world.history = [
        models.HistoryEntry(
            id=1, at=before(hours=1), device_time=None, actor="admin", action="device_created", release_id=None,
            device_id="DEV-AMR0700000000000", deployment_id=None, before=None, after={"name": "amr-07"}, hash="a7",
        )
    ]  # fmt: skip
    return world


def rows(query: str):
    database = sqlite3.connect("fleet.db")
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_everything_is_there_and_joins(run, fleet):
    ran = run("export", "--sqlite", "fleet.db")

    assert (ran.code, ran.out) == (
        0,
        """\
TABLE                 ROWS
releases              2
config_schemas        1
config_types          3
devices               2
labels                2
deployments           2
config_instances      1
deployment_instances  2
history               1

16 rows in fleet.db
""",
    )
    assert rows(
        """
        SELECT d.name, l.value, p.status, r.version, i.content, o.reason_message
        FROM devices d
        JOIN labels l ON l.device_id = d.id AND l.key = 'site'
        JOIN deployments p ON p.id = d.current
        JOIN releases r ON r.id = p.release_id
        JOIN deployment_instances x ON x.deployment_id = p.id
        JOIN config_instances i ON i.id = x.instance_id
        JOIN deployments o ON o.id = p.patched_from
        """
    ) == [("amr-07", "lyon", "deployed", "1.4.0", b"a: 1\n", "too fast")]
    assert rows("PRAGMA foreign_key_check") == []
    assert len(rows("PRAGMA foreign_key_list(deployments)")) == 4
    assert rows("SELECT after, hash FROM history") == [('{"name": "amr-07"}', "a7")]
    assert rows("SELECT name, in_sync FROM devices WHERE archived_at IS NOT NULL") == [("amr-08", 1)]
    indexed = {row[0] for row in rows("SELECT tbl_name FROM sqlite_master WHERE type = 'index'")}
    assert {"devices", "labels", "deployments", "config_instances", "history"} <= indexed


def test_a_file_that_is_there_stays_unless_it_is_forced(run, fleet, tmp_path):
    (tmp_path / "fleet.db").write_text("mine")

    ran = run("export", "--sqlite", "fleet.db")

    assert ran.code == 2
    assert ran.err.startswith("shallop: 'fleet.db' is there already; --force replaces it\n")
    assert (tmp_path / "fleet.db").read_text() == "mine"
    assert run("export", "--sqlite", "fleet.db", "--force", "-o", "name").out == "fleet.db\n"
    assert rows("SELECT count(*) FROM devices") == [(2,)]


def test_a_server_that_fails_half_way_leaves_nothing_behind(run, fleet, tmp_path):
    fleet.contents["CFG-2WJ8C00000000000"] = refusal(503, "busy", "try again")
    (tmp_path / "fleet.db").write_text("mine")

    ran = run("export", "--sqlite", "fleet.db", "--force")

    assert ran.code == 1
    assert ran.err == "shallop: try again\n"
    assert {each.name for each in tmp_path.iterdir()} == {"fleet.db"}
    assert (tmp_path / "fleet.db").read_text() == "mine"


def test_a_directory_that_is_none(run, fleet):
    ran = run("export", "--sqlite", "none/fleet.db")

    assert ran.code == 2
    assert "none' is not a directory\n" in ran.err


def test_a_file_that_cannot_be_made(run, fleet):
    name = 250 * "x"

    ran = run("export", "--sqlite", name)

    assert ran.code == 1
    assert ran.err.startswith(f"shallop: cannot write '{name}': [Errno 36] File name too long")


def test_each_content_is_fetched_once(run, fleet, monkeypatch):
    fetched = []
    fetch = client.Api.content
    monkeypatch.setattr(client.Api, "content", lambda api, *path: fetched.append(path[1]) or fetch(api, *path))

    run("export", "--sqlite", "fleet.db")

    assert fetched == ["CFG-2WJ8C00000000000"]


def test_pages_follow_each_other(run, fleet, monkeypatch):
    from shallop_cloud.cli import export_rows

    monkeypatch.setattr(export_rows, "PAGE", 1)

    counts = json.loads(run("export", "--sqlite", "fleet.db", "-o", "json").out)

    assert {each["table"]: each["rows"] for each in counts["data"]}["deployments"] == 2
