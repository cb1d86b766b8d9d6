"""Schemas and parameter files of public robot projects, which nobody here wrote."""

from __future__ import annotations

import copy
import json
import math
import pathlib
import random
import time
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from shallop_cloud.configs import ConfigSchema, Format, Refused, parse

ROBOTS = pathlib.Path(__file__).parents[3].parent / "shared" / "robots"
AUTOWARE = sorted(ROBOTS.glob("autoware/*/config/*.param.yaml"))
NAV2 = sorted(ROBOTS.glob("nav2/*.yaml"))

pytestmark = pytest.mark.skipif(
    not AUTOWARE or not NAV2, reason="the public robots' files are not at ../shared/robots beside the project"
)


def schema_root(config: pathlib.Path) -> tuple[pathlib.Path, str]:
    return config.parents[1] / "schema", config.name.replace(".param.yaml", ".schema.json")


def schema_of(config: pathlib.Path) -> ConfigSchema:
    root, entry = schema_root(config)
    return ConfigSchema.link(entry, lambda path: (root / path).read_bytes() if (root / path).is_file() else None)


@pytest.mark.parametrize("config", AUTOWARE, ids=lambda path: path.name)
def test_autowares_configs_satisfy_their_schemas(config: pathlib.Path) -> None:
    schema = schema_of(config)
    assert schema.check(config.read_bytes(), Format.YAML) == []
    assert ConfigSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    root, entry = schema_root(config)
    assert "sub/node.sub_schema.json" in dict(schema.files) or len(schema.files) == 1
    assert dict(schema.files)[entry] == (root / entry).read_text()


def test_a_wrong_value_is_found_where_it_is_written() -> None:
    (config,) = (path for path in AUTOWARE if path.name == "ekf_localizer.param.yaml")
    text = config.read_text().replace("diagnostics_publish_frequency: 10.0", "diagnostics_publish_frequency: 0.0")
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "diagnostics_publish_frequency: 0.0" in each)
    (finding,) = schema_of(config).check(text.encode(), Format.YAML)
    assert finding.message == "0.0 is less than or equal to the minimum of 0"
    assert finding.pointer == "/~1**/ros__parameters/diagnostics/diagnostics_publish_frequency"
    assert (finding.line, finding.column) == (line, 7)


@pytest.mark.parametrize("config", NAV2, ids=lambda path: path.name)
def test_navigation2s_files_are_read_as_pyyaml_reads_them(config: pathlib.Path) -> None:
    content = config.read_bytes()
    assert ConfigSchema.opaque().check(content, Format.YAML) == []
    assert parse(content, Format.YAML).value == yaml.safe_load(content)


def test_reading_and_judging_a_large_file_is_quick() -> None:
    schema = ConfigSchema.from_json({"entry": "s.json", "documents": {"s.json": json.dumps(typical_schema())}})
    content = max((path.read_bytes() for path in NAV2), key=len)
    schema.check(content, Format.YAML)
    best = math.inf
    for _ in range(5):
        started = time.thread_time()
        assert schema.check(content, Format.YAML) == []
        best = min(best, time.thread_time() - started)
    assert len(content) > 18_000
    assert best < 0.1  # 10 ms on an idle machine


def typical_schema() -> dict[str, Any]:
    value = {"anyOf": [{"type": ["number", "string", "boolean", "array"]}, {"$ref": "#/$defs/group"}]}
    return {"$ref": "#/$defs/group", "$defs": {"group": {"type": "object", "additionalProperties": value}}}


# The oracle: whatever is changed in a file, the verdict is that of an independent implementation. None of these
# schemas uses multipleOf, on which the two differ by design.


def oracle_of(config: pathlib.Path) -> Any:
    root, entry = schema_root(config)
    base = "https://robots.test/"
    files = {str(path.relative_to(root)): json.loads(path.read_text()) for path in root.rglob("*.json")}
    registry = jsonschema_rs.Registry([(base + name, {**schema, "$id": base + name}) for name, schema in files.items()])
    return jsonschema_rs.Draft7Validator({"$ref": base + entry}, registry=registry)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def mutated(document: Any, place: tuple[str | int, ...], how: str, new: Any) -> Any:
    if not place:
        return new
    changed = copy.deepcopy(document)
    parent = changed
    for step in place[:-1]:
        parent = parent[step]
    if how == "remove":
        del parent[place[-1]]
    elif how == "add" and isinstance(parent, dict):
        parent[f"{place[-1]}_"] = new
    else:
        parent[place[-1]] = new
    return changed


new_values = st.sampled_from([None, True, 0, 1.0, -1, 2.5, 1e9, "", "map", [], [1], {}, {"a": 1}])
CHECKERS = {config.name: (schema_of(config), oracle_of(config)) for config in AUTOWARE}
VALUES = {config.name: parse(config.read_bytes(), Format.YAML).value for config in AUTOWARE}


changes = st.lists(st.sampled_from(["remove", "add", "set"]), min_size=1, max_size=2)


@pytest.mark.parametrize("name", CHECKERS)
@settings(max_examples=30)
@given(st.randoms(use_true_random=False), changes, new_values)
def test_verdicts_on_changed_files_are_those_of_an_oracle(
    name: str, choose: random.Random, hows: list[str], new: Any
) -> None:
    ours, theirs = CHECKERS[name]
    document = json.loads(json.dumps(VALUES[name]))
    for how in hows:
        document = mutated(document, choose.choice(places(document)), how, new)
    content = json.dumps(document).encode()
    findings = ours.check(content, Format.JSON)
    assert (findings == []) == theirs.is_valid(document), findings


@pytest.mark.parametrize("name", CHECKERS)
def test_a_cut_off_file_is_never_an_error_of_ours(name: str) -> None:
    schema, _ = CHECKERS[name]
    (config,) = (path for path in AUTOWARE if path.name == name)
    content = config.read_bytes()
    for length in range(0, len(content), 7):
        try:
            parse(content[:length], Format.YAML)
        except Refused:
            continue
        schema.check(content[:length], Format.YAML)
