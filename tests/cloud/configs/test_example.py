"""The example robot does what its README says."""

from __future__ import annotations

import pathlib

import pytest
from shallop_cloud.configs import SlotDraft, read_release

ROBOT = pathlib.Path(__file__).parents[3] / "examples" / "mobile-robot"
BAD = "motion-control-bad.yaml:5:3 /limits/max_speed: 12.5 is greater than the maximum of 5"


def check(config_type: str, name: str) -> list[str]:
    (draft,) = (each for each in read_release(ROBOT / "release.yaml").config_types if each.name == config_type)
    findings = draft.schema.check((ROBOT / "configs" / name).read_bytes(), draft.format)
    return [str(finding.in_file(name)) for finding in findings]


@pytest.mark.parametrize(
    ("config_type", "name"),
    [
        ("motion-control", "motion-control.yaml"),
        ("motion-control", "motion-control-fast.yaml"),
        ("nav2", "nav2_params.yaml"),
        ("site", "site.json"),
    ],
)
def test_the_good_files_are_accepted(config_type: str, name: str) -> None:
    assert check(config_type, name) == []


def test_the_bad_file_is_refused_with_the_line_in_the_readme() -> None:
    assert check("motion-control", "motion-control-bad.yaml") == [BAD]
    assert BAD in (ROBOT / "README.md").read_text()


def test_the_fast_file_differs_in_one_value() -> None:
    names = ("motion-control.yaml", "motion-control-fast.yaml")
    usual, fast = ((ROBOT / "configs" / name).read_text() for name in names)
    assert usual.replace("max_speed: 1.8", "max_speed: 2.2") == fast


def test_the_release() -> None:
    release = read_release(ROBOT / "release.yaml")
    assert [(each.name, each.format.value, each.slots) for each in release.config_types] == [
        ("motion-control", "yaml", (SlotDraft("default", "motion/motion-control.yaml"),)),
        ("nav2", "yaml", (SlotDraft("default", "nav2/nav2_params.yaml"),)),
        ("site", "json", (SlotDraft("default", "site/site.json", required=False),)),
    ]
    assert [name for name, _ in release.config_types[2].schema.files] == [
        "schemas/geometry.schema.json",
        "schemas/site.schema.json",
    ]
