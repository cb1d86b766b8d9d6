"""What travels, as values. ``bytes -> message | ProtocolError`` happens here and nowhere else.

Unknown fields are ignored, so that a newer peer may say more. An unknown status or a higher version is an
error, never a default. Every field has a limit.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, TypeVar

import pydantic

from shallop_protocol import digests, errors, ids, strict_json
from shallop_protocol.statuses import Activity, Error

VERSION = 1
MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader holds exactly (RFC 8259, section 6)."""
MAX_REPORT_BYTES = 65_536
MAX_SMALL_BYTES = 8_192
"""For presence, event and hello."""
MAX_DEPLOYMENTS = 32
MAX_TEXT = 2_000
"""Characters of a message for people."""

WireId = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9-]{1,64}$")]
DeploymentId = Annotated[str, pydantic.Field(pattern=ids.DEPLOYMENT_PATTERN)]
Digest = Annotated[str, pydantic.Field(pattern=digests.PATTERN)]
Count = Annotated[int, pydantic.Field(ge=0, le=MAX_INTEGER)]
Number = Annotated[int, pydantic.Field(ge=1, le=MAX_INTEGER)]
Code = Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Text = Annotated[str, pydantic.Field(max_length=MAX_TEXT)]
Incarnation = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9-]{1,64}$")]
Time = pydantic.AwareDatetime
Nonce = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]


class Value(pydantic.BaseModel):
    """A frozen part of a message."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Message(Value):
    """A whole message. ``v`` is the version of the protocol that it was written in."""

    v: Literal[1] = VERSION

    def to_bytes(self) -> bytes:
        """Compact UTF-8 JSON."""
        return self.model_dump_json().encode()


class Reason(Value):
    """Why something is not as it should be: a stable code, and words for a person."""

    code: Code
    message: Text

    @classmethod
    def of(cls, code: str, message: str) -> Reason:
        """A reason whose words are cut to what a message may hold, and are text whatever they quote."""
        message = message.encode(errors="replace").decode()
        return cls(code=code, message=message if len(message) <= MAX_TEXT else message[: MAX_TEXT - 1] + "…")


class Waiting(Value):
    """Why a deployment is not brought on although nothing is wrong: robot software holds it back, its files are being
    fetched, it is on trial."""

    code: Code
    message: Text
    until: Time | None = pydantic.Field(default=None, description="When the wait ends at the latest, if that is known.")


class DeploymentReport(Value):
    """One deployment, as the device last knew it."""

    id: DeploymentId
    activity: Literal[Activity.QUEUED, Activity.DEPLOYED, Activity.REMOVING, Activity.ARCHIVED]
    error: Error = Error.NONE
    attempts: Count = 0
    next_attempt_at: Time | None = None
    reason: Reason | None = None
    waiting: Waiting | None = None
    integrity: Reason | None = pydantic.Field(
        default=None, description="Its files on the disk are not what was written, and the device leaves them so."
    )
    digest: Digest | None = pydantic.Field(
        default=None, description="What was read back from the disk; set once the deployment was in force."
    )
    since: Time


class Refusal(Value):
    """The newest desired state that the device would not accept, and why."""

    code: Code
    message: Text
    generation: Count | None = None


class Agent(Value):
    """The software that reports."""

    version: Annotated[str, pydantic.Field(max_length=64)]
    started_at: Time


class Report(Message):
    """The device's last-known state, in its own words. Newest wins: by ``seq`` within an incarnation."""

    device: WireId
    incarnation: Incarnation = pydantic.Field(description="Names the device's state database; new when that is lost.")
    seq: Number
    at: Time = pydantic.Field(description="The device's clock, for people only.")
    clock_synced: bool = False
    epoch: Count
    generation: Count = pydantic.Field(description="Of the newest desired state accepted; 0 if there was none.")
    order: Digest | None = pydantic.Field(
        default=None, description="Which order of that generation: its digest; null if there was none."
    )
    current: DeploymentId | None = None
    nonce: Nonce | None = pydantic.Field(
        default=None, description="The device asks for an echo: proof that this report reached the cloud."
    )
    keys: Count = pydantic.Field(default=0, description="The version of the key list that the device goes by.")
    stale: bool = pydantic.Field(
        default=False,
        description="For longer than it should be, no echo has proven that the device has the newest order.",
    )
    refused: Refusal | None = None
    deployments: Annotated[tuple[DeploymentReport, ...], pydantic.Field(max_length=MAX_DEPLOYMENTS)] = ()
    agent: Agent


class Presence(Message):
    """Whether the device's connection stands: its birth message and, with ``offline``, its last will.

    A will carries the connection number of its birth, so one that arrives late is known to be old.
    """

    device: WireId
    status: Literal["online", "offline"]
    incarnation: Incarnation
    connection: Number


class Event(Message):
    """Something that happened along the way. Nice to have; nothing depends on its arrival."""

    device: WireId
    at: Time
    code: Code
    deployment: DeploymentId | None = None
    message: Text


class Hello(Message):
    """The cloud asks every device to publish its report again, at a random moment within ``spread_s`` seconds."""

    spread_s: Annotated[float, pydantic.Field(ge=0, le=3600)] = 0.0


M = TypeVar("M", bound=Message)


def parse(model: type[M], data: bytes, limit: int) -> M:
    """The message of one kind that the bytes say.

    Raises:
        errors.TooLarge: more than ``limit`` bytes, or nested too deep.
        errors.Unsupported: written in another version of the protocol.
        errors.Malformed: not JSON, or not the fields of this kind.
    """
    value = strict_json.loads(data, limit)
    if isinstance(value, dict):
        version: object = value.get("v")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(version, int) and version != VERSION:
            raise errors.Unsupported(f"version {version} of the protocol; this software speaks version {VERSION}")
    try:
        return model.model_validate_json(data, strict=True)
    except pydantic.ValidationError as error:
        raise errors.Malformed(_first(error)) from None


def parse_report(data: bytes, device: str) -> Report:
    """A report from the topic of ``device``.

    Raises:
        errors.WrongDevice: it speaks of another device.
        errors.ProtocolError: as ``parse`` says.
    """
    return _from(device, parse(Report, data, MAX_REPORT_BYTES))


def parse_presence(data: bytes, device: str) -> Presence:
    """A presence message from the topic of ``device``; raises as ``parse_report`` does."""
    return _from(device, parse(Presence, data, MAX_SMALL_BYTES))


def parse_event(data: bytes, device: str) -> Event:
    """An event from the topic of ``device``; raises as ``parse_report`` does."""
    return _from(device, parse(Event, data, MAX_SMALL_BYTES))


def parse_hello(data: bytes) -> Hello:
    """The cloud's broadcast; raises as ``parse`` does."""
    return parse(Hello, data, MAX_SMALL_BYTES)


D = TypeVar("D", Report, Presence, Event)


def _from(device: str, message: D) -> D:
    if message.device != device:
        raise errors.WrongDevice(f"the message speaks of {message.device}, its topic of {device}")
    return message


def _first(error: pydantic.ValidationError) -> str:
    found: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "/".join(str(part) for part in found["loc"])
    return f"/{place[:200]}: {found['msg'][:200]}"


def utc(moment: datetime.datetime) -> datetime.datetime:
    """The same moment, in UTC and to the millisecond, as messages carry it."""
    moment = moment.astimezone(datetime.timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
