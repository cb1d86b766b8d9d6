"""What the world speaks of: one robot, one key, deployments by number, and the signed orders for them."""

from __future__ import annotations

import datetime
import enum
import functools

from shallop_protocol import desired, digests, dsse, ids, messages
from shallop_protocol.desired import Desired, Instance, Manifest
from shallop_protocol.messages import Reason

NOW = datetime.datetime(2024, 5, 17, 9, 30, tzinfo=datetime.timezone.utc)
ROBOT = "dev-7k3qf0h2m9xw4rtc"
SIGNER = dsse.signer_from_seed(bytes(range(32)))
TRUSTED = {SIGNER.key.keyid: SIGNER.key}
AGENT = messages.Agent(version="1.0.0", started_at=NOW)
FOUL = Reason.of("disk_full", "no space left on the device")
REFUSED = Reason.of("check_failed", "the check hook said no")


class Fate(enum.Enum):
    """What becomes of a deployment whenever the robot tries it in fair weather."""

    GOOD = "good"
    FAILS_CHECK = "rejected before the switch"
    FAILS_HEALTH = "rejected after the switch"
    ON_TRIAL = "on trial after the switch, and then well or not"


class Weather(enum.Enum):
    """How a single step of the robot goes."""

    FAIR = "fair"
    FOUL_EARLY = "held up before anything was written"
    FOUL_LATE = "held up after the switch"
    UNWELL = "the trial is not passed: the robot is not well, or the cloud's answer was lost"


FOULS = (Weather.FOUL_EARLY, Weather.FOUL_LATE)

Fates = tuple[tuple[str, Fate], ...]
"""The deployments that were ever made, in order, each with its fate."""


@functools.cache
def deployment_id(number: int) -> str:
    """The id of the world's n-th deployment."""
    return ids.make(ids.Prefix.DEPLOYMENT, number.to_bytes(ids.RANDOM_BYTES, "big"))


@functools.cache
def manifest(deployment: str) -> Manifest:
    """A deployment of one file, whose content is the deployment's own name."""
    data = f"name: {deployment}\n".encode()
    file = Instance(
        id=deployment.replace("DPL", "CFG"),
        path="robot.yaml",
        digest=digests.of_bytes(data),
        size=len(data),
        content=data.decode(),
    )
    return Manifest(id=deployment, release="1.0.0", digest=digests.of_files([file.file]), instances=(file,))


@functools.cache
def sealed(epoch: int, generation: int, deployment: str | None, fallback: str | None) -> bytes:
    """The signed order that the cloud publishes."""
    order = Desired(
        device=ROBOT,
        epoch=epoch,
        generation=generation,
        issued_at=NOW,
        deployment=manifest(deployment) if deployment else None,
        fallback=fallback,
    )
    return desired.seal_desired(order, SIGNER)


@functools.cache
def opened(envelope: bytes) -> Desired:
    """The order in an envelope."""
    return desired.open_desired(envelope, TRUSTED, ROBOT)
