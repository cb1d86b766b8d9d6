"""Reading: single things and pages of lists, with what belongs to them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from shallop_cloud.services import lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments, devices, history, pages, releases, selection, tables


@dataclasses.dataclass(frozen=True, slots=True)
class Releases:
    """Releases, the slots of each by its id, and the cursor of the next page."""

    rows: Sequence[sa.RowMapping]
    slots: Mapping[str, Sequence[releases.Slot]]
    next_cursor: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Deployments:
    """Deployments, the config instances of each by its id, and the cursor of the next page.

    Attributes:
        at: when they were read; ages are told from it.
        devices, releases: those that they belong to, by id, if that was asked for.
    """

    rows: Sequence[sa.RowMapping]
    instances: Mapping[str, Sequence[deployments.Instance]]
    at: datetime.datetime
    next_cursor: str | None = None
    devices: Mapping[str, sa.RowMapping] | None = None
    releases: Releases | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Devices:
    """Devices, and the cursor of the next page.

    Attributes:
        at: when they were read; ages are told from it.
        current, fallback: of which devices' columns the deployments are in ``deployments``, as was asked for.
    """

    rows: Sequence[sa.RowMapping]
    at: datetime.datetime
    next_cursor: str | None = None
    current: bool = False
    fallback: bool = False
    deployments: Deployments | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentFilters:
    """What a list of deployments is narrowed to, as a person types it; as ``store.deployments.Filters``."""

    device: str | None = None
    release: str | None = None
    statuses: Sequence[str] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    since: datetime.datetime | None = None


def release(shore: Shore, key: str) -> Releases:
    """One release with its slots."""
    with shore.database.read() as connection:
        return _releases(connection, [lookup.release(connection, key)])


def release_page(shore: Shore, limit: int, cursor: str | None) -> Releases:
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
        return dataclasses.replace(_releases(connection, page.rows), next_cursor=page.next_cursor)


def _releases(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> Releases:
    return Releases(rows, releases.slots(connection, [row["id"] for row in rows]))


def deployment(shore: Shore, key: str, expand: Collection[str] = ()) -> Deployments:
    """One deployment with its instances; ``expand`` may name ``device`` and ``release``."""
    with shore.database.read() as connection:
        return with_instances(shore, connection, [lookup.deployment(connection, key)], expand)


def deployment_page(
    shore: Shore, filters: DeploymentFilters, limit: int, cursor: str | None, expand: Collection[str] = ()
) -> Deployments:
    """Deployments, newest first, with their instances; ``expand`` as in ``deployment``."""
    column = tables.deployments.c
    with shore.database.read() as connection:
        narrowed = deployments.Filters(
            device=lookup.device(connection, filters.device)["id"] if filters.device else None,
            release=lookup.release(connection, filters.release)["id"] if filters.release else None,
            statuses=filters.statuses,
            labels=filters.labels,
            since=filters.since,
        )
        page = pages.read_all(
            connection,
            deployments.queries(connection, narrowed),
            [column.created_at, column.id],
            newest_first=True,
            limit=limit,
            cursor=cursor,
        )
        listed = with_instances(shore, connection, page.rows, expand)
        return dataclasses.replace(listed, next_cursor=page.next_cursor)


def with_instances(
    shore: Shore, connection: sa.Connection, rows: Sequence[sa.RowMapping], expand: Collection[str] = ()
) -> Deployments:
    """Rows of deployments with what belongs to them."""
    owners = list(dict.fromkeys(row["device_id"] for row in rows))
    return Deployments(
        rows,
        deployments.instances(connection, [row["id"] for row in rows]),
        shore.now(),
        devices=devices.find_many(connection, owners) if "device" in expand else None,
        releases=_releases_of(connection, rows) if "release" in expand else None,
    )


def _releases_of(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> Releases:
    return _releases(connection, releases.find_many(connection, list({row["release_id"] for row in rows})))


def device(shore: Shore, key: str, expand: Collection[str] = ()) -> Devices:
    """One device; ``expand`` may name ``current`` and ``fallback``."""
    with shore.database.read() as connection:
        return _devices(shore, connection, [lookup.device(connection, key)], expand)


def device_page(
    shore: Shore, filters: selection.Filters, limit: int, cursor: str | None, expand: Collection[str] = ()
) -> Devices:
    """Devices by name; ``expand`` as in ``device``."""
    order = [tables.devices.c.name]
    with shore.database.read() as connection:
        query = selection.query(connection, filters, shore.now())
        page = pages.read(connection, query, order, newest_first=False, limit=limit, cursor=cursor)
        return dataclasses.replace(_devices(shore, connection, page.rows, expand), next_cursor=page.next_cursor)


def _devices(
    shore: Shore, connection: sa.Connection, rows: Sequence[sa.RowMapping], expand: Collection[str]
) -> Devices:
    columns = [name for word, name in (("current", "desired"), ("fallback", "fallback")) if word in expand]
    named = [row[column] for row in rows for column in columns if row[column]]
    found = deployments.find_many(connection, named) if named else {}
    expanded = with_instances(shore, connection, list(found.values())) if columns else None
    return Devices(rows, shore.now(), current="current" in expand, fallback="fallback" in expand, deployments=expanded)


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


def config_instance(shore: Shore, key: str) -> sa.RowMapping:
    """One config instance."""
    with shore.database.read() as connection:
        return lookup.config_instance(connection, key)
