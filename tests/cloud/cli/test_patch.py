"""``shallop deployment patch``."""

from __future__ import annotations

import pytest
from cli_world import deployment, refusal
from shallop_cloud.api import models

DPL = "DPL-7K3QF0H2M9XW4RTC"


@pytest.fixture
def base(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "front.yaml").write_bytes(b"range: 9\r\n")
    world.add(deployment(DPL, "archived", "archived"))
    return world


@pytest.mark.parametrize(
    ("given", "pointer", "value"),
    [
        ("motion:/max=1.5", "/max", 1.5),
        ("motion:/max=1", "/max", 1),
        ("motion:/a~1b~0c/0/-=null", "/a~1b~0c/0/-", None),
        ('motion:/mode="on"', "/mode", "on"),
        ("motion:/mode=on", "/mode", "on"),
        ("motion:/mode=", "/mode", ""),
        ("motion:/mode=a=b", "/mode", "a=b"),
        ('motion:/zone={"name": "dock", "at": [1, 2.0]}', "/zone", {"name": "dock", "at": [1, 2.0]}),
        ("motion:/limit=NaN", "/limit", "NaN"),
        ("motion:/limit=-Infinity", "/limit", "-Infinity"),
        (f"motion:/deep={100_000 * '['}", "/deep", 100_000 * "["),
        ("motion:/=1", "/", 1),
    ],
)
def test_values_are_json_or_else_text(run, base, given, pointer, value):
    ran = run("deployment", "patch", DPL, "--set", given, "-o", "name")

    assert ran == type(ran)(0, "DPL-NEW0000000000000\n")
    [taken] = base.taken
    assert taken == models.Patch(set=[models.NewValue(config_type="motion", pointer=pointer, value=value)])
    assert type(taken.set[0].value) is type(value)
    assert "expected_current" not in taken.model_fields_set


def test_values_and_files_of_different_places_go_together(run, base):
    ran = run(
        *("deployment", "patch", DPL, "--set", "motion:/max=1", "--config", "lidar/front=front.yaml", "--staged"),
        *("--description", "slower", "--expected-current", "none"),
    )

    assert base.taken == [
        models.Patch(
            set=[models.NewValue(config_type="motion", pointer="/max", value=1)],
            configs=[models.NewConfig(config_type="lidar", slot="front", content="range: 9\r\n")],
            staged=True,
            description="slower",
            expected_current=None,
        )
    ]
    assert "patched from:  DPL-7K3QF0H2M9XW4RTC\n" in ran.out
    assert ran.err == "what it changed: shallop diff DPL-7K3QF DPL-NEW00\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "say what shall change: --set TYPE:/POINTER=VALUE or --config TYPE=FILE"),
        (
            ["--set", "motion"],
            "Invalid value for '--set': 'motion' is not TYPE:/POINTER=VALUE, such as motion-control:",
        ),
        (["--set", "motion:/max"], "Invalid value for '--set': 'motion:/max' is not TYPE:/POINTER=VALUE"),
        (["--set", ":/max=1"], "Invalid value for '--set': ':/max=1' is not TYPE:/POINTER=VALUE"),
        (
            ["--set", "motion:=1"],
            "Invalid value for '--set': 'motion:=1' points to the whole file: give a new one with",
        ),
        (
            ["--set", "motion:max=1"],
            "Invalid value for '--set': 'max' is not a JSON pointer; it begins with a slash: mo",
        ),
        (
            ["--set", "motion:/a~2=1"],
            "Invalid value for '--set': '/a~2' has '~2'; in a JSON pointer ~0 stands for ~ and",
        ),
        (["--set", "motion:/a~=1"], "Invalid value for '--set': '/a~' has '~'; in a JSON pointer"),
        (["--set", "motion/:/a=1"], "Invalid value for '--set': 'motion/' is not TYPE or TYPE/SLOT"),
        (["--set", "m:/a=1", "--set", "m:/a=2"], "m:/a is set twice"),
        (
            ["--set", "m:/a=1", "--config", "m=front.yaml"],
            "'m' is given by --set and by --config: set the value in the",
        ),
        (["--config", "m=front.yaml", "--config", "m/default=x"], "config type 'm' is given twice: front.yaml and x"),
        (["--config", "m=none.yaml"], "cannot read 'none.yaml': No such file or directory"),
        (["--set", "m:/a=1", "--staged", "--wait"], "--wait waits for the device, which a staged deployment does not"),
    ],
)
def test_what_is_not_written_right_is_not_sent(run, base, options, words):
    ran = run("deployment", "patch", DPL, *options)

    assert (ran.code, ran.out, base.taken) == (2, "", [])
    assert ran.err.startswith(f"shallop: {words}")


def test_items_may_be_appended_one_after_the_other(run, base):
    assert run("deployment", "patch", DPL, "--set", "m:/zones/-=1", "--set", "m:/zones/-=2").code == 0
    assert [each.value for each in base.taken[0].set] == [1, 2]


def test_findings_are_told_of_the_file_that_was_given(run, base):
    error = models.ProblemError(message="too far", pointer="/range", source="lidar/front", line=1, column=8)
    base.refuses = refusal(422, "config_invalid", "not valid", error)

    ran = run("deployment", "patch", DPL, "--config", "lidar/front=front.yaml")

    assert (ran.code, ran.err) == (7, "shallop: not valid\nfront.yaml:1:8 /range: too far\n")


def test_wait_ends_with_the_robot(run, base):
    base.later["DPL-NEW0000000000000"] = [deployment("DPL-NEW0000000000000", activity="deployed")]

    assert run("deployment", "patch", DPL, "--set", "m:/a=1", "--wait", "-o", "name").code == 0
