"""The published protocol: generated, current, valid, and with examples that hold."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import runpy
import sys

import jsonschema
import pytest
import referencing
from shallop_protocol import asyncapi, desired, dsse, echo, keys, messages
from shallop_protocol.topics import RETAINED, TO_ALL, Access, Kind, Topics

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "protocol"
META_SCHEMA = "SHALLOP_ASYNCAPI_META_SCHEMA"
ROBOT = "dev-7k3qf0h2m9xw4rtc"
DOCUMENT = asyncapi.document()
SCHEMAS = asyncapi.schemas()
NAMES = ["Envelope", "Desired", "Report", "Presence", "Event", "Hello"]


def validator(name: str) -> jsonschema.Draft202012Validator:
    whole = {**SCHEMAS, "$ref": f"#/$defs/{name}"}
    return jsonschema.Draft202012Validator(whole, registry=referencing.Registry())


@pytest.mark.parametrize(
    ("file", "arguments"), [("asyncapi.json", []), ("schemas.json", ["--schemas"])], ids=["asyncapi", "schemas"]
)
def test_the_committed_file_is_what_is_generated(
    file: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asyncapi.main(arguments)
    words = " ".join(["uv run python -m shallop_protocol.asyncapi", *arguments, f"> docs/protocol/{file}"])
    assert (DOCS / file).read_text() == capsys.readouterr().out, f"update it: {words}"


def test_the_module_prints_the_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "shallop_protocol.asyncapi")
    monkeypatch.setattr(sys, "argv", ["asyncapi"])
    runpy.run_module("shallop_protocol.asyncapi", run_name="__main__")
    assert json.loads(capsys.readouterr().out) == DOCUMENT


@pytest.mark.slow
def test_the_document_is_asyncapi_3() -> None:
    path = os.environ.get(META_SCHEMA)
    if path is None:
        pytest.skip(f"set {META_SCHEMA} to schemas/3.0.0.json of the npm package @asyncapi/specs")
    schema = json.loads(pathlib.Path(path).read_text())
    jsonschema.Draft7Validator(schema, registry=referencing.Registry()).validate(DOCUMENT)


def test_the_schemas_are_json_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS)
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("name", NAMES)
def test_every_example_holds_and_a_spoilt_one_does_not(name: str) -> None:
    example = asyncapi.examples()[name]
    validator(name).validate(example)
    for field in SCHEMAS["$defs"][name].get("required", []):
        spoilt = {key: value for key, value in example.items() if key != field}
        assert not validator(name).is_valid(spoilt)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Envelope", {"payloadType": "text/plain"}),
        ("Envelope", {"signatures": []}),
        ("Desired", {"generation": 0}),
        ("Desired", {"v": 2}),
        ("Report", {"device": "DEV-1"}),
        ("Report", {"deployments": [{"id": "DPL-7K3QF0H2M9XW4RTC", "activity": "paused", "since": "now"}]}),
        ("Presence", {"status": "away"}),
        ("Event", {"code": "Has Space"}),
        ("Hello", {"spread_s": -1}),
        ("Echo", {"nonce": "short"}),
    ],
)
def test_the_schemas_refuse_what_the_models_refuse(name: str, change: dict) -> None:
    assert not validator(name).is_valid({**asyncapi.examples()[name], **change})


def test_the_examples_in_the_document_are_messages_of_this_protocol() -> None:
    example = {kind: DOCUMENT["components"]["messages"][kind.value]["examples"][0]["payload"] for kind in Kind}
    data = {kind: json.dumps(payload).encode() for kind, payload in example.items()}
    key = dsse.signer_from_seed(bytes(range(32))).key
    order = desired.open_desired(data[Kind.DESIRED], {key.keyid: key}, ROBOT)
    assert order.model_dump(mode="json") == DOCUMENT["components"]["schemas"]["Desired"]["examples"][0]
    assert order.deployment.instances[0].data == b"controller:\n  max_speed: 1.5  # m/s\n"
    assert json.loads(base64.b64decode(example[Kind.DESIRED]["payload"])) == json.loads(order.to_bytes())
    answer = echo.open_echo(data[Kind.ECHO], {key.keyid: key}, ROBOT)
    assert answer.model_dump(mode="json") == DOCUMENT["components"]["schemas"]["Echo"]["examples"][0]
    parsed = {
        Kind.REPORT: messages.parse_report(data[Kind.REPORT], ROBOT),
        Kind.PRESENCE: messages.parse_presence(data[Kind.PRESENCE], ROBOT),
        Kind.EVENT: messages.parse_event(data[Kind.EVENT], ROBOT),
        Kind.HELLO: messages.parse_hello(data[Kind.HELLO]),
    }
    listed = keys.open_key_list(data[Kind.KEYS], keys.Roots((key,)))
    assert listed.model_dump(mode="json") == DOCUMENT["components"]["schemas"]["KeyList"]["examples"][0]
    assert {kind: message.model_dump(mode="json") for kind, message in parsed.items()} == {
        kind: example[kind] for kind in parsed
    }


def test_channels_are_the_topics_and_operations_are_the_clouds() -> None:
    sea = Topics()
    for kind in Kind:
        channel = DOCUMENT["channels"][kind.value]
        topic = {Kind.HELLO: sea.hello, Kind.KEYS: sea.keys}.get(kind) or sea.of(ROBOT, kind)
        assert channel["address"].replace("{device}", ROBOT) == topic
        assert ("parameters" in channel) is (kind not in TO_ALL)
        action = "receive" if sea.allows(ROBOT, Access.PUBLISH, topic) else "send"
        assert DOCUMENT["operations"][f"{action}{kind.value.capitalize()}"] == {
            "action": action,
            "channel": {"$ref": f"#/channels/{kind.value}"},
            "summary": DOCUMENT["components"]["messages"][kind.value]["summary"],
            "messages": [{"$ref": f"#/channels/{kind.value}/messages/{kind.value}"}],
            "bindings": {"mqtt": {"qos": 1, "retain": kind in RETAINED, "bindingVersion": "0.2.0"}},
        }
    assert len(DOCUMENT["operations"]) == len(Kind)


def test_every_reference_leads_somewhere() -> None:
    def references(value: object):
        if isinstance(value, dict):
            yield from (target for key, target in value.items() if key == "$ref")
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for whole in (DOCUMENT, SCHEMAS):
        found = set(references(whole))
        assert len(found) > 5
        for target in found:
            place = whole
            for part in target.removeprefix("#/").split("/"):
                place = place[part]


@pytest.mark.parametrize(
    "word",
    [
        "(epoch, generation)",
        "conflicting_generation",
        "older_generation",
        "conflicting_deployment",
        "8388608",
        "1048576",
        "65536",
        "8192",
        "`connection` number",
        "spread_s",
        "under a new `seq`",
        "DSSEv1",
        "NUL `mode` SPACE `size` SPACE `digest` LF",
        "`deployment: null`",
        "last 8 finished",
    ],
)
def test_the_rules_that_no_schema_holds_are_in_words(word: str) -> None:
    assert word in json.dumps(DOCUMENT)
