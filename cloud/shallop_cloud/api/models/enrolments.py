"""Enrolment."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from shallop_cloud.api.models.base import MAX_BATCH, Shown, Taken


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
