"""What a schema must be before it may judge anything, and how it travels."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from shallop_cloud.configs import ConfigSchema, Finding, Format, Refused, UnreadableError

DRAFTS = [
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
]


def schema(root: Any, **others: Any) -> ConfigSchema:
    """A schema from values; other files are ``name.json`` by keyword."""
    files = {"schema.json": root, **{f"{name}.json": value for name, value in others.items()}}
    return ConfigSchema.from_json(
        {"entry": "schema.json", "documents": {path: json.dumps(value) for path, value in files.items()}}
    )


def refusals(root: Any, **others: Any) -> list[Finding]:
    with pytest.raises(Refused) as refused:
        schema(root, **others)
    return list(refused.value.findings)


def messages(root: Any, **others: Any) -> list[str]:
    return [finding.message for finding in refusals(root, **others)]


def test_files_refer_to_each_other_by_relative_path() -> None:
    made = ConfigSchema.from_json(
        {
            "entry": "drive/schema.json",
            "documents": {
                "drive/schema.json": '{"properties": {"a": {"$ref": "sub/a.yaml#/$defs/speed%20limit"}}}',
                "drive/sub/a.yaml": "$defs:\n  speed limit: {$ref: ../../units.json#speed}\n",
                "units.json": '{"$defs": {"x": {"$anchor": "speed", "type": "number", "maximum": 5}}}',
            },
        }
    )
    assert [str(each) for each in made.check(b"a: 6", Format.YAML)] == ["1:1 /a: 6 is greater than the maximum of 5"]
    assert made.check(b"a: 5", Format.YAML) == []


@pytest.mark.parametrize("draft", DRAFTS)
def test_each_draft_is_judged_by_its_own_rules(draft: str) -> None:
    with_siblings = schema({"$schema": draft, "$defs": {"any": {}}, "$ref": "#/$defs/any", "type": "string"})
    assert len(with_siblings.check(b"1", Format.JSON)) == (0 if "07" in draft else 1)
    assert messages({"$schema": draft, "type": "strng"})[0].startswith("'strng' fits none of the alternatives")
    assert messages({"$schema": draft, "properties": {"a": {"minimum": "1"}}}) == ["'1' is not of type 'number'"]


def test_dependencies_of_draft_7() -> None:
    made = schema({"$schema": DRAFTS[0], "dependencies": {"a": ["b"], "c": {"properties": {"d": {"type": "null"}}}}})
    assert [each.message for each in made.check(b'{"a": 1, "c": 2, "d": 3}', Format.JSON)] == [
        "key 'b' is missing: 'a' requires it",
        "3 is not of type 'null'",
    ]
    later = schema({"dependencies": {"a": ["b"]}})
    assert later.check(b'{"a": 1}', Format.JSON) == []


def test_without_a_version_it_is_2020_12() -> None:
    assert len(schema({"prefixItems": [{"type": "string"}]}).check(b"[1]", Format.JSON)) == 1


def test_other_versions_are_refused() -> None:
    (finding,) = refusals({"$schema": "http://json-schema.org/draft-04/schema#"})
    assert str(finding).startswith(
        "schema.json:1:2 /$schema: 'http://json-schema.org/draft-04/schema#' is not a version"
    )
    assert "all files of a schema use one version: schema.json uses 2020-12" in messages(
        {"$ref": "other.json"}, other={"$schema": DRAFTS[0]}
    )
    assert messages({"$ref": "other.json"}, other={"$schema": 7})[0].startswith("7 is not a version")


def test_a_whole_file_with_its_own_version_keeps_our_rules() -> None:
    # jsonschema would switch to its stock validator at a nested "$schema", and NaN would pass.
    made = schema({"$schema": DRAFTS[0], "$ref": "other.json"}, other={"$schema": DRAFTS[0], "maximum": 1})
    assert len(made.check(b".nan", Format.YAML)) == 1


def test_findings_tell_file_place_and_pointer() -> None:
    text = '{\n  "properties": {\n    "speed": {"type": "number", "maximum": "5"}\n  }\n}'
    with pytest.raises(Refused) as refused:
        ConfigSchema.from_json({"entry": "s.json", "documents": {"s.json": text}})
    assert str(refused.value) == "s.json:3:33 /properties/speed/maximum: '5' is not of type 'number'"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("#/$defs/none", "there is no '/$defs/none' in schema.json"),
        ("#/properties/a/9", "there is no '/properties/a/9' in schema.json"),
        ("#/allOf/1", "there is no '/allOf/1' in schema.json"),
        ("#nowhere", "there is no 'nowhere' in schema.json"),
        ("other.json#/none", "there is no '/none' in other.json"),
        ("missing.json", "there is no file missing.json"),
        ("http://127.0.0.1/x.json", "leads out of the release"),
        ("https://json-schema.org/draft/2020-12/schema", "leads out of the release"),
        ("file:///etc/passwd", "leads out of the release"),
        ("//host/x.json", "leads out of the release"),
        ("/etc/passwd", "leads out of the release"),
        ("../x.json", "above the release's directory"),
        ("a/../../x.json", "above the release's directory"),
        ("a//b.json", "empty segment"),
        ("%2e%2e/x.json", "above the release's directory"),
        ("a%00b.json", "control character"),
        ("x.txt", "must end in .json, .yaml or .yml"),
    ],
)
def test_references_that_lead_nowhere_or_out_are_refused(reference: str, reason: str) -> None:
    documents = {
        "schema.json": json.dumps({"properties": {"a": {"$ref": reference}}, "allOf": [{"$ref": "other.json"}]}),
        "other.json": "{}",
        "x.txt": "{}",
    }
    with pytest.raises(Refused) as refused:
        ConfigSchema.from_json({"entry": "schema.json", "documents": documents})
    (finding,) = refused.value.findings
    assert reason in finding.message
    assert (finding.file, finding.pointer) in {("schema.json", "/properties/a/$ref"), ("x.txt", "")}


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A port on this machine, and the connections that it saw."""
    server = socket.create_server(("127.0.0.1", 0))
    seen: list[Any] = []

    def accept() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            connection.close()
            seen.append(address)

    thread = threading.Thread(target=accept)
    thread.start()
    yield server.getsockname()[1], seen
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_nothing_is_ever_fetched(listener: tuple[int, list[Any]]) -> None:
    port, seen = listener
    url = f"http://127.0.0.1:{port}/schema.json"
    assert len(messages({"$ref": url})) == 1
    assert len(messages({"$id": url, "$ref": "other.json"})) == 1
    assert len(messages({"$schema": url})) == 1
    assert messages({"$dynamicRef": url}) == ["$dynamicRef is not supported: use $ref"]
    made = schema({"$id": url, "properties": {"a": {"$ref": f"{url}#/$defs/n"}}, "$defs": {"n": {"type": "null"}}})
    assert len(made.check(b'{"a": 1}', Format.JSON)) == 1
    assert seen == []


@pytest.mark.parametrize(
    "root",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
        {"if": {"$ref": "#"}},
        {"dependentSchemas": {"a": {"$ref": "#"}}},
    ],
)
def test_schemas_that_apply_themselves_for_ever_are_refused(root: Any) -> None:
    assert messages(root) == ["the schema refers to itself without end: it applies itself to the same value"]


def test_schemas_that_take_a_part_of_the_value_each_time_may_recur() -> None:
    tree = schema({"properties": {"children": {"items": {"$ref": "#"}}}, "additionalProperties": False})
    assert tree.check(b'{"children": [{"children": []}]}', Format.JSON) == []
    assert [each.pointer for each in tree.check(b'{"children": [{"children": [{"x": 1}]}]}', Format.JSON)] == [
        "/children/0/children/0/x"
    ]


def test_long_chains_are_refused() -> None:
    links = {f"n{index}": {"$ref": f"#/$defs/n{index + 1}"} for index in range(500)}
    assert (
        "more than 64 schemas apply to one value" in messages({"$defs": {**links, "n500": {}}, "$ref": "#/$defs/n0"})[0]
    )


def test_patterns_are_checked_when_the_schema_is_made() -> None:
    found = refusals({"properties": {"a": {"pattern": "^(a+)+$"}}, "patternProperties": {"(": {}}})
    assert [(each.pointer, each.message.split(":")[0]) for each in found] == [
        ("/properties/a/pattern", "the pattern can take exponential time on a backtracking engine"),
        ("/patternProperties/(", "'(' without ')', at character 2 of the pattern"),
    ]
    assert messages({"allOf": [{"pattern": f"^{'a?' * 100}{index}"} for index in range(120)]}) == [
        "the patterns of the schema are too large together"
    ]


def test_patterns_count_over_all_files() -> None:
    many = {"allOf": [{"pattern": f"^{'a?' * 100}{index}"} for index in range(60)]}
    too_large = ["the patterns of the schema are too large together"]
    assert messages({"allOf": [{"$ref": "a.json"}, {"$ref": "b.json"}]}, a=many, b=many) == too_large
    assert messages({**many, "$ref": "#/components/x", "components": {"x": many}}) == too_large


def test_schemas_that_no_keyword_leads_to_are_checked_when_referred_to() -> None:
    good = schema({"$ref": "#/components/n", "components": {"n": {"type": "number"}, "broken": {"type": 5}}})
    assert len(good.check(b'"x"', Format.JSON)) == 1
    (finding,) = refusals({"$ref": "#/components/n", "components": {"n": {"minimum": "x"}}})
    assert (finding.pointer, finding.message) == ("/components/n/minimum", "'x' is not of type 'number'")
    assert messages({"$ref": "#/const", "const": 5}) == ["5 is not of type 'object' or 'boolean'"]


@pytest.mark.parametrize("draft", DRAFTS)
def test_a_ref_in_data_is_only_data(draft: str) -> None:
    data = {"$ref": "nowhere.json"}
    made = schema({"$schema": draft, "enum": [data], "default": data, "const": data, "examples": [data]})
    assert made.check(json.dumps(data).encode(), Format.JSON) == []


def test_names_within_a_file() -> None:
    old = schema({"$schema": DRAFTS[0], "items": {"$ref": "#n"}, "definitions": {"n": {"$id": "#n", "type": "null"}}})
    assert len(old.check(b"[1]", Format.JSON)) == 1
    by_index = schema({"prefixItems": [{"type": "null"}], "items": {"$ref": "#/prefixItems/0"}})
    assert len(by_index.check(b"[1, 2]", Format.JSON)) == 2
    generated = schema({"$schema": DRAFTS[0], "properties": {"a": {"$id": "#/properties/a", "type": "null"}}})
    assert len(generated.check(b'{"a": 1}', Format.JSON)) == 1
    assert messages({"$defs": {"a": {"$id": "a.json"}}}) == [
        "$id is supported only at the top of a file: refer to files by relative path"
    ]


def test_schemas_in_yaml() -> None:
    made = ConfigSchema.from_json({"entry": "s.yaml", "documents": {"s.yaml": "maximum: 5 # m/s\n"}})
    assert len(made.check(b"6", Format.JSON)) == 1
    with pytest.raises(Refused) as refused:
        ConfigSchema.from_json({"entry": "s.yml", "documents": {"s.yml": "type: number\nmaximum: .inf\n"}})
    assert str(refused.value) == "s.yml:2:1 /maximum: a schema cannot hold NaN or infinity"


def test_limits_on_the_files() -> None:
    def fetch(path: str) -> bytes:
        return json.dumps({"$ref": f"{int(path.removesuffix('.json')) + 1}.json"}).encode()

    with pytest.raises(Refused, match="the schema has more than 100 files"):
        ConfigSchema.link("0.json", fetch)
    large = {f"f{index}": {"description": "x" * 300_000, "type": "object"} for index in range(4)}
    assert messages({"allOf": [{"$ref": f"{name}.json"} for name in large]}, **large) == [
        "the schema's files are larger than 1048576 bytes together"
    ]
    deep: Any = {}
    for _ in range(64):
        deep = {"not": deep}
    assert messages(deep) == ["nested deeper than 64 levels"]


def test_a_file_that_cannot_be_read_is_told_where_it_is_referred_to() -> None:
    def fetch(path: str) -> bytes:
        if path == "s.json":
            return b'{"$ref": "secret.json"}'
        raise UnreadableError("secret.json is not a regular file")

    with pytest.raises(Refused) as refused:
        ConfigSchema.link("s.json", fetch)
    assert str(refused.value) == "s.json:1:2 /$ref: secret.json is not a regular file"
    with pytest.raises(Refused) as refused:
        ConfigSchema.link("other.json", fetch)
    assert str(refused.value) == "other.json:1:1: secret.json is not a regular file"


def test_equal_schemas_have_equal_digests_and_others_do_not() -> None:
    files = {"s.json": b'{"$ref": "t.json"}', "t.json": b"{}", "unused.json": b"{}"}
    one = ConfigSchema.link("s.json", files.get)
    assert one == ConfigSchema.link("s.json", dict(reversed(files.items())).get)
    assert one == ConfigSchema.from_json(json.loads(json.dumps(one.to_json())))
    assert one.to_json() == {"entry": "s.json", "documents": {"s.json": '{"$ref": "t.json"}', "t.json": "{}"}}
    assert one.digest.startswith("sha256:")
    assert len(one.digest) == 71
    others = [
        ConfigSchema.link("t.json", files.get),
        ConfigSchema.link("s.json", {**files, "t.json": b"{ }"}.get),
        ConfigSchema.opaque(),
    ]
    assert len({each.digest for each in [one, *others]}) == 4


def test_opaque_travels_as_a_word() -> None:
    assert ConfigSchema.opaque().to_json() == "opaque"
    assert ConfigSchema.from_json("opaque") == ConfigSchema.opaque()
    assert ConfigSchema.opaque().is_opaque


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (None, 'a schema is "opaque" or'),
        ("Opaque", 'a schema is "opaque" or'),
        ([], 'a schema is "opaque" or'),
        ({"entry": "s.json"}, 'a schema is "opaque" or'),
        ({"entry": "s.json", "documents": {}, "x": 1}, 'a schema is "opaque" or'),
        ({"entry": 1, "documents": {}}, 'a schema is "opaque" or'),
        ({"entry": "s.json", "documents": []}, 'a schema is "opaque" or'),
        ({"entry": "s.json", "documents": {"s.json": {}}}, "are texts"),
        ({"entry": "s.json", "documents": {"../s.json": "{}"}}, "begins with '..'"),
        ({"entry": "../s.json", "documents": {"s.json": "{}"}}, "begins with '..'"),
        ({"entry": "t.json", "documents": {"s.json": "{}"}}, "there is no file t.json"),
        ({"entry": "s.json", "documents": {"s.json": "{}", "t.json": "{}"}}, "nothing refers to this file"),
        ({"entry": "s.json", "documents": {"s.json": '{"title": "\udcff"}'}}, "not UTF-8"),
        ({"entry": "s.json", "documents": {"s.json": "[]"}}, "[] is not of type 'object' or 'boolean'"),
        ({"entry": "s.json", "documents": {"s.json": "{"}}, "a key in double quotes"),
        ({"entry": "s.json", "documents": {f"{n}.json": "{}" for n in range(101)}}, "more than 100 files"),
    ],
)
def test_what_the_wire_brings_is_not_trusted(wire: Any, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        ConfigSchema.from_json(wire)
    assert reason in str(refused.value)


def test_true_and_false_are_schemas() -> None:
    assert schema(True).check(b"1", Format.JSON) == []
    assert [each.message for each in schema(False).check(b"1", Format.JSON)] == ["nothing is allowed here"]
