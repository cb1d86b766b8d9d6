"""Who this device is, to whom it listens and where: the cloud's answer to an enrolment, checked."""

from __future__ import annotations

import dataclasses
import urllib.parse
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pydantic
from shallop_protocol import dsse, ids, keys, messages, topics, trust
from shallop_protocol import errors as protocol_errors

from shallop_device import errors

MAX_ANSWER_BYTES = 65_536
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class Broker(NamedTuple):
    """Where the broker listens."""

    host: str
    port: int
    tls: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled device.

    Attributes:
        device: its id, as people see it; ``wire_id`` is the form in topics, messages and the MQTT client id.
        anchor: whom it trusts by what it was told when it was enrolled. Newer key lists are the store's.
        ca: certificates in PEM that the broker's may be signed by; None for the system's.
        certificate: this device's own, with those that lead from it to its authority and with its private key, in PEM;
            None if it has none.
    """

    device: str
    name: str
    server: str
    root: Path
    mqtt_url: str
    username: str
    password: str = dataclasses.field(repr=False)
    protocol: Literal["3.1.1", "5"]
    topics: topics.Topics
    anchor: trust.Trust
    ca: str | None = None
    certificate: str | None = dataclasses.field(default=None, repr=False)

    @property
    def wire_id(self) -> str:
        """The device id on the wire."""
        return ids.on_wire(self.device)

    @property
    def broker(self) -> Broker:
        """Where the broker listens."""
        return broker_of(self.mqtt_url)


class _Device(pydantic.BaseModel):
    id: Annotated[str, pydantic.Field(pattern=rf"^DEV-[{ids.ALPHABET}]{{{ids.LENGTH}}}$")]
    name: Annotated[str, pydantic.Field(min_length=1, max_length=256)]


class _Mqtt(pydantic.BaseModel):
    url: str
    username: Annotated[str, pydantic.Field(min_length=1, max_length=256)]
    protocol: Literal["3.1.1", "5"]
    topic_root: str = topics.DEFAULT_ROOT
    ca: str | None = None
    certificate: str | None = None


class _Trust(pydantic.BaseModel):
    roots: Annotated[tuple[str, ...], pydantic.Field(min_length=1, max_length=keys.MAX_ROOTS)]
    threshold: int
    key_list: Annotated[str, pydantic.Field(max_length=keys.MAX_BYTES)]


class _Floor(pydantic.BaseModel):
    epoch: messages.Count
    generation: messages.Count


class _Answer(messages.Value):
    device: _Device
    mqtt: _Mqtt
    trust: _Trust
    floor: _Floor


def of(answer: bytes, server: str, root: Path, secret: str, key: str | None = None) -> Identity:
    """The identity that an answer gives.

    Args:
        key: the private key, in PEM, whose certificate the answer may have.

    Raises:
        errors.AgentError: the answer lacks something, or this software cannot use it.
    """
    try:
        parsed = _Answer.model_validate_json(answer)
        found = Identity(
            device=parsed.device.id,
            name=parsed.device.name,
            server=server,
            root=root,
            mqtt_url=parsed.mqtt.url,
            username=parsed.mqtt.username,
            password=secret,
            protocol=parsed.mqtt.protocol,
            topics=topics.Topics(parsed.mqtt.topic_root),
            anchor=_anchor(parsed),
            ca=parsed.mqtt.ca,
            certificate=_certificate(parsed.mqtt.certificate, key),
        )
        broker_of(found.mqtt_url)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "/".join(str(part) for part in first["loc"])
        raise errors.AgentError(f"{server} gave an answer that cannot be used: /{place}: {first['msg']}") from None
    except (protocol_errors.ProtocolError, ValueError) as error:
        raise errors.AgentError(f"{server} gave an answer that cannot be used: {error}") from None
    return found


def _certificate(chain: str | None, key: str | None) -> str | None:
    """Both together, as OpenSSL reads them. That they belong together is seen to when the robot enrols."""
    return None if chain is None or key is None else f"{chain.strip()}\n{key}"


def _anchor(answer: _Answer) -> trust.Trust:
    roots = keys.Roots(tuple(dsse.PublicKey.from_text(text) for text in answer.trust.roots), answer.trust.threshold)
    listed = keys.open_key_list(answer.trust.key_list.encode(), roots)
    floor = (answer.floor.epoch, answer.floor.generation)
    return trust.Trust(ids.on_wire(answer.device.id), roots, listed, floor)


def broker_of(url: str) -> Broker:
    """What ``mqtt://host:port`` or ``mqtts://host:port`` says; ports 1883 and 8883 if it says none.

    Raises:
        ValueError: it is neither.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not a broker's address: expected mqtt://host:port or mqtts://host:port")
    return Broker(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "mqtts")
