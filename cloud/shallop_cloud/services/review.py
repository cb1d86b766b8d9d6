"""Review: what became current since a deployment was staged, and what it would change now."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa
from shallop_protocol.statuses import Target

from shallop_cloud import errors
from shallop_cloud.services import comparing, lookup, reading
from shallop_cloud.services.comparing import FileDiff
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments, devices


@dataclasses.dataclass(frozen=True, slots=True)
class Review:
    """What a person looks at before a waiting deployment is ordered.

    Attributes:
        deployment: the one that waits; the only one of its list.
        current: what is desired of the device now. Who restages or merges says that it was this.
        since: what was ordered after the deployment was staged or last restaged, oldest first.
        files: from ``current`` to the deployment.
    """

    deployment: reading.Deployments
    current: str | None
    since: reading.Deployments
    files: Sequence[FileDiff]


def review(shore: Shore, key: str) -> Review:
    """Reviews a staged or drifted deployment.

    Raises:
        errors.NotFound: no such deployment.
        errors.Conflict: ``deployment_not_waiting``.
    """
    with shore.database.read() as connection:
        row = lookup.deployment(connection, key)
        refuse_unless_waiting(row)
        current = desired(connection, row)
        since = deployments.ordered_since(connection, row["device_id"], row["base_generation"])
        before, after = comparing.files(connection, current), comparing.files(connection, row)
        shown = reading.with_instances(shore, connection, [row])
        ordered = reading.with_instances(shore, connection, since)
    return Review(shown, current["id"] if current else None, ordered, comparing.compare(before, after))


def refuse_unless_waiting(row: sa.RowMapping) -> None:
    """Passes if a deployment's row is staged or drifted.

    Raises:
        errors.Conflict: ``deployment_not_waiting``.
    """
    if row["target"] != Target.STAGED.value:
        words = f"{row['id']} does not wait for a decision any more: its target is {row['target']}"
        raise errors.Conflict("deployment_not_waiting", f"{words}; compare it with: shallop diff")


def desired(connection: sa.Connection, row: sa.RowMapping) -> sa.RowMapping | None:
    """The deployment that is desired of the device of this one."""
    current = devices.load(connection, row["device_id"]).desired
    return deployments.find(connection, current) if current else None
