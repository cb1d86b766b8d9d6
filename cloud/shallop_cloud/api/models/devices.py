"""Devices."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated

import pydantic

from shallop_cloud.api.models.base import MAX_BATCH, ConfirmS, Shown, Taken
from shallop_cloud.store.connectivity import Connectivity
from shallop_cloud.store.lagging import Reason

if TYPE_CHECKING:  # they show each other; the package tells pydantic when both are there
    from shallop_cloud.api.models.deployments import Deployment


_CONFIRM = pydantic.Field(
    default=None,
    description="Its robot undoes a deployment unless the cloud answers within so many seconds of the switch;"
    " null for no such term. It counts for deployments that have none of their own, and from the next order on.",
)


class BroughtReport(Shown):
    """What became of a report that was brought by hand."""

    device_id: str
    news: bool = pydantic.Field(description="False if it was known, or a later one is.")


class NewDevice(Taken):
    """A device to be made."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=128)]
    labels: dict[str, str] = pydantic.Field(default_factory=dict)
    confirm_s: ConfirmS | None = _CONFIRM


class DeviceChange(Taken):
    """What of a device is to be another; what is left out stays."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=128)] | None = None
    labels: dict[str, str] | None = pydantic.Field(default=None, description="All that it shall have.")
    confirm_s: ConfirmS | None = _CONFIRM


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
    age_s: float = pydantic.Field(description="How long ago that was, in seconds.")


class Lagging(Shown):
    """Orders do not get through to the device, although the broker says that all is well."""

    since: datetime.datetime = pydantic.Field(description="When a report first said so.")
    why: Reason = pydantic.Field(
        description="``stale``: it says itself that nothing fresh reaches it. ``not_received``: it reports, and does"
        " not know the order that is out. ``refused``: it got one, and refused it."
    )


class BesideDevice(Shown):
    """What ``expand`` asked for."""

    current: Deployment | None = None
    fallback: Deployment | None = None


class Device(Shown):
    """One robot: what it shall run, and what was last heard of it."""

    id: str
    name: str
    labels: dict[str, str]
    created_at: datetime.datetime
    archived_at: datetime.datetime | None = pydantic.Field(description="When it was taken out of service.")
    enrolled_at: datetime.datetime | None
    revoked_at: datetime.datetime | None = pydantic.Field(
        description="When its credentials were taken from it; null again when it has enrolled anew."
    )
    token_expires_at: datetime.datetime | None
    current: str | None = pydantic.Field(description="The deployment that is desired now.")
    fallback: str | None = pydantic.Field(description="What stays in force until that is confirmed.")
    generation: int
    confirm_s: int | None = pydantic.Field(description="The term of deployments that have none of their own.")
    in_sync: bool = pydantic.Field(description="Whether the device has answered the newest order.")
    lagging: Lagging | None = pydantic.Field(description="Null while its orders get through, as far as is known.")
    key_list: int = pydantic.Field(description="The version that it says it goes by; 0 if it never said.")
    online: bool = pydantic.Field(description="Whether its connection is said to stand.")
    connectivity: Connectivity = pydantic.Field(
        description="``silent``: online, and nothing was heard of it for two and a half hours."
    )
    last_heard_at: datetime.datetime | None
    last_heard_age_s: float | None = pydantic.Field(description="How long ago that was, in seconds.")
    last_known: LastKnown | None
    expanded: BesideDevice | None = None


class CreatedDevice(Device):
    """A new device with its enrolment token, which is shown this once."""

    token: str


class NewDevices(Taken):
    """Devices to be made, all or none."""

    devices: Annotated[list[NewDevice], pydantic.Field(min_length=1, max_length=MAX_BATCH)]


class CreatedDevices(Shown):
    """New devices, in the order in which they were asked for."""

    data: list[CreatedDevice]
