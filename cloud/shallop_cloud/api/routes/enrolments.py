"""Robots take their places. Whoever has a one-time token may ask; no other token is needed."""

from __future__ import annotations

import fastapi
from shallop_protocol import ids

from shallop_cloud import authorities
from shallop_cloud.api import access, asking, models
from shallop_cloud.api.asking import S
from shallop_cloud.services import certificates, devices
from shallop_cloud.store import key_lists

router = asking.open_to_all()


@router.post("/enrolments", status_code=201, responses={401: {}, 409: {}, 429: {}})
def enrol(shore: S, request: fastapi.Request, body: models.NewEnrolment) -> models.Enrolment:
    """Exchange a one-time token for a place in the fleet. Repeating it with the same secret gives the same answer."""
    with access.guessed(request):
        devices.check_token(shore, body.token)
    csr = authorities.read_request(body.csr) if body.csr else None
    made = devices.enrol(shore, body.token, body.secret)
    enrolled = made.devices[0]
    certificate = certificates.ensure(shore, enrolled.device, csr) if csr else None
    return models.Enrolment(
        device=models.EnrolledDevice(id=enrolled.device, name=enrolled.name),
        mqtt=models.MqttAccount(
            url=shore.broker.url,
            username=ids.on_wire(enrolled.device),
            protocol=shore.broker.protocol,
            topic_root=shore.topics.root,
            ca=shore.broker.ca,
            certificate=certificate,
        ),
        trust=_trust(made.trust),
        floor=_floor(enrolled),
    )


@router.post("/enrolments:batch", status_code=201, responses={401: {}, 429: {}})
def enrol_many(shore: S, request: fastapi.Request, body: models.NewEnrolments) -> models.Enrolments:
    """Exchange many one-time tokens, all or none, as a workshop does that sets up many robots."""
    with access.guessed(request):
        devices.check_token(shore, body.enrolments[0].token)
    made = devices.enrol_many(shore, [(each.token, each.secret) for each in body.enrolments])
    return models.Enrolments(
        devices=[models.SeatedDevice(id=each.device, name=each.name, floor=_floor(each)) for each in made.devices],
        mqtt=models.Mqtt(
            url=shore.broker.url,
            protocol=shore.broker.protocol,
            topic_root=shore.topics.root,
            ca=shore.broker.ca,
        ),
        trust=_trust(made.trust),
    )


def _trust(recorded: key_lists.Recorded) -> models.Trust:
    return models.Trust(roots=list(recorded.roots), threshold=recorded.threshold, key_list=recorded.envelope)


def _floor(enrolled: devices.Enrolled) -> models.Floor:
    epoch, generation = enrolled.floor
    return models.Floor(epoch=epoch, generation=generation)
