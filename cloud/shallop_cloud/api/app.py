"""The application: routes, and what stands around them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import fastapi
import fastapi.openapi.utils
from fastapi import Depends, Path, Query, security
from shallop_protocol import cloud, ids
from shallop_protocol.statuses import Activity, Error

from shallop_cloud import errors
from shallop_cloud.api import edge, models, problems, show
from shallop_cloud.services import contents, deployments, devices, lookup, reading, releases, validation
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import fleet, tokens

VERSION = importlib.metadata.version("shallop-cloud")

Key = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[^/:\x00]+$")]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=512)]
Status = Literal["staged", "drifted", "queued", "deployed", "removing", "archived", "retrying", "failed"]
assert set(Status.__args__) == {status.value for status in (*Activity, *Error)} - {"none"}

_bearer = security.HTTPBearer(auto_error=False, description="A token of this server, such as the one in admin.token.")


def create_app(shore: Shore, broker_connected: Callable[[], bool]) -> fastapi.FastAPI:
    """The API of one server."""
    app = fastapi.FastAPI(
        title="shallop",
        version=VERSION,
        description="Immutable, schema-checked configuration for fleets of robots.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.add_middleware(edge.Edge)
    problems.install(app)
    app.state.shore = shore
    app.state.broker_connected = broker_connected
    app.include_router(_open)
    app.include_router(_guarded)
    app.openapi = lambda: _openapi(app)
    return app


def _shore(request: fastapi.Request) -> Shore:
    return request.app.state.shore


def _actor(
    request: fastapi.Request, given: Annotated[security.HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str:
    if given is None:
        raise errors.Problem(401, "token_missing", "send a token: Authorization: Bearer TOKEN")
    with _shore(request).database.read() as connection:
        name = tokens.holder(connection, given.credentials)
    if name is None:
        raise errors.Problem(401, "token_invalid", "this server knows no such token")
    return name


S = Annotated[Shore, Depends(_shore)]
Actor = Annotated[str, Depends(_actor)]

_PROBLEMS: dict[int | str, dict[str, Any]] = {"default": {"model": models.Problem, "description": "A problem."}}
_open = fastapi.APIRouter(prefix="/v1", responses=_PROBLEMS)
_guarded = fastapi.APIRouter(prefix="/v1", responses=_PROBLEMS, dependencies=[Depends(_actor)])


@_open.get("/health")
def health(request: fastapi.Request) -> models.Health:
    """Whether the server works. Degraded while the broker cannot be reached: orders wait, nothing is lost."""
    connected = request.app.state.broker_connected()
    return models.Health(status="ok" if connected else "degraded", broker_connected=connected, version=VERSION)


@_open.post("/enrolments", status_code=201)
def enrol(shore: S, body: models.NewEnrolment) -> models.Enrolment:
    """Exchange a one-time token for a place in the fleet. Repeating it with the same secret gives the same answer."""
    enrolled = devices.enrol(shore, body.token, body.secret)
    return models.Enrolment(
        device=models.EnrolledDevice(id=enrolled.device, name=enrolled.name),
        mqtt=models.MqttAccount(
            url=shore.broker.url,
            username=ids.on_wire(enrolled.device),
            protocol=shore.broker.protocol,
            topic_root=shore.topics.root,
        ),
        signing_keys=[key.text for key in enrolled.signing_keys],
    )


@_open.post("/enrolments:batch", status_code=201)
def enrol_many(shore: S, body: models.NewEnrolments) -> models.Enrolments:
    """Exchange many one-time tokens, all or none, as a workshop does that sets up many robots."""
    enrolled = devices.enrol_many(shore, [(each.token, each.secret) for each in body.enrolments])
    return models.Enrolments(
        devices=[models.EnrolledDevice(id=each.device, name=each.name) for each in enrolled],
        mqtt=models.Mqtt(url=shore.broker.url, protocol=shore.broker.protocol, topic_root=shore.topics.root),
        signing_keys=[shore.signer.key.text],
    )


@_guarded.get("/summary")
def summary(shore: S) -> models.Summary:
    """The fleet in numbers."""
    with shore.database.read() as connection:
        return models.Summary(**dataclasses.asdict(fleet.count(connection)))


@_guarded.post("/releases", status_code=201)
def create_release(shore: S, actor: Actor, body: models.NewRelease) -> models.Release:
    """Make a release."""
    types = [
        (
            each.name,
            each.config_schema if isinstance(each.config_schema, str) else each.config_schema.model_dump(),
            each.format,
            each.path,
            each.required,
        )
        for each in body.config_types
    ]
    draft = validation.release(body.version, body.git_commit, types)
    return _release(reading.release(shore, releases.create(shore, draft, actor)))


@_guarded.get("/releases")
def list_releases(shore: S, limit: Limit = 50, cursor: Cursor = None) -> models.Page[models.Release]:
    """Releases, newest first."""
    listed = reading.release_page(shore, limit, cursor)
    data = [show.release(row, listed.parts[row["id"]]) for row in listed.rows]
    return models.Page(data=data, next_cursor=listed.next_cursor)


@_guarded.get("/releases/{key}")
def show_release(shore: S, key: Key) -> models.Release:
    """One release, by id, prefix or version."""
    return _release(reading.release(shore, key))


@_guarded.get("/config-schemas/{key}")
def show_config_schema(shore: S, key: Key) -> models.ConfigSchema:
    """One config schema, with the texts of its files."""
    with shore.database.read() as connection:
        return show.config_schema(lookup.config_schema(connection, key))


@_guarded.post("/devices", status_code=201)
def create_device(shore: S, actor: Actor, body: models.NewDevice) -> models.CreatedDevice:
    """Make a device. The enrolment token in the answer is shown this once."""
    created = devices.create(shore, body.name, body.labels, actor)
    return show.created_device(created.row, created.token)


@_guarded.post("/devices:batch", status_code=201)
def create_devices(shore: S, actor: Actor, body: models.NewDevices) -> models.CreatedDevices:
    """Make many devices: all of them, or none."""
    created = devices.create_many(shore, [(each.name, each.labels) for each in body.devices], actor)
    return models.CreatedDevices(data=[show.created_device(each.row, each.token) for each in created])


@_guarded.get("/devices")
def list_devices(
    shore: S,
    label: Annotated[str | None, Query(max_length=256, pattern=r"^[^=]+=.*$")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> models.Page[models.Device]:
    """Devices by name; ``label=site=lyon`` narrows the list."""
    key, _, value = (label or "").partition("=")
    page = devices.page(shore, (key, value) if label else None, limit, cursor)
    return models.Page(data=[show.device(row) for row in page.rows], next_cursor=page.next_cursor)


@_guarded.get("/devices/{key}")
def show_device(shore: S, key: Key) -> models.Device:
    """One device, by id, prefix or name."""
    with shore.database.read() as connection:
        return show.device(lookup.device(connection, key))


@_guarded.post("/devices/{key}:renew-token", status_code=201)
def renew_token(shore: S, actor: Actor, key: Key) -> models.CreatedDevice:
    """Make a new enrolment token for a device; the earlier one is void."""
    with shore.database.read() as connection:
        device = lookup.device(connection, key)["id"]
    created = devices.renew_token(shore, device, actor)
    return show.created_device(created.row, created.token)


@_guarded.get("/devices/{key}/history")
def device_history(shore: S, key: Key, limit: Limit = 50, cursor: Cursor = None) -> models.Page[models.HistoryEntry]:
    """What happened to a device and its deployments, oldest first."""
    page = reading.history_page(shore, device=key, limit=limit, cursor=cursor)
    return models.Page(data=[show.history_entry(row) for row in page.rows], next_cursor=page.next_cursor)


@_guarded.post("/deployments", status_code=201)
def create_deployment(shore: S, actor: Actor, body: models.NewDeployment) -> models.Deployment:
    """Make a deployment, and order it unless ``staged``."""
    request = deployments.Request(
        release=body.release,
        configs=_configs(body.configs),
        description=body.description,
        staged=body.staged,
        expected_current=_expected(body),
        patched_from=body.patched_from,
    )
    return _deployment(reading.deployment(shore, deployments.create(shore, body.device, request, actor)))


@_guarded.post("/deployments:batch")
def create_deployments(shore: S, actor: Actor, body: models.NewDeployments) -> models.MadeDeployments:
    """Make a deployment of the same files for each of many devices.

    If the files are not right, nothing is made. Then each device is by itself: its item has the id of its deployment,
    or the problem that it had, and the others get theirs all the same.
    """
    request = deployments.Request(body.release, _configs(body.configs), body.description, body.staged)
    chosen = body.devices if body.devices is not None else body.labels or {}
    return show.made_deployments(deployments.create_many(shore, chosen, request, actor))


@_guarded.get("/deployments")
def list_deployments(
    shore: S,
    device: Annotated[str | None, Query(max_length=128)] = None,
    release: Annotated[str | None, Query(max_length=128)] = None,
    status: Status | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> models.Page[models.Deployment]:
    """Deployments, newest first."""
    listed = reading.deployment_page(shore, device, release, status, limit, cursor)
    data = [show.deployment(row, listed.parts[row["id"]]) for row in listed.rows]
    return models.Page(data=data, next_cursor=listed.next_cursor)


@_guarded.get("/deployments/{key}")
def show_deployment(shore: S, key: Key) -> models.Deployment:
    """One deployment, by id or prefix."""
    return _deployment(reading.deployment(shore, key))


@_guarded.post("/deployments/{key}:deploy")
def deploy(shore: S, actor: Actor, key: Key, body: models.Act) -> models.Deployment:
    """Order a staged deployment."""
    return _deployment(reading.deployment(shore, deployments.deploy(shore, key, actor, _expected(body))))


@_guarded.post("/deployments/{key}:archive")
def archive(shore: S, actor: Actor, key: Key) -> models.Deployment:
    """Withdraw a deployment for ever. If it is in force, the robot is ordered to take everything off."""
    return _deployment(reading.deployment(shore, deployments.archive(shore, key, actor)))


@_guarded.post("/deployments/{key}:restage")
def restage(shore: S, actor: Actor, key: Key, body: models.Act) -> models.Deployment:
    """Declare a drifted deployment reviewed, so that it can be ordered."""
    return _deployment(reading.deployment(shore, deployments.restage(shore, key, actor, _expected(body))))


@_guarded.get("/deployments/{key}/history")
def deployment_history(
    shore: S, key: Key, limit: Limit = 50, cursor: Cursor = None
) -> models.Page[models.HistoryEntry]:
    """What happened to a deployment, oldest first."""
    page = reading.history_page(shore, deployment=key, limit=limit, cursor=cursor)
    return models.Page(data=[show.history_entry(row) for row in page.rows], next_cursor=page.next_cursor)


@_guarded.get("/config-instances/{key}")
def show_config_instance(shore: S, key: Key) -> models.ConfigInstance:
    """One config instance, without its content."""
    return show.config_instance(reading.content(shore, key)[0])


@_guarded.get(
    "/config-instances/{key}/content",
    response_class=fastapi.Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def config_instance_content(shore: S, key: Key) -> fastapi.Response:
    """The bytes of a config instance, as its author wrote them."""
    return fastapi.Response(reading.content(shore, key)[1], media_type="application/octet-stream")


def _release(listed: reading.Listed[Any]) -> models.Release:
    row = listed.rows[0]
    return show.release(row, listed.parts[row["id"]])


def _deployment(listed: reading.Listed[Any]) -> models.Deployment:
    row = listed.rows[0]
    return show.deployment(row, listed.parts[row["id"]])


def _configs(given: Sequence[models.NewConfig]) -> list[contents.Config]:
    return [contents.Config(each.config_type, each.content) for each in given]


def _expected(body: models.NewDeployment | models.Act) -> str | cloud.AnyCurrent | None:
    """Left out means any; null means nothing."""
    return body.expected_current if "expected_current" in body.model_fields_set else cloud.ANY


def _openapi(app: fastapi.FastAPI) -> dict[str, Any]:
    """The document, with problems under the media type that they are sent with."""
    if app.openapi_schema is None:
        document = fastapi.openapi.utils.get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                content = operation["responses"]["default"]["content"]
                content[problems.MEDIA_TYPE] = content.pop("application/json")
        app.openapi_schema = document
    return app.openapi_schema
