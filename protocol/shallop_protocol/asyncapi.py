"""The protocol as an AsyncAPI 3.0 document and as JSON Schemas, made from the models that parse the messages.

A robot in another language can be written from the document alone, so the rules that no schema holds are in its
descriptions. ``python -m shallop_protocol.asyncapi`` prints it, with ``--schemas`` the JSON Schemas.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0, MQTT bindings version 0.2.0.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from typing import Any

import pydantic.json_schema

from shallop_protocol import asyncapi_prose as prose
from shallop_protocol import desired, digests, dsse, echo, keys, messages
from shallop_protocol.statuses import Activity, Error
from shallop_protocol.topics import CLOUD, DEFAULT_ROOT, RETAINED, TO_ALL, TO_DEVICE, Kind

Json = dict[str, Any]  # Any: a JSON value

BINDING = "0.2.0"

_ROBOT = "dev-7k3qf0h2m9xw4rtc"
_DEPLOYMENT = "DPL-7K3QF0H2M9XW4RTC"
_FALLBACK = "DPL-0QZ6Y8N4B1V5C3JM"
_SIGNER = dsse.signer_from_seed(bytes(range(32)))
_NOW = datetime.datetime(2024, 5, 17, 9, 30, tzinfo=datetime.timezone.utc)

_MESSAGES: tuple[type[messages.Message], ...] = (
    desired.Desired,
    messages.Report,
    messages.Presence,
    messages.Event,
    messages.Hello,
    echo.Echo,
    keys.KeyList,
)

_PAYLOAD_TYPES = (desired.PAYLOAD_TYPE, desired.PAYLOAD_TYPE_GZIP, echo.PAYLOAD_TYPE, keys.PAYLOAD_TYPE)

ENVELOPE: Json = {
    "type": "object",
    "title": "Envelope",
    "description": prose.ENVELOPE,
    "required": ["payloadType", "payload", "signatures"],
    "properties": {
        "payloadType": {"type": "string", "enum": [*_PAYLOAD_TYPES]},
        "payload": {
            "type": "string",
            "contentEncoding": "base64",
            "description": "A Desired in JSON, after gzip where the payload type says so; an Echo; or a KeyList.",
        },
        "signatures": {
            "type": "array",
            "minItems": 1,
            "maxItems": dsse.MAX_SIGNATURES,
            "items": {
                "type": "object",
                "required": ["keyid", "sig"],
                "properties": {
                    "keyid": {"type": "string", "description": prose.KEY_ID},
                    "sig": {"type": "string", "contentEncoding": "base64", "description": "64 bytes of Ed25519."},
                },
            },
        },
    },
}


def document() -> Json:
    """The AsyncAPI 3.0 document, from the point of view of the cloud."""
    kinds = {kind: _channel(kind) for kind in Kind}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "shallop",
            "version": str(messages.VERSION),
            "description": prose.INFO,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "broker.example.com:8883",
                "protocol": "mqtts",
                "protocolVersion": "5",
                "description": prose.BROKER,
                "bindings": {"mqtt": {"cleanSession": True, "keepAlive": 30, "bindingVersion": BINDING}},
            }
        },
        "channels": {kind.value: channel for kind, channel in kinds.items()},
        "operations": {_operation_name(kind): _operation(kind) for kind in Kind},
        "components": {
            "schemas": {**_definitions("#/components/schemas/{model}"), "Envelope": ENVELOPE},
            "messages": {kind.value: _message(kind) for kind in Kind},
        },
    }


def schemas() -> Json:
    """The JSON Schemas (2020-12) of everything that travels, as definitions of one schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"The messages of shallop, version {messages.VERSION}",
        "description": prose.SCHEMAS,
        "$defs": {"Envelope": ENVELOPE, **_definitions("#/$defs/{model}")},
    }


def examples() -> dict[str, Json]:
    """One value for each message that travels, by the name of its schema."""
    order = _order()
    report = messages.Report(
        device=_ROBOT,
        incarnation="0b8e6c52-1d4f-4c3e-9f0a-6a2d5b7c8e90",
        seq=51,
        at=_NOW,
        clock_synced=True,
        epoch=order.epoch,
        generation=order.generation,
        current=_FALLBACK,
        deployments=(
            messages.DeploymentReport(
                id=_FALLBACK, activity=Activity.DEPLOYED, digest=digests.of_files([]), since=_NOW
            ),
            messages.DeploymentReport(
                id=_DEPLOYMENT,
                activity=Activity.QUEUED,
                error=Error.RETRYING,
                attempts=2,
                next_attempt_at=_NOW + datetime.timedelta(seconds=4),
                reason=messages.Reason(code="disk_full", message="no space left on the device"),
                since=_NOW,
            ),
        ),
        agent=messages.Agent(version="1.0.0", started_at=_NOW),
    )
    presence = messages.Presence(device=_ROBOT, status="online", incarnation=report.incarnation, connection=7)
    event = messages.Event(
        device=_ROBOT,
        at=_NOW,
        code="files_changed",
        deployment=_DEPLOYMENT,
        message="the files are not what was written",
    )
    values = {
        "Desired": order,
        "Report": report,
        "Presence": presence,
        "Event": event,
        "Hello": messages.Hello(spread_s=12.5),
        "Echo": _echo(),
        "KeyList": _listed(),
    }
    return {
        "Envelope": json.loads(desired.seal_desired(order, _SIGNER)),
        **{name: message.model_dump(mode="json") for name, message in values.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the document, or the schemas."""
    parser = argparse.ArgumentParser(prog="python -m shallop_protocol.asyncapi", description="Prints the protocol.")
    parser.add_argument("--schemas", action="store_true", help="the JSON Schemas instead of the AsyncAPI document")
    chosen = schemas() if parser.parse_args(arguments).schemas else document()
    sys.stdout.write(json.dumps(chosen, indent=2, ensure_ascii=False) + "\n")


def _order() -> desired.Desired:
    text = "controller:\n  max_speed: 1.5  # m/s\n"
    file = desired.Instance(
        id="CFG-3H8T2W9P5R7D1KXE",
        path="nav2/params.yaml",
        digest=digests.of_bytes(text.encode()),
        size=len(text.encode()),
        content=text,
    )
    manifest = desired.Manifest(
        id=_DEPLOYMENT, release="1.4.0", digest=digests.of_files([file.file]), instances=(file,)
    )
    return desired.Desired(
        device=_ROBOT, epoch=1, generation=17, issued_at=_NOW, deployment=manifest, fallback=_FALLBACK
    )


def _echo() -> echo.Echo:
    return echo.Echo(device=_ROBOT, nonce="q3Vb0hXn2kQm8sZt", epoch=1, generation=17)


def _listed() -> keys.KeyList:
    key = keys.SigningKey(key=_SIGNER.key.text, state=keys.KeyState.ACTIVE)
    return keys.KeyList(version=3, epoch=1, issued_at=_NOW, signing_keys=(key,))


def _definitions(reference: str) -> Json:
    generated = pydantic.json_schema.models_json_schema(
        [(model, "validation") for model in _MESSAGES], ref_template=reference
    )
    definitions: Json = generated[1]["$defs"]
    values = examples()
    for name in (model.__name__ for model in _MESSAGES):
        definitions[name]["examples"] = [values[name]]
    return definitions


def _channel(kind: Kind) -> Json:
    channel: Json = {
        "address": f"{DEFAULT_ROOT}/{CLOUD if kind in TO_ALL else '{device}'}/{kind.value}",
        "title": kind.value,
        "description": prose.CHANNELS[kind],
        "messages": {kind.value: {"$ref": f"#/components/messages/{kind.value}"}},
    }
    if kind not in TO_ALL:
        channel["parameters"] = {"device": {"description": prose.DEVICE, "examples": [_ROBOT]}}
    return channel


def _operation_name(kind: Kind) -> str:
    return f"{'send' if _is_sent(kind) else 'receive'}{kind.value.capitalize()}"


def _is_sent(kind: Kind) -> bool:
    return kind in TO_ALL | TO_DEVICE


def _operation(kind: Kind) -> Json:
    return {
        "action": "send" if _is_sent(kind) else "receive",
        "channel": {"$ref": f"#/channels/{kind.value}"},
        "summary": prose.OPERATIONS[kind],
        "messages": [{"$ref": f"#/channels/{kind.value}/messages/{kind.value}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": kind in RETAINED, "bindingVersion": BINDING}},
    }


def _message(kind: Kind) -> Json:
    sealed = {Kind.ECHO: echo.seal_echo(_echo(), _SIGNER), Kind.KEYS: keys.seal_key_list(_listed(), [_SIGNER])}
    schema = "Envelope" if kind in sealed or kind is Kind.DESIRED else kind.value.capitalize()
    example = json.loads(sealed[kind]) if kind in sealed else examples()[schema]
    return {
        "name": kind.value,
        "title": kind.value,
        "summary": prose.OPERATIONS[kind],
        "description": prose.LIMITS[kind],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": {"mqtt": {"bindingVersion": BINDING}},
        "examples": [{"name": kind.value, "payload": example}],
    }


if __name__ == "__main__":
    main()
