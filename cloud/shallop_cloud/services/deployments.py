"""Deployments: made, ordered, withdrawn and reviewed by the operator."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol import cloud, ids

from shallop_cloud import errors
from shallop_cloud.services import contents, lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments, devices, history

BATCH = 500
"""Devices to a transaction when deployments are made for many: the first are on their way while others are written."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A deployment to be made, for one device or for many.

    Attributes:
        staged: only prepare it; otherwise it is ordered in the same act.
        expected_current: what the operator believes to be desired now: an id, None for nothing, ``cloud.ANY`` for no
            matter what.
    """

    release: str
    configs: Sequence[contents.Config]
    description: str = ""
    staged: bool = False
    expected_current: str | cloud.AnyCurrent | None = cloud.ANY
    patched_from: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """What became of one device's part of a batch: the id of its deployment, or why there is none.

    Attributes:
        device: as it was asked for, or its name if it was chosen by label.
    """

    device: str
    device_id: str | None
    deployment: str | None
    problem: errors.Problem | None = None


def create(shore: Shore, device: str, request: Request, actor: str) -> str:
    """Makes a deployment, and orders it unless it is only to be staged. Gives its id.

    Raises:
        errors.NotFound: no such device, release or predecessor.
        errors.Invalid: a config of unknown type, twice, missing, or not valid.
        errors.Problem: 413, a config or the whole is too large.
        errors.Conflict: ``current_changed``.
    """
    with shore.database.read() as connection:
        device = lookup.device(connection, device)["id"]
        patched_from = lookup.deployment(connection, request.patched_from)["id"] if request.patched_from else None
    prepared = contents.prepare(shore, request.release, request.configs)
    made = _make(shore, [device], prepared, dataclasses.replace(request, patched_from=patched_from), actor)[device]
    if isinstance(made, errors.Problem):
        raise made
    return made


def create_many(shore: Shore, chosen: Sequence[str] | Mapping[str, str], request: Request, actor: str) -> list[Made]:
    """Makes a deployment of the same files for each of many devices, which share its config instances.

    The files are judged once, before anything is made. Then each device is by itself: what cannot be done for one is
    said of that one, and the others get theirs.

    Args:
        chosen: the devices, by id, prefix or name; or the labels that they have, all of them.

    Raises:
        errors.Problem: as ``create`` does of release and configs.
    """
    prepared = contents.prepare(shore, request.release, request.configs)
    with shore.database.read() as connection:
        if isinstance(chosen, Mapping):
            targets: dict[str, str | errors.Problem] = dict(devices.labelled(connection, chosen))
        else:
            targets = lookup.devices_by_key(connection, chosen)
    found = {target: key for key, target in targets.items() if isinstance(target, str)}
    made: dict[str, str | errors.Problem] = {}
    for start in range(0, len(found), BATCH):
        made |= _make(shore, list(found)[start : start + BATCH], prepared, request, actor)
    return [_made(key, target, made) for key, target in targets.items()]


def _made(key: str, target: str | errors.Problem, made: Mapping[str, str | errors.Problem]) -> Made:
    if isinstance(target, errors.Problem):
        return Made(key, None, None, target)
    result = made.get(target)
    if isinstance(result, errors.Problem):
        return Made(key, target, None, result)
    return Made(key, target, result)


def _make(
    shore: Shore, targets: Sequence[str], prepared: contents.Contents, request: Request, actor: str
) -> dict[str, str | errors.Problem]:
    """Records a new deployment for each of some devices, by id, in one transaction."""
    at = shore.now()
    cause = devices.Cause(actor, at)
    made: dict[str, str | errors.Problem] = {}
    changes: list[devices.Change] = []
    rows: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    with shore.database.write() as connection:
        recorded = devices.load_many(connection, targets)
        for target, key in zip(targets, shore.new_ids(ids.Prefix.DEPLOYMENT, len(targets)), strict=True):
            before = recorded[target]
            new = cloud.Deployment(key, prepared.release, prepared.digest)
            try:
                cloud.check_current(before, _expected(connection, request.expected_current))
                after = cloud.stage(before, new) if request.staged else cloud.order(before, new)
            except cloud.Conflict as error:
                made[target] = errors.Conflict(error.code, str(error))
                continue
            changes.append(devices.Change(before, after, cause))
            rows.append(_row(after.deployments[new.id], target, request, cause))
            entries += _entries(new, after.deployments[new.id], target, prepared.version, cause)
            made[target] = new.id
        devices.save_many(connection, changes)
        if rows:
            deployments.insert_contents(connection, prepared.instances, prepared.data)
            deployments.insert_many(connection, rows, [instance["id"] for instance in prepared.instances])
            history.append(connection, entries)
    if changes and not request.staged:
        shore.ordered()
    return made


def _row(made: cloud.Deployment, device: str, request: Request, cause: devices.Cause) -> dict[str, Any]:
    return {
        "id": made.id,
        "device_id": device,
        "release_id": made.release,
        "description": request.description,
        "digest": made.digest,
        "patched_from": request.patched_from,
        "created_at": cause.at,
        "created_by": cause.actor,
        "queued_at": None if request.staged else cause.at,
        **devices.deployment_columns(made),
    }


def _entries(
    new: cloud.Deployment, made: cloud.Deployment, device: str, version: str, cause: devices.Cause
) -> list[dict[str, Any]]:
    """History: it was staged, and if it was ordered in the same act, that too."""
    shown = {"release": version, "digest": new.digest, **devices.shown_statuses(new)}
    staged = history.row(
        at=cause.at, actor=cause.actor, action="staged", device_id=device, deployment_id=new.id, after=shown
    )
    return [staged] if made.statuses == new.statuses else [staged, devices.status_change(device, new, made, cause)]


def deploy(shore: Shore, key: str, actor: str, expected_current: str | cloud.AnyCurrent | None = cloud.ANY) -> str:
    """Orders a staged deployment.

    Raises:
        errors.Conflict: ``deployment_drifted``, ``deployment_archived``, ``deployment_already_deployed``,
            ``current_changed``.
    """
    return _act(shore, key, actor, lambda device, deployment, current: cloud.deploy(device, deployment, current),
                expected_current)  # fmt: skip


def archive(shore: Shore, key: str, actor: str) -> str:
    """Withdraws a deployment for ever; raises ``errors.Conflict`` ``deployment_archived``."""
    return _act(shore, key, actor, lambda device, deployment, _: cloud.archive(device, deployment))


def restage(shore: Shore, key: str, actor: str, expected_current: str | cloud.AnyCurrent | None = cloud.ANY) -> str:
    """Declares a drifted deployment reviewed; raises ``errors.Conflict`` ``deployment_not_drifted`` or
    ``current_changed``.
    """
    return _act(shore, key, actor, lambda device, deployment, current: cloud.restage(device, deployment, current),
                expected_current)  # fmt: skip


Act = Callable[[cloud.Device, str, "str | cloud.AnyCurrent | None"], cloud.Device]


def _act(
    shore: Shore, key: str, actor: str, act: Act, expected_current: str | cloud.AnyCurrent | None = cloud.ANY
) -> str:
    with shore.database.write() as connection:
        row = lookup.deployment(connection, key)
        before = devices.load(connection, row["device_id"])
        if row["id"] not in before.deployments:
            before = dataclasses.replace(
                before, deployments={**before.deployments, row["id"]: devices.deployment_value(row)}
            )
        with _conflicts():
            after = act(before, row["id"], _expected(connection, expected_current))
        devices.save_many(connection, [devices.Change(before, after, devices.Cause(actor, shore.now()))])
    if after.generation != before.generation:
        shore.ordered()
    return row["id"]


def _expected(connection: sa.Connection, expected: str | cloud.AnyCurrent | None) -> str | cloud.AnyCurrent | None:
    return lookup.deployment(connection, expected)["id"] if isinstance(expected, str) else expected


@contextlib.contextmanager
def _conflicts() -> Generator[None]:
    """The protocol's refusals as answers."""
    try:
        yield
    except cloud.Conflict as error:
        raise errors.Conflict(error.code, str(error)) from None
