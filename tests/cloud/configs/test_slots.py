"""Config types whose instances go to several places."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from shallop_cloud.configs import ConfigSchema, ConfigTypeDraft, Format, Refused, ReleaseDraft, SlotDraft, problems
from shallop_cloud.configs import read_release as read

LIDAR = "/config_types/lidar"
SLOTS = "front: {path: lidar/front.yaml}\n      rear: {path: lidar/rear.yaml, required: false}"
GOOD = """\
version: 1.0.0
config_types:
  lidar:
    schema: opaque
    format: yaml
    slots:
      front: {path: lidar/front.yaml}
      rear: {path: lidar/rear.yaml, required: false}
  drive: {schema: opaque, format: text, path: drive.txt}
"""


@pytest.fixture
def manifest(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "release.yaml"
    path.write_text(GOOD)
    return path


def test_a_manifest_names_the_slots(manifest: pathlib.Path) -> None:
    opaque = ConfigSchema.opaque()
    slots = SlotDraft("front", "lidar/front.yaml"), SlotDraft("rear", "lidar/rear.yaml", required=False)
    lidar = ConfigTypeDraft("lidar", opaque, Format.YAML, slots)
    drive = ConfigTypeDraft("drive", opaque, Format.TEXT, (SlotDraft("default", "drive.txt"),))
    assert read(manifest) == ReleaseDraft("1.0.0", (lidar, drive))
    assert lidar.to_json() == {
        "name": "lidar",
        "schema": "opaque",
        "format": "yaml",
        "slots": [
            {"key": "front", "path": "lidar/front.yaml", "required": True},
            {"key": "rear", "path": "lidar/rear.yaml", "required": False},
        ],
    }
    assert drive.to_json() == {
        "name": "drive", "schema": "opaque", "format": "text", "path": "drive.txt", "required": True
    }  # fmt: skip


def test_one_slot_with_a_name_of_its_own_is_no_default(manifest: pathlib.Path) -> None:
    manifest.write_text(GOOD.replace("      rear: {path: lidar/rear.yaml, required: false}\n", ""))
    (lidar, _) = read(manifest).config_types
    assert lidar.to_json()["slots"] == [{"key": "front", "path": "lidar/front.yaml", "required": True}]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "format: yaml\n",
            "format: yaml\n    path: x\n",
            f"6:5 {LIDAR}/path: 'path' belongs to each of the slots here",
        ),
        ("format: yaml\n", "format: yaml\n    required: true\n", f"6:5 {LIDAR}/required: 'required' belongs to each"),
        ("{path: lidar/front.yaml}", "{}", f"7:7 {LIDAR}/slots/front: required key 'path' is missing"),
        ("front: {path", "front: {pth", f"{LIDAR}/slots/front/pth: unexpected key 'pth' (did you mean 'path'?)"),
        ("front:", "Front:", f"7:7 {LIDAR}/slots/Front: a slot's key is 1 to 64 of a-z, 0-9 and '-'"),
        ("lidar/rear.yaml", "lidar/front.yaml", f"8:14 {LIDAR}/slots/rear/path: path 'lidar/front.yaml' occurs twice"),
        ("lidar/rear.yaml", "lidar", f"8:14 {LIDAR}/slots/rear/path: path 'lidar' cannot be a file"),
        (
            "lidar/rear.yaml",
            "Drive.txt",
            "9:41 /config_types/drive/path: paths 'Drive.txt' and 'drive.txt' differ only",
        ),
        ("drive.txt", "lidar/rear.yaml/x", "9:41 /config_types/drive/path: path 'lidar/rear.yaml' cannot be a file"),
        ("front: {path: lidar/front.yaml}", "default: {path: ../x}", f"7:17 {LIDAR}/slots/default/path: path '../x'"),
        (SLOTS, "default: {path: ../x}", f"7:17 {LIDAR}/slots/default/path: path '../x' has a segment that"),
        (SLOTS, "default: {path: motion, required: 1}", f"7:31 {LIDAR}/slots/default/required: 1 is not of type"),
    ],
)
def test_what_is_wrong_with_slots(manifest: pathlib.Path, old: str, new: str, finding: str) -> None:
    manifest.write_text(GOOD.replace(old, new))
    with pytest.raises(Refused) as refused:
        read(manifest)
    assert any(finding in str(each) for each in refused.value.findings), refused.value


def draft(*slots: SlotDraft) -> list[tuple[Any, str]]:
    return problems(ReleaseDraft("1.0.0", (ConfigTypeDraft("t", ConfigSchema.opaque(), Format.YAML, slots),)))


def test_slots_that_came_over_the_wire() -> None:
    at = ("config_types", "t", "slots")
    assert draft() == [(at, "a config type has at least one slot")]
    assert draft(SlotDraft("a", "x"), SlotDraft("a", "y")) == [((*at, "a"), "slot 'a' occurs twice")]
    assert draft(SlotDraft("default", "x"), SlotDraft("b", "x")) == [((*at, "b", "path"), "path 'x' occurs twice")]
    assert draft(SlotDraft("default", "/x"))[0][0] == ("config_types", "t", "path")
    many = draft(*(SlotDraft(f"s{n}", f"p{n}") for n in range(257)))
    assert many == [(("config_types",), "a release has at most 256 slots, all its types together")]
