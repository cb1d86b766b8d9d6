"""What the door takes and shows. The OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from shallop_protocol import messages
from shallop_protocol.desired import Mode
from shallop_protocol.statuses import Activity

MAX_REASON = 200
"""Characters of the reason for a hold."""
LONGEST_HOLD_S = 3600.0

Name = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Words = Annotated[str, pydantic.Field(max_length=MAX_REASON)]


class Shown(pydantic.BaseModel):
    """Something that the door shows."""

    model_config = pydantic.ConfigDict(frozen=True)


class Taken(pydantic.BaseModel):
    """Something that the door takes. Unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Problem(Shown):
    """RFC 9457 problem details. Programs decide by ``code``."""

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    code: messages.Code
    detail: str


class Device(Shown):
    """This robot."""

    id: str
    name: str
    server: str = pydantic.Field(description="The cloud that it is enrolled at.")
    root: str = pydantic.Field(description="The configuration root: robot software reads `current` below it.")
    agent: messages.Agent
    incarnation: messages.Incarnation
    online: bool
    online_since: messages.Time | None = pydantic.Field(description="By the robot's clock; null while offline.")


class InSight(Shown):
    """The deployment that robot software finds under `current`."""

    id: messages.DeploymentId
    release: str | None = pydantic.Field(description="Null for a fallback: the newest order does not name its release.")
    digest: messages.Digest | None
    activity: Activity | None = pydantic.Field(description="`deployed` is in force; `queued` is on trial.")
    since: messages.Time | None = pydantic.Field(description="Since when it has that activity.")


class File(Shown):
    """One file of a deployment."""

    path: str
    mode: Mode
    size: int
    digest: messages.Digest
    slot: str | None = pydantic.Field(description="Null for a fallback: the newest order does not name its slots.")


class Files(Shown):
    """The files of one deployment, in the order of their paths."""

    deployment: messages.DeploymentId
    files: tuple[File, ...]


class Deployment(InSight):
    """The deployment under `current`, with its files."""

    files: tuple[File, ...]


class Hold(Shown):
    """Robot software says "not now"."""

    name: Name
    reason: str
    expires_at: messages.Time = pydantic.Field(description="When it ends by itself, by the robot's clock.")
    while_pid: int | None = pydantic.Field(description="The process with whose end it ends.")


class Holds(Shown):
    """All holds, the one that ends first before the others."""

    holds: tuple[Hold, ...]


class Trial(Shown):
    """A deployment that is in sight and not confirmed yet."""

    deployment: messages.DeploymentId
    since: messages.Time
    passes: int = pydantic.Field(description="Good looks of the hook `health` in a row.")
    acks: tuple[Name, ...] = pydantic.Field(description="Robot software that acknowledged it.")
    said: str = pydantic.Field(description="What the last hook that did not pass said.")


class Trials(Shown):
    """The trial that goes on; null if none does."""

    trial: Trial | None


class Awaited(messages.Waiting):
    """What a deployment waits for although nothing is wrong."""

    deployment: messages.DeploymentId


class Freshness(Shown):
    """Whether the cloud has proven that this robot has its newest order."""

    stale: bool
    code: str | None = pydantic.Field(
        description="Why: `unanswered`, no proof for too long; `withheld`, the cloud has something newer."
    )
    message: str | None
    proven_at: messages.Time | None = pydantic.Field(
        description="As of when it was proven, by the robot's clock; null if it was not since the agent started."
    )


class Status(Shown):
    """All that the agent knows."""

    at: messages.Time = pydantic.Field(description="When this was so, by the robot's clock.")
    online: bool
    freshness: Freshness
    current: InSight | None
    waiting: Awaited | None
    trial: Trial | None
    holds: tuple[Hold, ...]
    report: messages.Report | None = pydantic.Field(description="The newest report, as the cloud gets it.")


class Changed(Shown):
    """What robot software finds under `current` now; null if there is nothing."""

    current: InSight | None


class Health(Shown):
    """The agent works: its thread answered."""

    status: Literal["ok"] = "ok"


class NewHold(Taken):
    """A hold that is set, or renewed."""

    reason: Words = ""
    expires_in_s: Annotated[float, pydantic.Field(gt=0, le=86_400, allow_inf_nan=False)] = pydantic.Field(
        description=f"It ends by itself after so many seconds; at most {LONGEST_HOLD_S:g}, or what the robot is set to."
    )
    while_pid: bool | Annotated[int, pydantic.Field(ge=2, le=2**31 - 1)] = pydantic.Field(
        default=False,
        description="It ends with this process, too: a process id, or `true` for the process that asks.",
    )


class Envelope(Taken):
    """Something signed, as ``shallop bundle`` wrote it and as it travels over MQTT."""

    model_config = pydantic.ConfigDict(extra="allow")

    payloadType: str  # noqa: N815  as DSSE spells it
    payload: str
    signatures: list[dict[str, Any]]


class Listed(Shown):
    """The key list that the robot goes by now."""

    version: messages.Count
    epoch: messages.Count


class Ordered(Shown):
    """The order that the robot obeys now."""

    epoch: messages.Count
    generation: messages.Count
    deployment: messages.DeploymentId | None = pydantic.Field(description="null: everything comes off.")


class Acknowledgement(Taken):
    """What robot software says of a deployment."""

    name: Name
    deployment: messages.DeploymentId
    ok: bool = pydantic.Field(default=True, description="False: the deployment must not stay in force.")
    message: Annotated[str, pydantic.Field(max_length=messages.MAX_TEXT // 2)] = pydantic.Field(
        default="", description="What is wrong with it, for people."
    )


class Acknowledged(Shown):
    """What became of an acknowledgement."""

    deployment: messages.DeploymentId
    on_trial: bool = pydantic.Field(description="False: it was in force already, and the word is not needed.")
