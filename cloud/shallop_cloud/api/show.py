"""From rows to what the API shows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from shallop_protocol import messages
from shallop_protocol.statuses import Activity, Error, merge

from shallop_cloud import configs, errors
from shallop_cloud.api import models
from shallop_cloud.services import deployments as services
from shallop_cloud.store import deployments, releases


def release(row: sa.RowMapping, slots: Sequence[releases.Slot]) -> models.Release:
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


def device(row: sa.RowMapping) -> models.Device:
    """A device with what was last heard of it."""
    return models.Device(**_device(row))


def created_device(row: sa.RowMapping, token: str) -> models.CreatedDevice:
    """A device and the token that its robot enrols with."""
    return models.CreatedDevice(**_device(row), token=token)


def _device(row: sa.RowMapping) -> dict[str, Any]:
    return {
        **_named(models.Device, row),
        "current": row["desired"],
        "in_sync": row["reported"] == row["generation"],
        "last_known": _last_known(row),
    }


def _last_known(row: sa.RowMapping) -> models.LastKnown | None:
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
    )


def deployment(row: sa.RowMapping, instances: Sequence[deployments.Instance]) -> models.Deployment:
    """A deployment with its instances and the merged status."""
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
            for each in instances
        ],
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


def _named(model: type[models.Shown], row: sa.RowMapping) -> dict[str, Any]:
    """The columns that the model shows under their own names."""
    return {name: row[name] for name in model.model_fields if name in row}
