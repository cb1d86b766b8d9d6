"""Deployments and config instances."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic.json_schema import SkipJsonSchema
from shallop_protocol.statuses import Activity, Error, Target

from shallop_cloud.api.models.base import MAX_BATCH, ConfirmS, DeviceKey, ItemProblem, Reason, Shown, Taken, Waiting
from shallop_cloud.api.models.contents import Digest

if TYPE_CHECKING:  # they show each other; the package tells pydantic when both are there
    from shallop_cloud.api.models.devices import Device
    from shallop_cloud.api.models.releases import Release

DeploymentKey = Annotated[str, pydantic.Field(min_length=1, max_length=32)]
Expected = Annotated[str, pydantic.Field(min_length=1, max_length=32)] | None
ConfigType = Annotated[str, pydantic.Field(min_length=1, max_length=64)]
SlotKey = Annotated[str, pydantic.Field(min_length=1, max_length=64)]
Labels = Annotated[dict[str, str], pydantic.Field(max_length=32)]
Description = Annotated[str, pydantic.Field(max_length=1024)]
Confirm = Annotated[
    ConfirmS | None,
    pydantic.Field(
        description="The robot undoes it unless the cloud answers within so many seconds of the switch;"
        " left out, or null, what the device has counts."
    ),
]


BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_CONTENTS = ("content", "content_base64", "content_digest")


class NewConfig(Taken):
    """One config file of a deployment, byte for byte as its author wrote it: its text, its bytes in base64, or the
    digest of what was uploaded or is in another deployment.
    """

    model_config = pydantic.ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in _CONTENTS]})

    config_type: ConfigType
    slot: SlotKey = "default"
    content: str | SkipJsonSchema[None] = None
    content_base64: Annotated[str, pydantic.Field(pattern=BASE64)] | SkipJsonSchema[None] = None
    content_digest: Digest | SkipJsonSchema[None] = pydantic.Field(
        default=None, description="Of bytes that are recorded: PUT /v1/contents/{digest}."
    )

    @pydantic.model_validator(mode="after")
    def _one_of_them(self) -> NewConfig:
        given = [name for name in _CONTENTS if name in self.model_fields_set]
        if len(given) != 1 or getattr(self, given[0]) is None:
            raise ValueError(f"give one of {', '.join(_CONTENTS)}")
        return self


class NewDeployment(Taken):
    """A deployment to be made. Without ``staged`` it is ordered at once."""

    device: Annotated[str, pydantic.Field(min_length=1, max_length=128, description="Id, id prefix or name.")]
    release: Annotated[str, pydantic.Field(min_length=1, max_length=128, description="Id, id prefix or version.")]
    configs: Annotated[list[NewConfig], pydantic.Field(max_length=256)]
    description: Description = ""
    staged: bool = False
    patched_from: DeploymentKey | None = None
    expected_current: Expected = pydantic.Field(
        default=None,
        description="What is believed to be desired now, null for nothing; leave it out to order no matter what.",
    )
    confirm_s: Confirm = None


class NewDeployments(Taken):
    """Deployments of the same files, one for each of many devices, named or chosen by label."""

    devices: Annotated[list[DeviceKey], pydantic.Field(min_length=1, max_length=MAX_BATCH)] | None = pydantic.Field(
        default=None, description="Ids, id prefixes or names."
    )
    labels: Labels | None = pydantic.Field(
        default=None, description="Every device that has all of these labels; an empty object means every device."
    )
    release: Annotated[str, pydantic.Field(min_length=1, max_length=128, description="Id, id prefix or version.")]
    configs: Annotated[list[NewConfig], pydantic.Field(max_length=256)]
    description: Description = ""
    staged: bool = False
    confirm_s: Confirm = None

    @pydantic.model_validator(mode="after")
    def _one_choice(self) -> NewDeployments:
        if (self.devices is None) == (self.labels is None):
            raise ValueError("name the devices, or choose them by labels: one of the two")
        return self


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

    expected_current: Expected = pydantic.Field(
        default=None,
        description="What is believed to be desired now, null for nothing; leave it out to act no matter what.",
    )


class Restaging(Taken):
    """What a restage must state."""

    reviewed: Expected = pydantic.Field(
        description="What was current when the deployment was reviewed, null for nothing."
    )


class Merging(Taken):
    """What an accepted merge must state."""

    reviewed: Expected = pydantic.Field(description="What was current when the merge was looked at, null for nothing.")
    description: Description | None = pydantic.Field(
        default=None, description="Of the new deployment; left out, it is that of the old one."
    )


class Rollback(Taken):
    """What a rollback may state."""

    to: DeploymentKey | None = pydantic.Field(
        default=None, description="A deployment that was in force on this device; left out, it is the one before."
    )
    expected_current: Expected = pydantic.Field(
        default=None,
        description="What is believed to be desired now, null for nothing; leave it out to act no matter what.",
    )
    staged: bool = False
    description: Description = ""
    confirm_s: Confirm = None


class NewValue(Taken):
    """A value of a config file that is to be another; the rest of the file stays byte for byte."""

    config_type: ConfigType
    slot: SlotKey = "default"
    pointer: Annotated[str, pydantic.Field(max_length=4096)] = pydantic.Field(description="RFC 6901 JSON pointer.")
    value: Any


class Patch(Taken):
    """What is different in a new deployment from the one that it is made from."""

    set: Annotated[list[NewValue], pydantic.Field(max_length=1_000)] = pydantic.Field(default_factory=list[NewValue])
    configs: Annotated[list[NewConfig], pydantic.Field(max_length=256)] = pydantic.Field(
        default_factory=list[NewConfig]
    )
    staged: bool = False
    expected_current: Expected = pydantic.Field(
        default=None,
        description="What is believed to be desired now, null for nothing; leave it out to order no matter what.",
    )
    description: Description = ""
    confirm_s: Confirm = None


class ManyDeployments(Taken):
    """Deployments that an act is asked for."""

    deployments: Annotated[list[DeploymentKey], pydantic.Field(min_length=1, max_length=MAX_BATCH)]


class Choice(Taken):
    """Devices, by the labels that they have, all of them."""

    labels: Labels = pydantic.Field(default_factory=dict[str, str])


class ActedOn(Shown):
    """One of many deployments that an act was asked for: its id if it was done, or a problem."""

    deployment: str = pydantic.Field(description="As it was asked for.")
    id: str | None
    problem: ItemProblem | None


class ActedOnMany(Shown):
    """What became of each, in the order in which they were asked for, or by the name of their device."""

    data: list[ActedOn]


class ConfigInstance(Shown):
    """One config file of a deployment; its bytes are at ``/v1/config-instances/{id}/content``."""

    id: str
    config_type: str
    slot: str
    path: str
    digest: str
    size: int


class BesideDeployment(Shown):
    """What ``expand`` asked for."""

    device: Device | None = None
    release: Release | None = None


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
    waiting: Waiting | None = pydantic.Field(description="Why the robot does not bring it on, though nothing is wrong.")
    integrity: Reason | None = pydantic.Field(
        description="Its files on the robot are not what was written, and the robot leaves them so."
    )
    confirm_s: int | None = pydantic.Field(description="Its own term, if it has one; else its device's counts.")
    patched_from: str | None
    restores: str | None = pydantic.Field(description="The deployment whose content a rollback brought back.")
    base: str | None = pydantic.Field(description="What was desired when it was staged, or last restaged.")
    base_generation: int = pydantic.Field(description="The generation of its device at that time.")
    config_instances: list[ConfigInstance]
    created_at: datetime.datetime
    created_by: str
    queued_at: datetime.datetime | None
    deployed_at: datetime.datetime | None
    archived_at: datetime.datetime | None
    last_known_at: datetime.datetime | None = pydantic.Field(
        description="When the robot last reported; null if the deployment was never ordered, or nothing was heard."
    )
    last_known_age_s: float | None = pydantic.Field(description="How long ago that was, in seconds.")
    expanded: BesideDeployment | None = None
