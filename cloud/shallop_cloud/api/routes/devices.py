"""Devices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import fastapi
from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from shallop_cloud.api import asking, edge, models, show
from shallop_cloud.api.asking import Admin, Cursor, Key, Labels, Limit, Operator, Precondition, S, Since, Tagged
from shallop_cloud.api.routes import deployments
from shallop_cloud.services import bundles, devices, reading, rollback, why
from shallop_cloud.services.making import Intent
from shallop_cloud.services.shore import Shore
from shallop_cloud.store.connectivity import Connectivity
from shallop_cloud.store.selection import Filters

Expand = Annotated[frozenset[str], asking.expanding("current", "fallback")]
_ARCHIVED = {"false": False, "true": True, "any": None}

TAR = "application/x-tar"

router = asking.guarded()


@router.post("/devices", status_code=201)
def create_device(shore: S, actor: Admin, body: models.NewDevice) -> models.CreatedDevice:
    """Make a device. The enrolment token in the answer is shown this once."""
    created = devices.create(shore, _new(body), actor.name)
    return show.created_device(created.row, created.token, shore.now())


@router.post("/devices:batch", status_code=201)
def create_devices(shore: S, actor: Admin, body: models.NewDevices) -> models.CreatedDevices:
    """Make many devices: all of them, or none."""
    created = devices.create_many(shore, [_new(each) for each in body.devices], actor.name)
    at = shore.now()
    return models.CreatedDevices(data=[show.created_device(each.row, each.token, at) for each in created])


@router.get("/devices")
def list_devices(
    shore: S,
    expand: Expand,
    label: Labels,
    archived: Annotated[Literal["false", "true", "any"], Query(description="Those out of service are left out.")] = (
        "false"
    ),
    connectivity: Connectivity | None = None,
    in_sync: Annotated[bool | None, Query(description="Whether they have answered their newest order.")] = None,
    lagging: Annotated[bool | None, Query(description="Whether orders do not get through to them.")] = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> models.Page[models.Device]:
    """Devices by name."""
    filters = Filters(label, _ARCHIVED[archived], connectivity, in_sync, since, lagging)
    listed = reading.device_page(shore, filters, limit, cursor, expand)
    return models.Page(data=show.devices(listed), next_cursor=listed.next_cursor)


@router.get("/devices/{key}")
def show_device(shore: S, key: Key, expand: Expand, tagged: Tagged) -> models.Device:
    """One device, by id, prefix or name."""
    return tagged(_shown(shore, key, expand))


@router.patch("/devices/{key}")
def change_device(
    shore: S, actor: Operator, key: Key, precondition: Precondition, body: models.DeviceChange
) -> models.Device:
    """Give a device another name, other labels, or another term to confirm in. What is left out stays."""
    confirm_s = (body.confirm_s,) if "confirm_s" in body.model_fields_set else None
    wanted = devices.Difference(body.name, body.labels, confirm_s)
    device = devices.change(
        shore, key, wanted, actor.name, lambda row: precondition.check(show.device(row, shore.now()))
    )
    return _shown(shore, device)


@router.post("/devices/{key}:archive")
def archive_device(shore: S, actor: Admin, key: Key) -> models.Device:
    """Take a device out of service. What waits for it is archived, its enrolment token is void; what it runs stays."""
    return _shown(shore, devices.archive(shore, key, actor.name))


@router.post("/devices/{key}:restore")
def restore_device(shore: S, actor: Admin, key: Key) -> models.Device:
    """Take an archived device back into service."""
    return _shown(shore, devices.restore(shore, key, actor.name))


@router.post("/devices/{key}:revoke")
def revoke_device(shore: S, actor: Admin, key: Key) -> models.Device:
    """Take every credential from a device: token, MQTT password, certificate. The broker forgets what it keeps of it,
    and what it says is passed over until it is enrolled anew. Sent again, the broker is told again.
    """
    return _shown(shore, devices.revoke(shore, key, actor.name))


@router.post("/devices/{key}:renew-token", status_code=201)
def renew_token(shore: S, actor: Admin, key: Key) -> models.CreatedDevice:
    """Make a new enrolment token for a device; the earlier one is void."""
    created = devices.renew_token(shore, key, actor.name)
    return show.created_device(created.row, created.token, shore.now())


@router.post("/devices/{key}:rollback", status_code=201)
def roll_back(shore: S, actor: Operator, key: Key, body: models.Rollback | None = None) -> models.Deployment:
    """Make a deployment of what was in force before, one further back each time, and order it unless ``staged``."""
    given = body or models.Rollback()
    intent = Intent(given.description, given.staged, deployments.expected(body), confirm_s=given.confirm_s)
    return deployments.shown(shore, rollback.roll_back(shore, key, given.to, intent, actor.name))


@router.get("/devices/{key}/why")
def show_why(shore: S, key: Key) -> models.Why:
    """Why a device does not run what it shall, or that it does, and what would help."""
    return show.why(why.explain(shore, key))


@router.get(
    "/devices/{key}/bundle",
    response_class=fastapi.Response,
    responses={200: {"content": {TAR: {"schema": {"type": "string", "format": "binary"}}}}},
)
def download_bundle(shore: S, _: Operator, key: Key, request: fastapi.Request) -> fastapi.Response:
    """The newest order of a device with all its files, signed, in a tar: for ``shallopd apply-bundle``, where no
    network goes. The order has no ``confirm_s``.
    """
    bundle = bundles.bundle(shore, key)
    headers = {"Content-Disposition": f'attachment; filename="{bundle.name}"', "Content-Length": str(bundle.size)}
    if request.scope.get(edge.BODILESS):
        return fastapi.Response(None, 200, headers, TAR)
    return StreamingResponse(bundle.pieces(), 200, headers, TAR)


async def _raw(request: fastapi.Request) -> bytes:
    return await request.body()


@router.post("/devices/{key}/report")
def bring_report(
    shore: S, actor: Operator, key: Key, body: dict[str, Any], raw: Annotated[bytes, Depends(_raw)]
) -> models.BroughtReport:
    """Take a report that ``shallopd report`` wrote, as if it had come through the broker."""
    assert isinstance(body, dict)  # the framework has seen to it; what is taken are the bytes
    brought = bundles.bring_report(shore, key, raw, actor.name)
    return models.BroughtReport(device_id=brought.device, news=brought.news)


@router.get("/devices/{key}/history")
def device_history(shore: S, key: Key, limit: Limit = 50, cursor: Cursor = None) -> models.Page[models.HistoryEntry]:
    """What happened to a device and its deployments, oldest first."""
    page = reading.history_page(shore, device=key, limit=limit, cursor=cursor)
    return models.Page(data=[show.history_entry(row) for row in page.rows], next_cursor=page.next_cursor)


def _new(body: models.NewDevice) -> devices.New:
    return devices.New(body.name, body.labels, body.confirm_s)


def _shown(shore: Shore, key: str, expand: frozenset[str] = frozenset()) -> models.Device:
    (device,) = show.devices(reading.device(shore, key, expand))
    return device
