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
                    "slots": None,
                },
                {
                    "name": "map",
                    "schema": "opaque",
                    "format": models.Format.TEXT,
                    "path": "maps/floor.txt",
                    "required": False,
                    "slots": None,
                },
            ],
        }
    ]


ANNOTATED = '{"x-shallop-config-type": "site", "x-shallop-path": "site.json", "x-shallop-format": "json"}'


def test_schemas_that_state_their_place_need_no_manifest(run, world, tmp_path, monkeypatch):
    (tmp_path / "site.schema.json").write_text(ANNOTATED)
    monkeypatch.chdir(tmp_path)

    ran = run("release", "create", "--version", "1.5.0", "site.schema.json", "-o", "name")

    assert (ran.code, ran.out) == (0, "REL-1500000000000000\n")
    (made,) = world.taken[0].config_types
    assert (made.name, made.path, made.format.value) == ("site", "site.json", "json")
    assert made.config_schema.documents == {"site.schema.json": ANNOTATED}


def test_what_is_wrong_with_such_schemas_is_told_of_their_files(run, world, tmp_path):
    file = tmp_path / "site.schema.json"
    file.write_text("{}")
    ran = run("release", "create", "--version", "1.5.0", str(file))
    assert (ran.code, world.taken) == (7, [])
    first, second = ran.err.splitlines()
    assert first == "shallop: these schemas are not a release that can be made"
    assert second.startswith(f"{file}:1:1: the schema does not state x-shallop-config-type, x-shallop-path")
    file.write_text(ANNOTATED)
    ran = run("release", "create", "--version", "1.5", str(file))
    assert ran.err.splitlines()[1].startswith("/version: '1.5' is not a semantic version")
    world.refuses = refusal(422, "release_invalid", "no", models.ProblemError(
        message="is too slow", pointer="/a", source="site.schema.json", line=1, column=2
    ))  # fmt: skip
    ran = run("release", "create", "--version", "1.5.0", str(file))
    assert ran.err.splitlines()[1] == f"{file}:1:2 /a: is too slow"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--version", "1.0.0"],
        ["{}"],
        ["-f", "{}", "--version", "1.0.0"],
        ["-f", "{}", "{}"],
        ["-f", "{}", "--version", "1", "{}"],
    ],
)
def test_a_release_is_a_manifest_or_a_version_with_schemas(run, world, manifest, arguments):
    ran = run("release", "create", *(each.format(manifest) for each in arguments))

    assert (ran.code, world.taken) == (2, [])
    assert "give a manifest (-f release.yaml), or a --version and schema files" in ran.err


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


def test_show_names_slots_as_deploy_does(run, world):
    made = release("1.4.0", "lidar")
    slots = [models.Slot(key=key, path=f"{key}.yaml", required=False) for key in ("default", "rear")]
    world.add(made.model_copy(update={"config_types": [made.config_types[0].model_copy(update={"slots": slots})]}))

    lines = run("release", "show", "1.4.0").out.splitlines()[-2:]

    assert [line.split()[:4] for line in lines] == [
        ["lidar", "yaml", "default.yaml", "no"], ["lidar/rear", "yaml", "rear.yaml", "no"]
    ]  # fmt: skip


def test_show_as_json_is_what_the_api_shows(run, world):
    world.add(release("1.4.0", "motion-control"))

    shown = json.loads(run("-o", "json", "release", "show", "REL-14000").out)

    assert models.Release.model_validate(shown) == world.releases["REL-1400000000000000"]
