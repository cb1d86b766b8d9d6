"""Robots take their places. Whoever has a one-time token may ask; no other token is needed."""

from __future__ import annotations

from shallop_protocol import ids

from shallop_cloud.api import asking, models
from shallop_cloud.api.asking import S
from shallop_cloud.services import devices

router = asking.open_to_all()


@router.post("/enrolments", status_code=201, responses={401: {}})
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


@router.post("/enrolments:batch", status_code=201, responses={401: {}})
def enrol_many(shore: S, body: models.NewEnrolments) -> models.Enrolments:
    """Exchange many one-time tokens, all or none, as a workshop does that sets up many robots."""
    enrolled = devices.enrol_many(shore, [(each.token, each.secret) for each in body.enrolments])
    return models.Enrolments(
        devices=[models.EnrolledDevice(id=each.device, name=each.name) for each in enrolled],
        mqtt=models.Mqtt(url=shore.broker.url, protocol=shore.broker.protocol, topic_root=shore.topics.root),
        signing_keys=[shore.signer.key.text],
    )
