"""Deployments: made, ordered, withdrawn and reviewed by the operator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
from shallop_protocol import cloud

from shallop_cloud import errors
from shallop_cloud.services import contents, lookup, making
from shallop_cloud.services.making import Expected, Intent
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments, devices, history, selection

BATCH = 500
"""Devices or deployments to a transaction when there are many: the first are on their way while others are written."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """Deployments of some files, for one device or for many."""

    release: str
    configs: Sequence[contents.Config]
    intent: Intent = dataclasses.field(default_factory=Intent)


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


@dataclasses.dataclass(frozen=True, slots=True)
class Acted:
    """What became of one of many deployments that an act was asked for: its id, or why nothing was done.

    Attributes:
        asked: the deployment, as it was asked for.
    """

    asked: str
    deployment: str | None
    problem: errors.Problem | None = None


def create(shore: Shore, device: str, request: Request, actor: str) -> str:
    """Makes a deployment, and orders it unless it is only to be staged. Gives its id.

    Raises:
        errors.NotFound: no such device, release or predecessor.
        errors.Invalid: a config of unknown type or slot, twice, missing, or not valid.
        errors.Problem: 413, a config or the whole is too large.
        errors.Conflict: ``current_changed``, ``device_archived``.
    """
    intent = request.intent
    with shore.database.read() as connection:
        device = lookup.device(connection, device)["id"]
        if intent.patched_from:
            patched_from = lookup.deployment(connection, intent.patched_from)["id"]
            intent = dataclasses.replace(intent, patched_from=patched_from)
    prepared = contents.prepare(shore, request.release, request.configs)
    return only(making.make(shore, [device], prepared, intent, actor))


def only(made: Mapping[str, str | errors.Problem]) -> str:
    """The id of the one deployment that was made; raises the problem if there is none."""
    (result,) = made.values()
    if isinstance(result, errors.Problem):
        raise result
    return result


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
            targets: dict[str, str | errors.Problem] = dict(selection.labelled(connection, chosen))
        else:
            targets = lookup.devices_by_key(connection, chosen)
    found = [target for target in targets.values() if isinstance(target, str)]
    made: dict[str, str | errors.Problem] = {}
    for start in range(0, len(found), BATCH):
        made |= making.make(shore, found[start : start + BATCH], prepared, request.intent, actor)
    return [_made(key, target, made) for key, target in targets.items()]


def _made(key: str, target: str | errors.Problem, made: Mapping[str, str | errors.Problem]) -> Made:
    if isinstance(target, errors.Problem):
        return Made(key, None, None, target)
    result = made.get(target)
    if isinstance(result, errors.Problem):
        return Made(key, target, None, result)
    return Made(key, target, result)


def deploy(shore: Shore, key: str, actor: str, expected_current: Expected = cloud.ANY) -> str:
    """Orders a staged deployment.

    Raises:
        errors.Conflict: ``deployment_drifted``, ``deployment_archived``, ``deployment_already_deployed``,
            ``device_archived``, ``current_changed``.
    """
    return _one(shore, key, actor, cloud.deploy, expected_current)


def archive(shore: Shore, key: str, actor: str) -> str:
    """Withdraws a deployment for ever; raises ``errors.Conflict`` ``deployment_archived``."""
    return _one(shore, key, actor, _archive)


def restage(shore: Shore, key: str, actor: str, reviewed: str | None) -> str:
    """Declares a drifted deployment reviewed, and what is desired now its base.

    Raises:
        errors.Conflict: ``deployment_not_drifted``, ``current_changed``.
    """
    return _one(shore, key, actor, cloud.restage, reviewed)


def deploy_many(shore: Shore, keys: Sequence[str], actor: str) -> list[Acted]:
    """Orders staged deployments, each by itself, in this order; what is wrong with one is said of that one."""
    return _many(shore, keys, actor, cloud.deploy)


def archive_many(shore: Shore, keys: Sequence[str], actor: str) -> list[Acted]:
    """Withdraws deployments, each by itself, in this order; what is wrong with one is said of that one."""
    return _many(shore, keys, actor, _archive)


Act = Callable[[cloud.Device, str, Expected], cloud.Device]


def _archive(device: cloud.Device, deployment: str, _: Expected) -> cloud.Device:
    return cloud.archive(device, deployment)


def _one(shore: Shore, key: str, actor: str, act: Act, expected_current: Expected = cloud.ANY) -> str:
    with shore.database.write() as connection:
        row = lookup.deployment(connection, key)
        expected = making.known(connection, expected_current)
        ((result, is_ordered),) = _decide(shore, connection, [row], actor, act, expected)
    if isinstance(result, errors.Problem):
        raise result
    if is_ordered:
        shore.ordered()
    return result


def _many(shore: Shore, keys: Sequence[str], actor: str, act: Act) -> list[Acted]:
    acted: list[Acted] = []
    taken: set[str] = set()
    for start in range(0, len(keys), BATCH):
        some = keys[start : start + BATCH]
        with shore.database.write() as connection:
            found = lookup.deployments_by_key(connection, some, taken)
            rows = [each for each in found if not isinstance(each, errors.Problem)]
            decided = iter(_decide(shore, connection, rows, actor, act, cloud.ANY))
        is_ordered = False
        for asked, each in zip(some, found, strict=True):
            result, orders = (each, False) if isinstance(each, errors.Problem) else next(decided)
            is_ordered = is_ordered or orders
            acted.append(Acted(asked, None, result) if isinstance(result, errors.Problem) else Acted(asked, result))
        if is_ordered:
            shore.ordered()
    return acted


def _decide(
    shore: Shore, connection: sa.Connection, rows: Sequence[sa.RowMapping], actor: str, act: Act, expected: Expected
) -> list[tuple[str | errors.Problem, bool]]:
    """Lets the protocol decide about each deployment, and records what changes.

    Returns:
        For each, its id or why nothing changed; and whether something else is desired now.
    """
    cause = devices.Cause(actor, shore.now())
    owners = list(dict.fromkeys(row["device_id"] for row in rows))
    devices.hold(connection, owners)
    recorded = devices.load_many(connection, owners)
    changes: list[devices.Change] = []
    results: list[tuple[str | errors.Problem, bool]] = []
    for row in rows:
        key: str = row["id"]
        before = _with_finished(connection, recorded[row["device_id"]], key)
        try:
            after = act(before, key, expected)
        except cloud.Conflict as error:
            results.append((errors.Conflict(error.code, str(error)), False))
            continue
        if act is cloud.restage:
            deployments.set_base(connection, key, after.desired, after.generation)
        changes.append(devices.Change(before, after, cause))
        recorded[after.id] = after
        results.append((key, after.generation != before.generation))
    history.append(connection, devices.save_many(connection, changes))
    return results


def _with_finished(connection: sa.Connection, device: cloud.Device, deployment: str) -> cloud.Device:
    """The device with one more of its deployments, which may be finished, so that it can be said what it is."""
    if deployment in device.deployments:
        return device
    row = deployments.find(connection, deployment)
    assert row is not None
    return dataclasses.replace(device, deployments={**device.deployments, deployment: devices.deployment_value(row)})
