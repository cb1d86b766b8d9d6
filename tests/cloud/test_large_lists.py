"""Lists whose pages come from several queries, or from few devices looked up first, give what one query would."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from cloud_world import World
from shallop_cloud.store import deployments, selection, tables


@pytest.fixture
def fleet(world: World) -> World:
    """Seven devices with a deployment each, on one release: in turn staged, ordered and archived."""
    world.release()
    for number in range(7):
        labels = {"site": "lyon" if number % 2 else "oslo", **({"pilot": "yes"} if number == 3 else {})}
        world.must("POST", "/v1/devices", {"name": f"amr-{number}", "labels": labels})
        made = world.order(f"n: {number}", f"amr-{number}", staged=number % 3 == 0)
        if number % 3 == 2:
            world.must("POST", f"/v1/deployments/{made}:archive")
    return world


def pages(world: World, path: str, limit: int, **query: Any) -> list[Any]:
    found, cursor = [], None
    while True:
        page = world.must("GET", path, limit=limit, **query, **({"cursor": cursor} if cursor else {}))
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_pages_of_several_statuses_are_those_of_one_list(fleet: World) -> None:
    every = [row["id"] for row in pages(fleet, "/v1/deployments", 50) if row["status"] in ("staged", "archived")]

    found = pages(fleet, "/v1/deployments", 2, status=["staged", "archived", "staged"])

    assert len(every) == 5
    assert [row["id"] for row in found] == every
    assert [
        row["id"] for row in pages(fleet, "/v1/deployments", 2, release="1.0.0", status=["staged", "archived"])
    ] == every


def test_pages_of_a_release_are_those_of_one_list(fleet: World) -> None:
    every = [row["id"] for row in pages(fleet, "/v1/deployments", 50)]

    assert [row["id"] for row in pages(fleet, "/v1/deployments", 3, release="1.0.0")] == every


@pytest.mark.parametrize("few", [0, 1, 100])
def test_a_label_finds_the_same_whether_it_is_rare_or_not(
    fleet: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(selection, "_FEW", few)

    names = [row["name"] for row in pages(fleet, "/v1/devices", 2, label="site=lyon")]
    both = [row["device_name"] for row in pages(fleet, "/v1/deployments", 2, label=["site=lyon", "pilot=yes"])]
    none = pages(fleet, "/v1/deployments", 2, label=["site=oslo", "pilot=yes"])

    assert names == ["amr-1", "amr-3", "amr-5"]
    assert both == ["amr-3"]
    assert none == []


def test_the_summary_counts_what_the_list_shows(fleet: World) -> None:
    shown = [row["status"] for row in pages(fleet, "/v1/deployments", 50)]
    summary = fleet.must("GET", "/v1/summary")

    assert summary["devices"] == 7
    assert summary["deployments"] == {status: shown.count(status) for status in ("staged", "queued")}


def test_an_unknown_name_is_answered_with_one_that_stands_near(fleet: World) -> None:
    assert "did you mean 'amr-5'" in fleet.api("GET", "/v1/devices/amr-5x").json()["detail"]
    assert "did you mean 'amr-0'" in fleet.api("GET", "/v1/devices/amx-0").json()["detail"]


@pytest.mark.parametrize("database_url", [None], ids=["sqlite"])  # PostgreSQL needs no index for so few rows
def test_those_of_one_status_come_from_an_index_in_order(fleet: World) -> None:
    with fleet.ashore.shore.database.read() as connection:
        (query,) = deployments.queries(connection, deployments.Filters(statuses=["drifted"]))
        ordered = query.order_by(tables.deployments.c.created_at.desc(), tables.deployments.c.id.desc()).limit(51)
        text = str(ordered.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = [row[3] for row in connection.execute(sa.text(f"EXPLAIN QUERY PLAN {text}"))]

    assert any("USING INDEX ix_deployments_status" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
