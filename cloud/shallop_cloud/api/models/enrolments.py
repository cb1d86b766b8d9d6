"""Enrolment."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from shallop_cloud.api.models.base import MAX_BATCH, Shown, Taken
from shallop_cloud.authorities import MAX_REQUEST


class NewEnrolment(Taken):
    """A robot asks for its place in the fleet. It chose ``secret`` itself and saved it before it asked."""

    token: Annotated[str, pydantic.Field(min_length=1, max_length=256)]
    secret: Annotated[str, pydantic.Field(min_length=1, max_length=256)]
    agent_version: Annotated[str, pydantic.Field(max_length=64)] = ""
    csr: Annotated[str, pydantic.Field(max_length=MAX_REQUEST)] | None = pydantic.Field(
        default=None,
        description="A certificate request (PKCS #10) in PEM, with a key of ECDSA P-256, or RSA of 2,048 to 4,096 bits."
        " Only its key counts; the names in the certificate are the server's.",
    )


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
    ca: str | None = pydantic.Field(description="In PEM, who signs the broker's certificate, if the server was told.")
    certificate: str | None = pydantic.Field(
        description="The robot's client certificate, and those that lead from it to the authority, in PEM."
    )


class Trust(Shown):
    """By whose word the robot goes. It pins the roots for ever; they sign key lists, whose keys sign all else."""

    roots: list[str] = pydantic.Field(description="Raw Ed25519 public keys, base64.")
    threshold: int = pydantic.Field(description="So many of the roots sign a key list together.")
    key_list: str = pydantic.Field(description="The newest key list: the envelope, as text.")


class Floor(Shown):
    """The newest order of the robot when it enrolled. It never obeys an older one."""

    epoch: int
    generation: int


class Enrolment(Shown):
    """The answer to a robot that enrols: all that it must keep."""

    device: EnrolledDevice
    mqtt: MqttAccount
    trust: Trust
    floor: Floor


class BatchedEnrolment(Taken):
    """One of many; who wants a certificate enrols by itself."""

    token: Annotated[str, pydantic.Field(min_length=1, max_length=256)]
    secret: Annotated[str, pydantic.Field(min_length=1, max_length=256)]
    agent_version: Annotated[str, pydantic.Field(max_length=64)] = ""


class NewEnrolments(Taken):
    """Robots ask for their places in the fleet, all or none."""

    enrolments: Annotated[list[BatchedEnrolment], pydantic.Field(min_length=1, max_length=MAX_BATCH)]


class Mqtt(Shown):
    """Where robots connect; each as its own device id in lower case."""

    url: str
    protocol: Literal["3.1.1", "5"]
    topic_root: str
    ca: str | None = pydantic.Field(description="In PEM, who signs the broker's certificate, if the server was told.")


class SeatedDevice(EnrolledDevice):
    """One of them."""

    floor: Floor


class Enrolments(Shown):
    """The answer to robots that enrol together, in the order in which they were asked for."""

    devices: list[SeatedDevice]
    mqtt: Mqtt
    trust: Trust
