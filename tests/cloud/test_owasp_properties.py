"""API3:2023 Broken Object Property Level Authorization: nobody sets what is not theirs to set.

For every body in the OpenAPI document, every object in it gets every field that any answer shows, and some that none
does; each is refused with 422, and nothing changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from owasp_world import Fleet, Operation

FOREIGN = ("is_admin", "__class__", "__proto__", "constructor", "$ref", "schema_", "sql")
Path = tuple[str | int, ...]
TOLD = 50
"""Findings that one answer has at most."""
RAW = {"bring_report"}
"""Its body is a message of the protocol; unknown fields of those are passed over, for robots that are newer."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


class Document:
    """The schemas of the document: what an example looks like, and which objects are in it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def chosen(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Of several that it may be, the one that has most to say."""
        schema = self.resolve(schema)
        choices = [self.resolve(each) for each in schema.get("anyOf", schema.get("oneOf", ()))]
        return max(choices, key=lambda each: ("properties" in each, each.get("type") != "null"), default=schema)

    def shown(self) -> set[str]:
        """Every field that anything has."""
        return {name for schema in self._schemas.values() for name in schema.get("properties", ())}

    def example(self, schema: dict[str, Any]) -> Any:
        """Something that fits, with all that may be there."""
        schema = self.chosen(schema)
        match schema.get("const", schema.get("enum", schema.get("type"))):
            case "object":
                if "properties" in schema:
                    return {name: self.example(each) for name, each in schema["properties"].items()}
                return {"key": self.example(schema.get("additionalProperties") or {"type": "string"})}
            case "array":
                return [self.example(schema["items"])]
            case "string":
                return "x"
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
            case [first, *_]:
                return first
            case constant:
                return constant

    def objects(self, schema: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, set[str]]]:
        """Where in the example objects with named fields are, and what those are."""
        schema = self.chosen(schema)
        if schema.get("type") == "array":
            yield from self.objects(schema["items"], (*path, 0))
        if "properties" in schema:
            yield path, set(schema["properties"])
            for name, each in schema["properties"].items():
                yield from self.objects(each, (*path, name))


def _bodies(fleet: Fleet) -> list[Operation]:
    return [each for each in fleet.operations() if each.body is not None and each.id not in RAW]


def test_no_field_is_taken_that_is_not_the_callers_to_set(fleet: Fleet) -> None:
    document = Document(fleet.document)
    foreign = document.shown() | set(FOREIGN)
    head, asked = fleet.head(), 0
    taken: list[tuple[str, Path, str]] = []
    for operation in _bodies(fleet):
        assert operation.body is not None
        for path, own in document.objects(operation.body):
            names_in_order = sorted(foreign - own)
            for start in range(0, len(names_in_order), TOLD // 2):
                names = names_in_order[start : start + TOLD // 2]
                body = document.example(operation.body)
                _at(body, path).update(dict.fromkeys(names, "x"))
                who = fleet.credentials["broker" if fleet.role(operation) == "broker" else "admin"]
                answer = fleet.ask(operation.method, fleet.target(operation), who, body)
                refused = {each["pointer"] for each in answer.json.get("errors", [])} if answer.status == 422 else set()
                prefix = "".join(f"/{step}" for step in path)
                told = {each.rpartition("/")[2] for each in refused if each.startswith(f"{prefix}/")}
                taken += [(operation.id, path, name) for name in names if name not in told]
                asked += len(names)
    assert taken == []
    assert asked > 1_000
    assert fleet.head() == head


def _at(body: Any, path: Path) -> dict[str, Any]:
    for step in path:
        body = body[step]
    return body


def test_every_body_forbids_what_it_does_not_know(fleet: Fleet) -> None:
    """So says the document, too: a client that goes by it cannot be surprised."""
    document = Document(fleet.document)
    for operation in _bodies(fleet):
        assert operation.body is not None
        seen = _named(document, operation.body)
        assert seen, operation.id
        assert all(each.get("additionalProperties") is False for each in seen), operation.id


def _named(document: Document, schema: dict[str, Any]) -> list[dict[str, Any]]:
    schema = document.resolve(schema)
    found = [schema] if "properties" in schema else []
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    below += [schema["items"]] if "items" in schema else []
    return found + [each for inner in below for each in _named(document, inner)]


def test_a_report_that_is_brought_sets_nothing_but_what_a_robot_says(fleet: Fleet) -> None:
    """Fields of a device in a report change nothing of the device."""
    before = fleet.as_admin("GET", "/v1/devices/mine").json
    fleet.mine.obey()
    report = {
        **json.loads(fleet.mine.report().to_bytes()),
        "name": "evil",
        "labels": {"a": "b"},
        "role": "admin",
        "desired": None,
    }
    answer = fleet.as_admin("POST", "/v1/devices/mine/report", report)
    assert answer.status == 200, answer.body
    after = fleet.as_admin("GET", "/v1/devices/mine").json
    for name in ("id", "name", "labels", "current", "fallback", "generation", "enrolled_at", "created_at"):
        assert after[name] == before[name]
