"""What differs between any two deployments."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa

from shallop_cloud import errors
from shallop_cloud.services import comparing, lookup
from shallop_cloud.services.comparing import FileDiff
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments

DEVICE = "device:"
"""What a side begins with that is what a device is to run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Diff:
    """Two deployments' rows, and what differs between their files."""

    before: sa.RowMapping
    after: sa.RowMapping
    files: Sequence[FileDiff]


def compare(shore: Shore, before: str, after: str) -> Diff:
    """Compares two deployments, each named by id or prefix, or as ``device:NAME`` for what is desired of a device.

    Raises:
        errors.NotFound: there is no such deployment or device.
        errors.Problem: 404 ``device_has_no_deployment``.
    """
    with shore.database.read() as connection:
        rows = [_side(connection, each) for each in (before, after)]
        files = [comparing.files(connection, row) for row in rows]
    return Diff(rows[0], rows[1], comparing.compare(*files))


def _side(connection: sa.Connection, key: str) -> sa.RowMapping:
    if not key.startswith(DEVICE):
        return lookup.deployment(connection, key)
    device = lookup.device(connection, key.removeprefix(DEVICE))
    row = deployments.find(connection, device["desired"]) if device["desired"] else None
    if row is None:
        words = f"nothing is desired of {device['name']}; name a deployment instead"
        raise errors.Problem(404, "device_has_no_deployment", words)
    return row
