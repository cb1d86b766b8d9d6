"""``shallop release``."""

from __future__ import annotations

import json

import pytest
from cli_world import refusal, release
from shallop_cloud.api import models

MANIFEST = """\
version: 1.4.0
config_types:
  motion-control:
    schema: schemas/motion.json
    format: yaml
    path: motion.yaml
  map:
    schema: opaque
    format: text
    path: maps/floor.txt
    required: false
"""
SCHEMA = '{"properties": {"max_speed": {"maximum": 5}}}'


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/motion.json").write_text(SCHEMA)
    (tmp_path / "release.yaml").write_text(MANIFEST)
    return tmp_path / "release.yaml"


def test_create_sends_what_the_manifest_says(run, world, manifest):
    ran = run("release", "create", "-f", str(manifest), "-o", "name")

    assert ran == type(ran)(0, "REL-1400000000000000\n", "")
    assert [each.model_dump(by_alias=True) for each in world.taken] == [
        {
            "version": "1.4.0",
            "git_commit": None,
            "config_types": [
                {
                    "name": "motion-control",
                    "schema": {"entry": "schemas/motion.json", "documents": {"schemas/motion.json": SCHEMA}},
                    "format": models.Format.YAML,
                    "path": "motion.yaml",
                    "required": True,
                },
                {
                    "name": "map",
                    "schema": "opaque",
                    "format": models.Format.TEXT,
                    "path": "maps/floor.txt",
                    "required": False,
                },
            ],
        }
    ]


def test_what_is_wrong_with_a_manifest_is_found_before_anything_is_sent(run, world, manifest):
    manifest.write_text(MANIFEST.replace("format: yaml", "format: toml"))

    ran = run("release", "create", "-f", str(manifest))

    assert (ran.code, ran.out, world.taken) == (7, "", [])
    first, second = ran.err.splitlines()
    assert first == f"shallop: {manifest} is not a release that can be made"
    assert second.startswith(f"{manifest}:5:5 /config_types/motion-control/format: ")


def test_what_the_server_finds_in_a_schema_is_told_of_the_file_beside_the_manifest(run, world, manifest):
    error = models.ProblemError(
        message="is too slow", pointer="/properties", source="schemas/motion.json", line=1, column=15
    )
    world.refuses = refusal(422, "release_invalid", "the release is not valid", error)

    ran = run("release", "create", "-f", str(manifest))

    assert ran.code == 7
    assert ran.err == (
        f"shallop: the release is not valid\n{manifest.parent}/schemas/motion.json:1:15 /properties: is too slow\n"
    )


def test_what_the_server_finds_in_the_request_has_no_line(run, world, manifest):
    error = models.ProblemError(message="is no version", pointer="/version", source="", line=0, column=0)
    world.refuses = refusal(422, "release_invalid", "the release is not valid", error)

    assert run("release", "create", "-f", str(manifest)).err.splitlines()[1] == "/version: is no version"


def test_a_manifest_that_is_not_there(run, world, tmp_path):
    ran = run("release", "create", "-f", str(tmp_path / "none.yaml"))

    assert ran.code == 2
    assert "does not exist" in ran.err.splitlines()[0]


def test_list(run, world):
    world.add(release("1.4.0", "map", "motion-control"), release("1.3.9", "map"))

    assert (
        run("release", "list").out
        == """\
VERSION  ID                    CREATED  CONFIG TYPES
1.4.0    REL-1400000000000000  1h ago   map,motion-control
1.3.9    REL-1390000000000000  1h ago   map
"""
    )


def test_show(run, world):
    world.add(release("1.4.0", "motion-control"))

    lines = run("release", "show", "1.4.0").out.splitlines()

    assert lines[:3] == ["version:     1.4.0", "id:          REL-1400000000000000", f"git commit:  {40 * 'c'}"]
    assert lines[3].endswith("(1h ago) by admin")
    assert lines[4:] == [
        "",
        "CONFIG TYPE     FORMAT  PATH                 REQUIRED  SCHEMA",
        "motion-control  yaml    motion-control.yaml  yes       SCH-0000000000000001",
    ]


def test_show_as_json_is_what_the_api_shows(run, world):
    world.add(release("1.4.0", "motion-control"))

    shown = json.loads(run("-o", "json", "release", "show", "REL-14000").out)

    assert models.Release.model_validate(shown) == world.releases["REL-1400000000000000"]
