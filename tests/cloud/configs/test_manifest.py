"""A release on disk: read whole, or refused with every reason and its place."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from shallop_cloud.configs import (
    DEFAULT_SLOT,
    ConfigSchema,
    ConfigTypeDraft,
    Format,
    Refused,
    ReleaseDraft,
    SlotDraft,
    problems,
    read_release,
)

GOOD = """\
version: 1.4.0
config_types:
  ekf-localizer:
    schema: ekf/schema/main.schema.json
    format: yaml
    path: localization/ekf_localizer.param.yaml
  nav2:
    schema: opaque
    format: yaml
    path: nav2/nav2_params.yaml
    required: false
"""
FILES = {
    "release.yaml": GOOD,
    "ekf/schema/main.schema.json": '{"properties": {"node": {"$ref": "sub/node.json#/definitions/node"}}}',
    "ekf/schema/sub/node.json": '{"definitions": {"node": {"type": "object", "$ref": "../../../common/rate.yaml"}}}',
    "common/rate.yaml": "properties:\n  rate: {type: number, maximum: 200}\n",
    "common/unused.json": "not even JSON",
}


@pytest.fixture
def release(tmp_path: pathlib.Path) -> pathlib.Path:
    """A good manifest with its files; tests change what they need."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "release.yaml"


def slot(path: str, *, required: bool = True) -> SlotDraft:
    """The one slot of a config type."""
    return SlotDraft(DEFAULT_SLOT, path, required)


def refusal(path: pathlib.Path) -> list[str]:
    """The findings, with the temporary directory left out."""
    with pytest.raises(Refused) as refused:
        read_release(path)
    return [str(finding).replace(f"{path.parent}/", "") for finding in refused.value.findings]


def test_a_release_is_read_with_the_schema_files_that_refer_to_each_other(release: pathlib.Path) -> None:
    draft = read_release(release)
    ekf, nav2 = draft.config_types
    assert ekf.schema.files == tuple((name, FILES[name]) for name in sorted(FILES)[:1] + sorted(FILES)[2:4])
    assert ekf.schema == ConfigSchema.from_json(ekf.schema.to_json())
    assert [str(each) for each in ekf.schema.check(b"node: {rate: 201}", Format.YAML)] == [
        "1:8 /node/rate: 201 is greater than the maximum of 200"
    ]
    assert draft == ReleaseDraft(
        "1.4.0",
        (
            ConfigTypeDraft("ekf-localizer", ekf.schema, Format.YAML, (slot("localization/ekf_localizer.param.yaml"),)),
            ConfigTypeDraft(
                "nav2", ConfigSchema.opaque(), Format.YAML, (slot("nav2/nav2_params.yaml", required=False),)
            ),
        ),
    )
    assert nav2.schema.is_opaque


EKF = "/config_types/ekf-localizer"
NAV2 = "/config_types/nav2"
SCHEMA = "ekf/schema/main.schema.json"


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("version: 1.4.0\n", "", "release.yaml:1:1: required key 'version' is missing"),
        ("config_types:", "config_type:", "1:1: required key 'config_types' is missing"),
        ("config_types:", "config_type:", "2:1 /config_type: unexpected key 'config_type' (did you mean"),
        ("required:", "requird:", f"11:5 {NAV2}/requird: unexpected key 'requird' (did you mean 'required'?)"),
        ("false", "no", f"11:5 {NAV2}/required: 'no' is not of type 'boolean': write true or false"),
        ("    path: nav2/nav2_params.yaml\n", "", f"7:3 {NAV2}: required key 'path' is missing"),
        ("yaml\n    path: nav2", "ymal\n    path: nav2", f"9:5 {NAV2}/format: 'ymal' is not one of 'json', 'yaml'"),
        ("version: 1.4.0", "version: 1.4", "1:1 /version: '1.4' is not a semantic version such as 1.4.0 or"),
        ("version: 1.4.0", "version: v1.4.0", "1:1 /version: 'v1.4.0' is not a semantic version"),
        ("  nav2:", "  Nav2:", "7:3 /config_types/Nav2: a config type's name is 1 to 64 of a-z, 0-9 and '-'"),
        ("  nav2:", "  ekf-localizer:", "7:3: key 'ekf-localizer' occurs twice: first at 3:3"),
        ("nav2/nav2_params.yaml", "../x.yaml", f"10:5 {NAV2}/path: path '../x.yaml' has a segment that begins"),
        ("nav2/nav2_params.yaml", "localization", f"10:5 {NAV2}/path: path 'localization' cannot be a file"),
        ("nav2/nav2_params.yaml", "Localization/ekf_localizer.param.yaml", "differ only in upper and lower case"),
        (SCHEMA, "ekf/main.json", f"release.yaml:4:5 {EKF}/schema: there is no file ekf/main.json"),
        (SCHEMA, "../secret.json", "'../secret.json' leads out of the release's directory"),
        (SCHEMA, "/etc/passwd", "'/etc/passwd' leads out of the release's directory"),
        (SCHEMA, "ekf", f"4:5 {EKF}/schema: ekf is not a regular file"),
        (SCHEMA, '"a\\0b"', f"4:5 {EKF}/schema: 'a\\x00b' cannot be read"),
        (SCHEMA, "x" * 300 + ".json", "cannot be read: File name too long"),
        ("format: yaml\n    path: loc", "format: text\n    path: loc", f"4:5 {EKF}/schema: a text has no structure"),
        (GOOD, "", "release.yaml:1:1: null is not of type 'object'"),
        (GOOD, "version: 1.0.0\nconfig_types: {}\n", "2:1 /config_types: a release has 1 to 200 config types"),
        (GOOD, "version: [\n", "release.yaml:2:1: did not find expected node content"),
    ],
)
def test_what_is_wrong_in_the_manifest(release: pathlib.Path, old: str, new: str, finding: str) -> None:
    release.write_text(GOOD.replace(old, new))
    assert any(finding in each for each in refusal(release)), refusal(release)


@pytest.mark.parametrize(
    ("name", "text", "finding"),
    [
        ("common/rate.yaml", "type: nmber", "common/rate.yaml:1:1 /type: 'nmber' fits none"),
        ("common/rate.yaml", "a: 1\na: 2", "common/rate.yaml:2:1: key 'a' occurs twice: first at 1:1"),
        ("ekf/schema/sub/node.json", "{}", f"{SCHEMA}:1:26 /properties/node/$ref: $ref leads nowhere"),
        (SCHEMA, '{"$ref": "../../../x.json"}', f"{SCHEMA}:1:2 /$ref: $ref '../../../x.json' leads above"),
        (SCHEMA, '{"$ref": "http://127.0.0.1/x"}', "leads out of the release"),
        (SCHEMA, '{"pattern": "^(a+)+$"}', f"{SCHEMA}:1:2 /pattern: the pattern can take exponential time"),
    ],
)
def test_what_is_wrong_in_a_schema_file(release: pathlib.Path, name: str, text: str, finding: str) -> None:
    (release.parent / name).write_text(text)
    assert any(finding in each for each in refusal(release)), refusal(release)


def test_all_findings_are_told_at_once(release: pathlib.Path) -> None:
    release.write_text(GOOD.replace("1.4.0", "one").replace("nav2/nav2", "/nav2/nav2").replace("main.", "none."))
    places = [each.split(" ")[0] for each in refusal(release)]
    assert places == ["release.yaml:4:5", "release.yaml:1:1", "release.yaml:10:5"]


def test_symlinks_may_not_lead_out(release: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.json"
    outside.write_text("{}")
    target = release.parent / "common/rate.yaml"
    target.unlink()
    target.symlink_to(outside)
    assert refusal(release) == [
        "ekf/schema/sub/node.json:1:45 /definitions/node/$ref: 'common/rate.yaml' leads out of the release's directory"
    ]
    target.unlink()
    target.symlink_to(target)
    assert "common/rate.yaml" in refusal(release)[0]


def test_what_is_no_ordinary_file_is_not_read(release: pathlib.Path) -> None:
    target = release.parent / "common/rate.yaml"
    target.unlink()
    os.mkfifo(target)
    assert "rate.yaml is not a regular file" in refusal(release)[0]
    target.unlink()
    target.write_bytes(b"#" * (1 << 20) + b"#")
    assert "rate.yaml is larger than 1048576 bytes" in refusal(release)[0]


def test_a_manifest_that_is_not_there(tmp_path: pathlib.Path) -> None:
    assert refusal(tmp_path / "release.yaml") == ["release.yaml:1:1: there is no file release.yaml"]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_work_tree(release: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(variable, raising=False)
    git = ["git", "-C", str(release.parent), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    assert read_release(release).git_commit is None
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "release"], check=True)
    assert re.fullmatch("[0-9a-f]{40}", read_release(release).git_commit or "")
    monkeypatch.setenv("PATH", "")
    assert read_release(release).git_commit is None


def draft(**changes: object) -> ReleaseDraft:
    config_type = ConfigTypeDraft("nav2", ConfigSchema.opaque(), Format.YAML, (slot("nav2.yaml"),))
    return ReleaseDraft(**{"version": "1.0.0", "config_types": (config_type,), **changes})  # type: ignore[arg-type]


VERSIONS = ["0.0.0", "1.4.0-rc.1", "1.0.0-0.3.7", "1.0.0--", "1.0.0+20130313144700", "1.0.0-a+b-.c"]
NO_VERSIONS = ["", "1", "1.0", "01.0.0", "1.0.0.0", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0+", "v1.0.0", "1.0.0 "]
NO_VERSIONS += ["1.0.0\n", "1.0.0-ü", "1.0." + "1" * 200]


@pytest.mark.parametrize("version", VERSIONS)
def test_semantic_versions(version: str) -> None:
    assert problems(draft(version=version)) == []


@pytest.mark.parametrize("version", NO_VERSIONS)
def test_what_is_no_semantic_version(version: str) -> None:
    ((path, message),) = problems(draft(version=version))
    assert path == ("version",)
    assert "is not a semantic version" in message
    assert len(message) < 200


def test_a_draft_that_came_over_the_wire() -> None:
    opaque = ConfigSchema.opaque()
    types = tuple(ConfigTypeDraft("same", opaque, Format.TEXT, (slot(path),)) for path in ("a", "a"))
    assert problems(draft(config_types=types, git_commit="main")) == [
        (("git_commit",), "a git commit is 40 hex digits"),
        (("config_types", "same"), "config type 'same' occurs twice"),
        (("config_types", "same", "path"), "path 'a' occurs twice"),
    ]
    assert problems(draft(config_types=())) == [(("config_types",), "a release has 1 to 200 config types")]
    assert problems(draft(git_commit="0123456789abcdef0123456789abcdef01234567")) == []
