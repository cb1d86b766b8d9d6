"""Who this device is, to whom it listens and where: the cloud's answer to an enrolment, checked."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pydantic
from shallop_protocol import dsse, ids, messages, topics
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
        keys: the public keys whose orders it obeys, by key id.
        ca: certificates in PEM that the broker's may be signed by; None for the system's.
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
    keys: Mapping[str, dsse.PublicKey]
    ca: str | None = None

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


class _Answer(messages.Value):
    device: _Device
    mqtt: _Mqtt
    signing_keys: Annotated[tuple[str, ...], pydantic.Field(min_length=1, max_length=16)]


def of(answer: bytes, server: str, root: Path, secret: str) -> Identity:
    """The identity that an answer gives.

    Raises:
        errors.AgentError: the answer lacks something, or this software cannot use it.
    """
    try:
        parsed = _Answer.model_validate_json(answer)
        keys = [dsse.PublicKey.from_text(text) for text in parsed.signing_keys]
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
            keys={key.keyid: key for key in keys},
            ca=parsed.mqtt.ca,
        )
        broker_of(found.mqtt_url)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "/".join(str(part) for part in first["loc"])
        raise errors.AgentError(f"{server} gave an answer that cannot be used: /{place}: {first['msg']}") from None
    except (protocol_errors.ProtocolError, ValueError) as error:
        raise errors.AgentError(f"{server} gave an answer that cannot be used: {error}") from None
    return found


def broker_of(url: str) -> Broker:
    """What ``mqtt://host:port`` or ``mqtts://host:port`` says; ports 1883 and 8883 if it says none.

    Raises:
        ValueError: it is neither.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not a broker's address: expected mqtt://host:port or mqtts://host:port")
    return Broker(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "mqtts")
