"""From what a person typed to what is meant: ids, their shortest unique prefixes, names and versions."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from shallop_protocol import ids

from shallop_cloud import errors
from shallop_cloud.configs.findings import meant
from shallop_cloud.store import deployments, devices, releases, tables, tokens


def device(connection: sa.Connection, key: str) -> sa.RowMapping:
    """A device by id, prefix or name.

    Raises:
        errors.NotFound: there is none.
        errors.Conflict: the prefix fits several.
    """
    whole = _whole(connection, tables.devices, ids.Prefix.DEVICE, key) or key
    row = devices.find(connection, key=whole)
    if row is None:
        hint = meant(key, devices.names_near(connection, key)).strip(" ()")
        raise errors.NotFound("device", key, hint or "list them with: shallop device list")
    return row


def devices_by_key(connection: sa.Connection, keys: Sequence[str]) -> dict[str, str | errors.Problem]:
    """The id of the device that each key means, as ``device`` reads it, or what is wrong with the key.

    A device that two of the keys mean is taken once; the second key is a conflict.
    """
    known = devices.ids_of(connection, keys)
    found: dict[str, str | errors.Problem] = {}
    taken: dict[str, str] = {}
    for key in keys:
        try:
            whole = known.get(key) or _whole(connection, tables.devices, ids.Prefix.DEVICE, key)
        except errors.Conflict as ambiguous:
            found[key] = ambiguous
            continue
        if whole is None:
            found[key] = errors.NotFound("device", key, "list them with: shallop device list")
        elif whole in taken:
            found[key] = errors.Conflict("device_repeated", f"{key} and {taken[whole]} are one device; name it once")
        else:
            taken[whole] = key
            found[key] = whole
    return found


def release(connection: sa.Connection, key: str) -> sa.RowMapping:
    """A release by id, prefix or version; raises as ``device`` does."""
    whole = _whole(connection, tables.releases, ids.Prefix.RELEASE, key) or key
    row = releases.find(connection, key=whole)
    if row is None:
        hint = meant(key, releases.versions(connection)).strip(" ()")
        raise errors.NotFound("release", key, hint or "list them with: shallop release list")
    return row


def deployment(connection: sa.Connection, key: str) -> sa.RowMapping:
    """A deployment by id or prefix; raises as ``device`` does."""
    whole = _whole(connection, tables.deployments, ids.Prefix.DEPLOYMENT, key)
    row = deployments.find(connection, whole) if whole else None
    if row is None:
        hint = _too_short(key, ids.Prefix.DEPLOYMENT) or "list them with: shallop deployment list"
        raise errors.NotFound("deployment", key, hint)
    return row


def _too_short(key: str, prefix: ids.Prefix) -> str:
    """What to say of the beginning of an id that leaves too much open; nothing of anything else."""
    start = f"{prefix.value}-"
    short = key.upper().startswith(start) and len(key) < len(start) + ids.MIN_PREFIX
    return f"type at least {ids.MIN_PREFIX} characters of an id after {start}" if short else ""


def deployments_by_key(
    connection: sa.Connection, keys: Sequence[str], taken: set[str]
) -> list[sa.RowMapping | errors.Problem]:
    """The deployment that each key means, as ``deployment`` reads it, or what is wrong with the key.

    Args:
        taken: ids that cannot be meant again; those that are found are added.
    """
    known = deployments.find_many(connection, [key for key in keys if ids.is_id(key)])
    found: list[sa.RowMapping | errors.Problem] = []
    for key in keys:
        try:
            row = known.get(key) or deployment(connection, key)
        except errors.Problem as problem:
            found.append(problem)
            continue
        if row["id"] in taken:
            found.append(errors.Conflict("deployment_repeated", f"{row['id']} is named more than once"))
        else:
            taken.add(row["id"])
            found.append(row)
    return found


def config_schema(connection: sa.Connection, key: str) -> sa.RowMapping:
    """A config schema by id or prefix; raises as ``device`` does."""
    whole = _whole(connection, tables.config_schemas, ids.Prefix.SCHEMA, key)
    row = releases.find_schema(connection, whole) if whole else None
    if row is None:
        raise errors.NotFound("config schema", key, "a release shows the ids of its config schemas")
    return row


def config_instance(connection: sa.Connection, key: str) -> sa.RowMapping:
    """A config instance by id or prefix; raises as ``device`` does."""
    whole = _whole(connection, tables.config_instances, ids.Prefix.INSTANCE, key)
    row = deployments.find_instance(connection, whole) if whole else None
    if row is None:
        raise errors.NotFound("config instance", key, "a deployment shows the ids of its config instances")
    return row


def token(connection: sa.Connection, key: str) -> sa.RowMapping:
    """A token by id, prefix or name; raises as ``device`` does. Of those that had a name, the newest."""
    row = tokens.find(connection, _whole(connection, tables.api_tokens, ids.Prefix.TOKEN, key) or key)
    if row is None:
        raise errors.NotFound("token", key, "list them with: shallop token list")
    return row


def _whole(connection: sa.Connection, table: sa.Table, prefix: ids.Prefix, key: str) -> str | None:
    """The one id that a prefix means, or None if it means none."""
    try:
        start = ids.normalize(key, prefix)
    except ids.IdError:
        return None
    found = releases.matching(connection, table, start)
    if len(found) > 1:
        raise errors.Conflict(
            "id_ambiguous", f"{key} is the beginning of several ids, {' and '.join(found)}: type more"
        )
    return found[0] if found else None
