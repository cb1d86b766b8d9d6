"""``shallop validate``: what is found without a server, and how it is told."""

from __future__ import annotations

import json

import pytest
import yaml

RELEASE = """\
version: 1.0.0
config_types:
  drive:
    schema: schemas/drive.schema.json
    format: yaml
    path: drive.yaml
  lidar:
    schema: opaque
    format: yaml
    slots: {front: {path: front.yaml}, rear: {path: rear.yaml}}
"""
DRIVE = '{"properties": {"speed": {"$ref": "../parts/speed.json"}}}'
SPEED = '{"$schema": "http://json-schema.org/draft-07/schema#", "maximum": 5}'
FILES = {
    "release.yaml": RELEASE,
    "schemas/drive.schema.json": DRIVE.replace("{", '{"$schema": "http://json-schema.org/draft-07/schema#", ', 1),
    "parts/speed.json": SPEED,
    "configs/drive.yaml": "# slow\nspeed: 1\n",
    "configs/lidar/front.yaml": "angle: 1\n",
    ".git/broken.schema.json": "{",
    "node_modules/broken.schema.json": "{",
    "notes.yaml": "a: [broken",
    "data.json": '{"$schema": "drive"}',
    "more.json": '{"$schema": [',
}
FINE = """\
release.yaml: ok, release 1.0.0 with 2 config types
configs/drive.yaml: ok, config of drive
configs/lidar/front.yaml: ok, config of lidar/front
parts/speed.json: ok, schema
schemas/drive.schema.json: ok, schema
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_project_that_is_fine(run, project):
    assert run("validate", ".") == type(run())(0, FINE, "")


def test_it_is_the_same_from_elsewhere(run, project, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    ran = run("validate", str(project))

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.replace(f"{project}/", "") == FINE


def test_single_files(run, project):
    assert run("validate", "release.yaml").out == "".join(FINE.splitlines(keepends=True)[:3])
    assert run("validate", "schemas/drive.schema.json", "parts").out == "".join(FINE.splitlines(keepends=True)[:2:-1])


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("configs/drive.yaml", "speed: 6", ["configs/drive.yaml:1:1 /speed: 6 is greater than the maximum of 5"]),
        ("configs/drive.json", "{", ["configs/drive.json:2:1: did not find expected node content"]),
        ("configs/lidar/frnt.yaml", "",
         ["configs/lidar/frnt.yaml:1:1: config type 'lidar' has no slot 'frnt' (did you mean 'front'?); it"]),
        ("configs/lidar.yaml", "",
         ["configs/lidar.yaml:1:1: config type 'lidar' has no slot 'default'; it has: front, rear"]),
        ("parts/speed.json", SPEED.replace("5", "'5'"), ["parts/speed.json:1:67: a JSON value is expected here"]),
        ("more.schema.json", '{"typ": 1, "type": 2}', ["more.schema.json:1:12 /type: 2 fits none"]),
        ("more.schema.yaml", "x-shallop-pth: a", ["more.schema.yaml:1:1 /x-shallop-pth: there is no annotation"]),
        ("more.schema.json", '{"$ref": "../x.json"}', ["more.schema.json:1:2 /$ref: $ref '../x.json' leads above"]),
        ("sub/release.yml", "", ["sub/release.yml:1:1: null is not of type 'object'"]),
        ("next.yaml", "config_types: {}", ["next.yaml:1:1: required key 'version' is missing"]),
        ("next.yaml", "version: 2.0.0\nschemas: [x.json]", ["next.yaml:2:11 /schemas/0: there is no file x.json"]),
        ("release.yaml", RELEASE.replace("1.0.0", "1").replace("drive.yaml", "/x"),
         ["release.yaml:1:1 /version: '1' is not a semantic", "release.yaml:6:5 /config_types/drive/path: path '/x'"]),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_is_told_once_with_its_place(run, project, name, text, lines):
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(text)

    ran = run("validate", ".")

    assert ran.code == 7
    first, *found = ran.err.splitlines()
    assert first == f"shallop: {len(lines)} error{'s' if len(lines) > 1 else ''} in 1 file"
    assert len(found) == len(lines)
    assert all(each.startswith(line) for each, line in zip(found, lines, strict=True)), found
    assert f"{name}: ok" not in ran.out


def test_what_leads_to_a_broken_schema_is_not_fine_either(run, project):
    (project / "parts/speed.json").write_text(SPEED.replace("5", "'5'"))

    ran = run("validate", ".")

    assert ran.out == ""
    assert ran.err.splitlines()[1:] == ["parts/speed.json:1:67: a JSON value is expected here"]


def test_a_config_of_no_type_is_not_checked_and_said_to_be_so(run, project):
    (project / "configs/drve.yaml").write_text("speed: 6")
    (project / "configs/a/b").mkdir(parents=True)
    (project / "configs/a/b/drive.yaml").write_text("speed: 6")

    ran = run("validate", ".")

    assert (ran.code, ran.err) == (0, "")
    reason = "not checked, it belongs to no config type of release.yaml"
    assert f"configs/drve.yaml: {reason} (did you mean 'drive'?)\n" in ran.out
    assert f"configs/a/b/drive.yaml: {reason} (did you mean 'drive'?)\n" in ran.out


def test_configs_by_name(run, project):
    (project / "fast.yaml").write_text("speed: 6")
    chosen = ("validate", "--release", "release.yaml", "--config")

    good = run(*chosen, "drive=configs/drive.yaml", "--config", "lidar/rear=configs/lidar/front.yaml")
    bad = run(*chosen, "drive=fast.yaml", "--config", "drive=none.yaml")

    assert good.out.splitlines()[1:] == [
        "configs/drive.yaml: ok, config of drive",
        "configs/lidar/front.yaml: ok, config of lidar/rear",
    ]
    assert (bad.code, bad.err.splitlines()[1:]) == (
        7,
        ["fast.yaml:1:1 /speed: 6 is greater than the maximum of 5", "none.yaml:1:1: there is no file none.yaml"],
    )
    (project / "release.yaml").write_text("")
    assert run(*chosen, "drive=fast.yaml").err.splitlines()[1:] == ["release.yaml:1:1: null is not of type 'object'"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "what is to be checked? Give a directory, such as `shallop validate .`, or files"),
        (["configs"], "configs holds no manifest (release.yaml) and no schema (*.schema.json); `shallop init` makes"),
        (
            ["configs/drive.yaml"],
            "configs/drive.yaml is neither a manifest nor a schema; check a config with --release",
        ),
        (["none"], "Path 'none' does not exist."),
        (["--release", "release.yaml"], "--release and --config belong together"),
        (["--config", "drive=x"], "--release and --config belong together"),
        (["--release", "release.yaml", "--config", "drive"], "'drive' is not TYPE=FILE or TYPE/SLOT=FILE, such as"),
        (["--release", "release.yaml", "--config", "drve=x"], "release.yaml has no config type 'drve' (did you mean"),
        (
            ["--release", "release.yaml", "--config", "lidar=x"],
            "release.yaml: config type 'lidar' has no slot 'default'",
        ),
        (["--release", "release.yaml", "--config", "lidar/rea=x"], "has no slot 'rea' (did you mean 'rear'?); it has:"),
    ],
)
def test_what_cannot_be_asked(run, project, arguments, words):
    ran = run("validate", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_other_forms(run, project):
    (project / "configs/drive.yaml").write_text("speed: 6")

    as_json, as_yaml = run("validate", ".", "-o", "json"), run("-o", "yaml", "validate", ".")

    assert (as_json.code, as_json.err) == (7, "shallop: 1 error in 1 file\n")
    shown = json.loads(as_json.out)
    assert shown == yaml.safe_load(as_yaml.out)
    assert shown["valid"] is False
    drive = {"file": "configs/drive.yaml", "what": "config of drive", "checked": True, "valid": False}
    assert shown["files"][1] == drive
    assert shown["errors"] == [
        {"message": "6 is greater than the maximum of 5", "pointer": "/speed", "source": "configs/drive.yaml",
         "line": 1, "column": 1}
    ]  # fmt: skip
    assert run("validate", ".", "-o", "name").out == "configs/drive.yaml\n"


def test_a_file_that_cannot_be_read_is_told(run, project):
    (project / "release.yaml").unlink()
    (project / "release.yaml").mkdir()
    (project / "big.yaml").write_bytes(b"config_types: {}\n" + b"#" * (1 << 20))
    (project / "loop.schema.json").symlink_to("loop.schema.json")

    ran = run("validate", ".")

    assert ran.code == 7
    assert "loop.schema.json" in ran.err
    assert "big.yaml" not in ran.out
