"""What the API takes and shows. The names are the contract: they change only by addition."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import pydantic
from shallop_protocol.statuses import Activity, Error, Target

from shallop_cloud.configs import Format

T = TypeVar("T")


class Shown(pydantic.BaseModel):
    """Something that the API shows."""

    model_config = pydantic.ConfigDict(frozen=True)


class Taken(pydantic.BaseModel):
    """Something that the API takes. Unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Page(Shown, Generic[T]):
    """A page of a list. ``next_cursor`` goes into ``cursor`` for the next one, and is null at the end."""

    data: list[T]
    next_cursor: str | None


class Reason(Shown):
    """Why something is not as it should be."""

    code: str
    message: str


# releases


class SchemaDocuments(Taken):
    """A JSON Schema as the texts of its files, by relative path; ``entry`` is the one to begin with."""

    entry: Annotated[str, pydantic.Field(min_length=1, max_length=1024)]
    documents: Annotated[dict[str, str], pydantic.Field(min_length=1, max_length=100)]


class NewConfigType(Taken):
    """A kind of configuration in a release, and where its file goes on the robot."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=64)]
    config_schema: Annotated[Literal["opaque"] | SchemaDocuments, pydantic.Field(alias="schema")]
    format: Format
    path: Annotated[str, pydantic.Field(min_length=1, max_length=1024)]
    required: bool = True


class NewRelease(Taken):
    """A release to be made."""

    version: Annotated[str, pydantic.Field(min_length=1, max_length=128)]
    git_commit: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    config_types: Annotated[list[NewConfigType], pydantic.Field(min_length=1, max_length=256)]


class Slot(Shown):
    """A named place of a config type where an instance goes."""

    key: str
    path: str
    required: bool


class ConfigType(Shown):
    """A kind of configuration in a release."""

    name: str
    format: Format
    schema_id: str
    schema_digest: str
    slots: list[Slot]


class Release(Shown):
    """An immutable set of config schemas."""

    id: str
    version: str
    git_commit: str | None
    created_at: datetime.datetime
    created_by: str
    config_types: list[ConfigType]


class ConfigSchema(Shown):
    """What instances of a config type must satisfy: ``opaque``, or the texts of JSON Schema files."""

    id: str
    digest: str
    definition: Any = pydantic.Field(description="``opaque``, or an object with ``entry`` and ``documents``.")
    created_at: datetime.datetime


# devices


class NewDevice(Taken):
    """A device to be made."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=128)]
    labels: dict[str, str] = {}


class Refusal(Shown):
    """The newest desired state that the device would not accept, and why."""

    code: str
    message: str
    generation: int | None


class LastKnown(Shown):
    """What the device last said of itself."""

    current: str | None
    generation: int
    seq: int
    incarnation: str
    device_time: datetime.datetime
    clock_synced: bool
    agent_version: str
    refused: Refusal | None
    reported_at: datetime.datetime


class Device(Shown):
    """One robot: what it shall run, and what was last heard of it."""

    id: str
    name: str
    labels: dict[str, str]
    created_at: datetime.datetime
    enrolled_at: datetime.datetime | None
    token_expires_at: datetime.datetime | None
    current: str | None = pydantic.Field(description="The deployment that is desired now.")
    fallback: str | None = pydantic.Field(description="What stays in force until that is confirmed.")
    generation: int
    in_sync: bool = pydantic.Field(description="Whether the device has answered the newest order.")
    online: bool
    last_heard_at: datetime.datetime | None
    last_known: LastKnown | None


class CreatedDevice(Device):
    """A new device with its enrolment token, which is shown this once."""

    token: str


MAX_BATCH = 10_000
"""Things that one request makes."""


class NewDevices(Taken):
    """Devices to be made, all or none."""

    devices: Annotated[list[NewDevice], pydantic.Field(min_length=1, max_length=MAX_BATCH)]


class CreatedDevices(Shown):
    """New devices, in the order in which they were asked for."""

    data: list[CreatedDevice]


class NewEnrolment(Taken):
    """A robot asks for its place in the fleet. It chose ``secret`` itself and saved it before it asked."""

    token: Annotated[str, pydantic.Field(min_length=1, max_length=256)]
    secret: Annotated[str, pydantic.Field(min_length=1, max_length=256)]
    agent_version: Annotated[str, pydantic.Field(max_length=64)] = ""


class EnrolledDevice(Shown):
    """Who the robot is."""

    id: str
    name: str


class MqttAccount(Shown):
    """Where and as whom the robot connects; its password is the secret that it sent."""

    url: str
    username: str
    protocol: Literal["3.1.1", "5"]
    topic_root: str


class Enrolment(Shown):
    """The answer to a robot that enrols: all that it must keep."""

    device: EnrolledDevice
    mqtt: MqttAccount
    signing_keys: list[str] = pydantic.Field(description="Raw Ed25519 public keys, base64, that sign desired states.")


class NewEnrolments(Taken):
    """Robots ask for their places in the fleet, all or none."""

    enrolments: Annotated[list[NewEnrolment], pydantic.Field(min_length=1, max_length=MAX_BATCH)]


class Mqtt(Shown):
    """Where robots connect; each as its own device id in lower case."""

    url: str
    protocol: Literal["3.1.1", "5"]
    topic_root: str


class Enrolments(Shown):
    """The answer to robots that enrol together, in the order in which they were asked for."""

    devices: list[EnrolledDevice]
    mqtt: Mqtt
    signing_keys: list[str] = pydantic.Field(description="Raw Ed25519 public keys, base64, that sign desired states.")


# deployments


class NewConfig(Taken):
    """One config file of a deployment, byte for byte as its author wrote it."""

    config_type: Annotated[str, pydantic.Field(min_length=1, max_length=64)]
    content: str


class NewDeployment(Taken):
    """A deployment to be made. Without ``staged`` it is ordered at once."""

    device: Annotated[str, pydantic.Field(min_length=1, max_length=128, description="Id, id prefix or name.")]
    release: Annotated[str, pydantic.Field(min_length=1, max_length=128, description="Id, id prefix or version.")]
    configs: Annotated[list[NewConfig], pydantic.Field(max_length=256)]
    description: Annotated[str, pydantic.Field(max_length=1024)] = ""
    staged: bool = False
    patched_from: Annotated[str, pydantic.Field(max_length=32)] | None = None
    expected_current: Annotated[str, pydantic.Field(max_length=32)] | None = pydantic.Field(
        default=None,
        description="What is believed to be desired now, null for nothing; leave it out to order no matter what.",
    )


DeviceKey = Annotated[str, pydantic.Field(min_length=1, max_length=128)]


class NewDeployments(Taken):
    """Deployments of the same files, one for each of many devices, named or chosen by label."""

    devices: Annotated[list[DeviceKey], pydantic.Field(min_length=1, max_length=MAX_BATCH)] | None = pydantic.Field(
        default=None, description="Ids, id prefixes or names."
    )
    labels: Annotated[dict[str, str], pydantic.Field(max_length=32)] | None = pydantic.Field(
        default=None, description="Every device that has all of these labels; an empty object means every device."
    )
    release: Annotated[str, pydantic.Field(min_length=1, max_length=128, description="Id, id prefix or version.")]
    configs: Annotated[list[NewConfig], pydantic.Field(max_length=256)]
    description: Annotated[str, pydantic.Field(max_length=1024)] = ""
    staged: bool = False

    @pydantic.model_validator(mode="after")
    def _one_choice(self) -> NewDeployments:
        if (self.devices is None) == (self.labels is None):
            raise ValueError("name the devices, or choose them by labels: one of the two")
        return self


class ItemProblem(Shown):
    """Why something was not done for one item of a batch."""

    status: int
    code: str
    detail: str


class MadeDeployment(Shown):
    """One device's part of a batch: the id of its deployment, or a problem."""

    device: str = pydantic.Field(description="As it was asked for, or its name if it was chosen by label.")
    device_id: str | None
    id: str | None
    problem: ItemProblem | None


class MadeDeployments(Shown):
    """What became of each device's part of a batch, in the order in which they were asked for, or by name."""

    data: list[MadeDeployment]


class Act(Taken):
    """What an act may state."""

    expected_current: Annotated[str, pydantic.Field(max_length=32)] | None = pydantic.Field(
        default=None,
        description="What is believed to be desired now, null for nothing; leave it out to act no matter what.",
    )


class ConfigInstance(Shown):
    """One config file of a deployment; its bytes are at ``/v1/config-instances/{id}/content``."""

    id: str
    config_type: str
    slot: str
    path: str
    digest: str
    size: int


class Deployment(Shown):
    """A set of config instances for one device and one release."""

    id: str
    device_id: str
    device_name: str
    release: str
    description: str
    digest: str
    target_status: Target
    activity_status: Activity
    error_status: Error
    status: str
    reason: Reason | None
    attempts: int
    patched_from: str | None
    config_instances: list[ConfigInstance]
    created_at: datetime.datetime
    created_by: str
    queued_at: datetime.datetime | None
    deployed_at: datetime.datetime | None
    archived_at: datetime.datetime | None


class HistoryEntry(Shown):
    """Something that happened, and was recorded in the transaction that did it."""

    id: int
    at: datetime.datetime
    device_time: datetime.datetime | None
    actor: str
    action: str
    device_id: str | None
    deployment_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Health(Shown):
    """Whether the server works, and how its link to the broker is."""

    status: Literal["ok", "degraded"]
    broker_connected: bool
    version: str


class Summary(Shown):
    """The fleet in numbers."""

    devices: int
    online: int
    in_sync: int = pydantic.Field(description="Devices that have answered their newest order, or never had one.")
    deployments: dict[str, int] = pydantic.Field(
        description="By status, those that are neither archived nor failed and cleared away."
    )


class Problem(Shown):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemError] = []
    request_id: str


class ProblemError(Shown):
    """One thing that is wrong with a document or the request's body."""

    message: str
    pointer: str
    source: str
    line: int
    column: int
