"""Schemas that say themselves where the files go that they are for."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from shallop_cloud.configs import (
    ConfigSchema,
    Format,
    Refused,
    ReleaseDraft,
    SlotDraft,
    annotations,
    read_release,
    read_release_of_schemas,
)

FULL = """\
{
  "x-shallop-config-type": "drive",
  "x-shallop-path": "drive/drive.yaml",
  "x-shallop-format": "yaml",
  "x-shallop-required": false,
  "properties": {"speed": {"$ref": "parts/speed.json"}}
}
"""
MANIFEST = "version: 1.0.0\nconfig_types:\n  drive:\n    schema: drive.schema.json\n"


@pytest.fixture
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/speed.json").write_text('{"maximum": 5}')
    (tmp_path / "drive.schema.json").write_text(FULL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(draft: ReleaseDraft) -> list[tuple[str, Format, tuple[SlotDraft, ...]]]:
    return [(each.name, each.format, each.slots) for each in draft.config_types]


DRIVE = ("drive", Format.YAML, (SlotDraft("default", "drive/drive.yaml", required=False),))


def read(text: str) -> ReleaseDraft:
    pathlib.Path("release.yaml").write_text(text)
    return read_release(pathlib.Path("release.yaml"))


def refusal(text: str | None, *schemas: str, version: str = "1.0.0") -> list[str]:
    files = [pathlib.Path(each) for each in schemas]
    with pytest.raises(Refused) as refused:
        read_release_of_schemas(version, files) if text is None else read(text)
    return [str(finding) for finding in refused.value.findings]


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "    format: yaml\n",
        "    path: drive/drive.yaml\n    required: false\n",
        "    format: yaml\n    path: drive/drive.yaml\n    required: false\n",
    ],
)
def test_what_a_manifest_leaves_out_comes_from_the_schema(here: pathlib.Path, rest: str) -> None:
    assert shown(read(MANIFEST + rest)) == [DRIVE]


def test_a_manifest_may_just_list_schemas(here: pathlib.Path) -> None:
    (here / "site.yaml").write_text("x-shallop-config-type: site\nx-shallop-path: s.json\nx-shallop-format: json\n")
    draft = read("version: 1.0.0\nschemas: [drive.schema.json, site.yaml]")
    assert shown(draft) == [DRIVE, ("site", Format.JSON, (SlotDraft("default", "s.json"),))]


def test_schemas_make_a_release_without_a_manifest(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = read_release_of_schemas("1.5.0", [pathlib.Path("drive.schema.json")])
    assert (draft.version, shown(draft)) == ("1.5.0", [DRIVE])
    assert draft.config_types[0].schema == read(MANIFEST).config_types[0].schema
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert read_release_of_schemas("1.5.0", [here / "drive.schema.json"]) == draft
    assert refusal(None, "../drive.schema.json", version="v1") == [
        "0:0 /version: 'v1' is not a semantic version such as 1.4.0 or 2.0.0-rc.1"
    ]
    (finding,) = refusal(None, "../none.schema.json")
    assert finding.endswith("none.schema.json:1:1: there is no file none.schema.json")


def test_contradictions_name_both_places(here: pathlib.Path) -> None:
    stated = "    format: json\n    path: o.yml\n    required: true\n"
    manifest = MANIFEST.replace("  drive:", "  motion:") + stated
    here_and_there = [
        "3:3 /config_types/motion: 'motion' here contradicts 'drive', which is x-shallop-config-type in {}:2:3",
        "6:5 /config_types/motion/path: 'o.yml' here contradicts 'drive/drive.yaml', which is x-shallop-path in {}:3:3",
        "5:5 /config_types/motion/format: 'json' here contradicts 'yaml', which is x-shallop-format in {}:4:3",
        "7:5 /config_types/motion/required: true here contradicts false, which is x-shallop-required in {}:5:3",
    ]
    assert refusal(manifest) == [f"release.yaml:{each.format('drive.schema.json')}" for each in here_and_there]
    slots = MANIFEST + "    slots: {a: {path: x}}\n"
    assert refusal(slots)[0] == (
        "release.yaml:5:5 /config_types/drive/slots: 'slots' here contradicts x-shallop-path in drive.schema.json:3:3: "
        "leave one out"
    )


def test_slots_go_with_the_other_annotations(here: pathlib.Path) -> None:
    kept = {key: each for key, each in json.loads(FULL).items() if key not in ("x-shallop-path", "x-shallop-required")}
    (here / "drive.schema.json").write_text(json.dumps(kept))
    draft = read(MANIFEST + "    slots: {a: {path: x}}\n")
    assert shown(draft) == [("drive", Format.YAML, (SlotDraft("a", "x"),))]


def test_what_neither_states_is_missing(here: pathlib.Path) -> None:
    (here / "drive.schema.json").write_text("{}")
    assert refusal(MANIFEST) == [
        f"release.yaml:3:3 /config_types/drive: required key {key!r} is missing: write it here, or as x-shallop-{key} "
        "in drive.schema.json"
        for key in ("path", "format")
    ]
    facts = "x-shallop-config-type, x-shallop-path, x-shallop-format"
    missing = f"drive.schema.json:1:1: the schema does not state {facts}: add it, or list the schema under config_types"
    assert refusal("version: 1.0.0\nschemas: [drive.schema.json]") == [missing]
    assert refusal(None, "drive.schema.json") == [missing]


def test_a_fact_that_is_wrong_is_told_where_it_is_stated(here: pathlib.Path) -> None:
    (here / "drive.schema.json").write_text(FULL.replace('"drive"', '"Drive"').replace("drive/drive", "../x"))
    name = "a config type's name is 1 to 64 of a-z, 0-9 and '-', with no '-' at either end"
    found = [
        f"drive.schema.json:2:3 /x-shallop-config-type: {name}",
        "drive.schema.json:3:3 /x-shallop-path: path '../x.yaml' has a segment that begins with '..'",
    ]
    assert refusal("version: 1.0.0\nschemas: [drive.schema.json]") == found
    assert refusal(None, "drive.schema.json") == found
    (here / "drive.schema.json").write_text(FULL)
    assert refusal("version: 1.0.0\nschemas: [drive.schema.json, drive.schema.json]")[0] == (
        "drive.schema.json:2:3 /x-shallop-config-type: config type 'drive' occurs twice"
    )


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        ("x-shallop-format", "toml", "/x-shallop-format: 'toml' is not one of 'json', 'yaml', 'text'"),
        ("x-shallop-required", "no", "/x-shallop-required: 'no' is not of type 'boolean': write true or false"),
        ("x-shallop-path", 1, "/x-shallop-path: 1 is not of type 'string'"),
        (
            "x-shallop-pth",
            "a",
            "/x-shallop-pth: there is no annotation 'x-shallop-pth' (did you mean 'x-shallop-path'?)",
        ),
    ],
)
def test_annotations_that_are_none(here: pathlib.Path, annotation: str, value: Any, message: str) -> None:
    (here / "drive.schema.json").write_text(json.dumps({annotation: value}))
    assert refusal(MANIFEST + "    format: yaml\n    path: x\n") == [f"drive.schema.json:1:2 {message}"]


def test_what_a_manifest_must_have(here: pathlib.Path) -> None:
    assert refusal("version: 1.0.0") == [
        "release.yaml:1:1: required key 'config_types' is missing, or 'schemas' in its place"
    ]
    assert refusal("version: 1.0.0\nschemas: [none.json]") == [
        "release.yaml:2:11 /schemas/0: there is no file none.json"
    ]
    assert refusal("version: 1.0.0\nschemas: [opaque]")[0].startswith("opaque:1:1: the schema does not state")


def test_opaque_states_nothing() -> None:
    assert annotations.read(ConfigSchema.opaque()) == {}


def test_json_schema_ignores_annotations(here: pathlib.Path) -> None:
    (drive,) = read(MANIFEST).config_types
    assert drive.schema.check(b"speed: 5", Format.YAML) == []
    assert len(drive.schema.check(b"speed: 6", Format.YAML)) == 1
    (here / "drive.schema.json").write_text("true")
    assert drive.schema != read(MANIFEST + "    format: yaml\n    path: x\n").config_types[0].schema
