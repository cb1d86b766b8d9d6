"""Reading: single things and pages of lists, with what belongs to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa

from shallop_cloud.services import lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments, history, pages, releases, tables

P = TypeVar("P")


@dataclasses.dataclass(frozen=True, slots=True)
class Listed(Generic[P]):
    """Rows, the parts of each by its id, and the cursor of the next page."""

    rows: Sequence[sa.RowMapping]
    parts: Mapping[str, Sequence[P]]
    next_cursor: str | None = None


def release(shore: Shore, key: str) -> Listed[releases.Slot]:
    """One release with its slots."""
    with shore.database.read() as connection:
        row = lookup.release(connection, key)
        return Listed([row], releases.slots(connection, [row["id"]]))


def release_page(shore: Shore, limit: int, cursor: str | None) -> Listed[releases.Slot]:
    """Releases, newest first, with their slots."""
    column = tables.releases.c
    with shore.database.read() as connection:
        page = pages.read(
            connection,
            sa.select(tables.releases),
            [column.created_at, column.id],
            newest_first=True,
            limit=limit,
            cursor=cursor,
        )
        return Listed(page.rows, releases.slots(connection, [row["id"] for row in page.rows]), page.next_cursor)


def deployment(shore: Shore, key: str) -> Listed[deployments.Instance]:
    """One deployment with its instances."""
    with shore.database.read() as connection:
        row = lookup.deployment(connection, key)
        return Listed([row], deployments.instances(connection, [row["id"]]))


def deployment_page(
    shore: Shore, device: str | None, release: str | None, status: str | None, limit: int, cursor: str | None
) -> Listed[deployments.Instance]:
    """Deployments, newest first, with their instances; ``device`` and ``release`` as a person types them."""
    column = tables.deployments.c
    with shore.database.read() as connection:
        filters = deployments.Filters(
            device=lookup.device(connection, device)["id"] if device else None,
            release=lookup.release(connection, release)["id"] if release else None,
            status=status,
        )
        page = pages.read(
            connection,
            deployments.query(filters),
            [column.created_at, column.id],
            newest_first=True,
            limit=limit,
            cursor=cursor,
        )
        instances = deployments.instances(connection, [row["id"] for row in page.rows])
        return Listed(page.rows, instances, page.next_cursor)


def history_page(
    shore: Shore, *, device: str | None = None, deployment: str | None = None, limit: int, cursor: str | None
) -> pages.Page:
    """What happened to one device or one deployment, in order, oldest first."""
    with shore.database.read() as connection:
        query = history.query(
            device=lookup.device(connection, device)["id"] if device else None,
            deployment=lookup.deployment(connection, deployment)["id"] if deployment else None,
        )
        order = [tables.history.c.id]
        return pages.read(connection, query, order, newest_first=False, limit=limit, cursor=cursor)


def content(shore: Shore, key: str) -> tuple[sa.RowMapping, bytes]:
    """A config instance and its bytes."""
    with shore.database.read() as connection:
        row = lookup.config_instance(connection, key)
        return row, deployments.content(connection, row["digest"])
