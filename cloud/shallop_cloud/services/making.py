"""How a deployment comes to be: recorded with its files and its history, and decided about, in one transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol import cloud, ids

from shallop_cloud import errors
from shallop_cloud.services import lookup
from shallop_cloud.services.contents import Contents
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents as store
from shallop_cloud.store import deployments, devices, history

Expected = str | cloud.AnyCurrent | None
"""What the operator believes to be desired now: an id, None for nothing, ``cloud.ANY`` for no matter what."""

Decide = Callable[[cloud.Device, cloud.Deployment], cloud.Device]
"""What a new deployment makes of its device."""


@dataclasses.dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of a new deployment.

    Attributes:
        staged: only prepare it; otherwise it is ordered in the same act.
        patched_from: the deployment that it was made from.
        restores: the deployment whose content it brings back.
        confirm_s: within so many seconds of the switch the cloud must have answered; None for what its device has.
    """

    description: str = ""
    staged: bool = False
    expected_current: Expected = cloud.ANY
    patched_from: str | None = None
    restores: str | None = None
    confirm_s: int | None = None


def make(
    shore: Shore, targets: Sequence[str], contents: Contents, intent: Intent, actor: str, decide: Decide | None = None
) -> dict[str, str | errors.Problem]:
    """Makes a deployment of these contents for each of some devices, by id, in one transaction.

    Args:
        decide: instead of what ``intent`` says about staging.

    Returns:
        For each device the id of its deployment, or why there is none.
    """
    with shore.database.write() as connection:
        made = record(shore, connection, targets, contents, intent, actor, decide)
    if not intent.staged:
        shore.ordered()
    return made


def record(
    shore: Shore,
    connection: sa.Connection,
    targets: Sequence[str],
    contents: Contents,
    intent: Intent,
    actor: str,
    decide: Decide | None = None,
) -> dict[str, str | errors.Problem]:
    """As ``make`` does, in a transaction of the caller's, who does nothing after it and tells the link."""
    cause = devices.Cause(actor, shore.now())
    decide = decide or (cloud.stage if intent.staged else cloud.order)
    expected = known(connection, intent.expected_current)
    devices.hold(connection, targets)
    made: dict[str, str | errors.Problem] = {}
    changes: list[devices.Change] = []
    rows: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    recorded = devices.load_many(connection, targets)
    for target, key in zip(targets, shore.new_ids(ids.Prefix.DEPLOYMENT, len(targets)), strict=True):
        before = recorded[target]
        new = cloud.Deployment(key, contents.release, contents.digest)
        try:
            cloud.check_current(before, expected)
            after = decide(before, new)
        except cloud.Conflict as error:
            made[target] = errors.Conflict(error.code, str(error))
            continue
        changes.append(devices.Change(before, after, cause))
        rows.append(_row(after.deployments[new.id], before, intent, cause))
        entries += _entries(new, after.deployments[new.id], target, contents.version, intent, cause)
        made[target] = new.id
    moved = devices.save_many(connection, changes)
    if rows:
        instances = [{**dataclasses.asdict(each), "created_at": cause.at} for each in contents.instances]
        store.insert(connection, contents.data)
        deployments.insert_instances(connection, instances)
        deployments.insert_many(connection, rows, [each.id for each in contents.instances])
    history.append(connection, [*moved, *entries])
    return made


def known(connection: sa.Connection, expected: Expected) -> Expected:
    """What is expected, as a whole id."""
    return lookup.deployment(connection, expected)["id"] if isinstance(expected, str) else expected


def _row(made: cloud.Deployment, device: cloud.Device, intent: Intent, cause: devices.Cause) -> dict[str, Any]:
    return {
        "id": made.id,
        "device_id": device.id,
        "release_id": made.release,
        "description": intent.description,
        "digest": made.digest,
        "patched_from": intent.patched_from,
        "restores": intent.restores,
        "confirm_s": intent.confirm_s,
        "base": device.desired,
        "base_generation": device.generation,
        "created_at": cause.at,
        "created_by": cause.actor,
        "queued_at": None if intent.staged else cause.at,
        **devices.deployment_columns(made),
    }


def _entries(
    new: cloud.Deployment,
    made: cloud.Deployment,
    device: str,
    version: str,
    intent: Intent,
    cause: devices.Cause,
) -> list[dict[str, Any]]:
    """History: it was staged, and if it was ordered in the same act, that too."""
    shown = {"release": version, "digest": new.digest, **devices.shown_statuses(new)}
    for name in ("patched_from", "restores", "confirm_s"):
        if (origin := getattr(intent, name)) is not None:
            shown[name] = origin
    staged = history.row(
        at=cause.at, actor=cause.actor, action="staged", device_id=device, deployment_id=new.id, after=shown
    )
    return [staged] if made.statuses == new.statuses else [staged, devices.status_change(device, new, made, cause)]
