"""From rows to what the API shows."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from shallop_protocol import messages
from shallop_protocol.statuses import Activity, Error, merge

from shallop_cloud import configs, errors
from shallop_cloud.api import models
from shallop_cloud.services import deployments as services
from shallop_cloud.services import reading
from shallop_cloud.services import why as service
from shallop_cloud.store import connectivity, history, lagging
from shallop_cloud.store.releases import Slot


def release(row: sa.RowMapping, slots: Sequence[Slot]) -> models.Release:
    """A release with its config types."""
    types: list[models.ConfigType] = []
    for name, group in groupby(slots, key=lambda slot: slot.config_type):
        own = list(group)
        types.append(
            models.ConfigType(
                name=name,
                format=configs.Format(own[0].format),
                schema_id=own[0].schema_id,
                schema_digest=own[0].schema_digest,
                slots=[models.Slot(key=slot.key, path=slot.path, required=slot.required) for slot in own],
            )
        )
    return models.Release(**_named(models.Release, row), config_types=types)


def config_schema(row: sa.RowMapping) -> models.ConfigSchema:
    """A config schema with its documents."""
    return models.ConfigSchema(**_named(models.ConfigSchema, row))


def releases(listed: reading.Releases) -> list[models.Release]:
    """Releases with their config types."""
    return [release(row, listed.slots[row["id"]]) for row in listed.rows]


def device(row: sa.RowMapping, at: datetime.datetime) -> models.Device:
    """A device with what was last heard of it, as long ago as it is at a time."""
    return models.Device(**_device(row, at))


def devices(listed: reading.Devices) -> list[models.Device]:
    """Devices, with the deployments that were asked for."""
    found = listed.deployments
    named = {row["id"]: _deployment(row, found, None) for row in found.rows} if found else {}
    return [_beside(device(row, listed.at), row, listed, named) for row in listed.rows]


def _beside(
    shown: models.Device, row: sa.RowMapping, listed: reading.Devices, named: Mapping[str, models.Deployment]
) -> models.Device:
    if not (listed.current or listed.fallback):
        return shown
    beside = models.BesideDevice(
        current=named.get(row["desired"]) if listed.current else None,
        fallback=named.get(row["fallback"]) if listed.fallback else None,
    )
    return shown.model_copy(update={"expanded": beside})


def created_device(row: sa.RowMapping, token: str, at: datetime.datetime) -> models.CreatedDevice:
    """A device and the token that its robot enrols with."""
    return models.CreatedDevice(**_device(row, at), token=token)


def _device(row: sa.RowMapping, at: datetime.datetime) -> dict[str, Any]:
    return {
        **_named(models.Device, row),
        "current": row["desired"],
        "in_sync": row["reported"] == row["generation"],
        "lagging": _lagging(row, at),
        "connectivity": connectivity.of(row, at),
        "last_heard_age_s": _age(row["last_heard_at"], at),
        "last_known": _last_known(row, at),
    }


def _lagging(row: sa.RowMapping, at: datetime.datetime) -> models.Lagging | None:
    reason = lagging.of(row, at)
    return models.Lagging(since=row["lagging_since"], why=reason) if reason else None


def _age(moment: datetime.datetime | None, at: datetime.datetime) -> float | None:
    """Seconds since a moment, to the millisecond; never less than none, though clocks are set."""
    return None if moment is None else max(0.0, round((at - moment).total_seconds(), 3))


def _last_known(row: sa.RowMapping, at: datetime.datetime) -> models.LastKnown | None:
    if row["report"] is None:
        return None
    report = messages.Report.model_validate(row["report"])
    return models.LastKnown(
        current=report.current,
        generation=report.generation,
        seq=report.seq,
        incarnation=report.incarnation,
        device_time=report.at,
        clock_synced=report.clock_synced,
        agent_version=report.agent.version,
        refused=models.Refusal(**report.refused.model_dump()) if report.refused else None,
        reported_at=row["reported_at"],
        age_s=_age(row["reported_at"], at) or 0.0,
    )


def deployments(listed: reading.Deployments) -> list[models.Deployment]:
    """Deployments with their instances and the merged status, and what was asked for beside them."""
    is_expanded = listed.devices is not None or listed.releases is not None
    found = {each.id: each for each in releases(listed.releases)} if listed.releases else {}
    return [_deployment(row, listed, _owners(row, listed, found) if is_expanded else None) for row in listed.rows]


def _owners(
    row: sa.RowMapping, listed: reading.Deployments, found: Mapping[str, models.Release]
) -> models.BesideDeployment:
    owner = listed.devices[row["device_id"]] if listed.devices else None
    return models.BesideDeployment(
        device=device(owner, listed.at) if owner else None, release=found.get(row["release_id"])
    )


def _deployment(
    row: sa.RowMapping, listed: reading.Deployments, expanded: models.BesideDeployment | None
) -> models.Deployment:
    known_at = row["reported_at"] if row["ordered"] else None
    return models.Deployment(
        **_named(models.Deployment, row),
        target_status=row["target"],
        activity_status=row["activity"],
        error_status=row["error"],
        status=merge(Activity(row["activity"]), Error(row["error"])),
        config_instances=[
            models.ConfigInstance(
                id=each.id,
                config_type=each.config_type,
                slot=each.slot,
                path=each.path,
                digest=each.digest,
                size=each.size,
            )
            for each in listed.instances[row["id"]]
        ],
        last_known_at=known_at,
        last_known_age_s=_age(known_at, listed.at),
        expanded=expanded,
    )


def acted_on(acted: Sequence[services.Acted]) -> models.ActedOnMany:
    """What became of each of many deployments that an act was asked for."""
    return models.ActedOnMany(
        data=[
            models.ActedOn(
                deployment=each.asked,
                id=each.deployment,
                problem=_item_problem(each.problem) if each.problem else None,
            )
            for each in acted
        ]
    )


def why(found: service.Why) -> models.Why:
    """Why a device is as it is."""
    known = found.known
    return models.Why(
        device=device(found.device, found.at),
        desired=found.device["desired"],
        desired_status=found.desired_status,
        known=models.LastSaid(
            current=known.current, status=known.status, at=known.at, age_s=_age(known.at, found.at) or 0.0
        )
        if known
        else None,
        verdict=found.verdict,
        text=found.text,
        waits_for=[
            models.Wait(code=each.code, text=each.text, since=each.since, next_at=each.next_at)
            for each in found.waits_for
        ],
        commands=list(found.commands),
    )


def made_deployments(made: Sequence[services.Made]) -> models.MadeDeployments:
    """What became of each device's part of a batch."""
    return models.MadeDeployments(
        data=[
            models.MadeDeployment(
                device=each.device,
                device_id=each.device_id,
                id=each.deployment,
                problem=_item_problem(each.problem) if each.problem else None,
            )
            for each in made
        ]
    )


def _item_problem(problem: errors.Problem) -> models.ItemProblem:
    return models.ItemProblem(status=problem.status, code=problem.code, detail=problem.detail)


def config_instance(row: sa.RowMapping) -> models.ConfigInstance:
    """A config instance without its bytes."""
    return models.ConfigInstance(**_named(models.ConfigInstance, row))


def history_entry(row: sa.RowMapping) -> models.HistoryEntry:
    """Something that happened."""
    return models.HistoryEntry(**_named(models.HistoryEntry, row))


def verdict(found: history.Verdict) -> models.Verdict:
    """What a look at the whole history found."""
    return models.Verdict(
        whole=found.whole,
        entries=found.entries,
        head=found.head,
        broken_at=found.broken_at,
        reason=found.reason,
    )


def token(row: sa.RowMapping) -> models.Token:
    """A token without its secret."""
    return models.Token(**_named(models.Token, row))


def created_token(row: sa.RowMapping, secret: str) -> models.CreatedToken:
    """A new token with its secret."""
    return models.CreatedToken(**_named(models.Token, row), token=secret)


def _named(model: type[models.Shown], row: sa.RowMapping) -> dict[str, Any]:
    """The columns that the model shows under their own names."""
    return {name: row[name] for name in model.model_fields if name in row}
