"""``shallop deployment review``, ``restage`` and ``merge``."""

from __future__ import annotations

import json

import pytest
from cli_world import before, change, deployment, file_diff, refusal
from shallop_cloud.api import models

DPL, CURRENT, BASE = "DPL-7K3QF0H2M9XW4RTC", "DPL-M2W8R00000000000", "DPL-B4SE000000000000"


def review(status: str = "drifted", *, current: str | None = CURRENT, **changes) -> models.Review:
    reviewed = deployment(DPL, "staged", status, description="slower in the hall")
    newer = deployment(CURRENT, activity="deployed", created_by="ana", created_at=before(seconds=62))
    fields = {"deployment": reviewed, "current": current, "since": [newer], "files": [], "base": BASE}
    return models.Review(**{**fields, **changes})


FILES = [
    file_diff(
        "motion",
        change("/limits/max_speed", 1.0, 1.5),
        change("/zones/2", None, {"name": "dock \x1b[2J"}, 7, 3),
        change("/old", "x", None, 9, 3),
    ),
    file_diff("nav2", same_meaning=True),
    file_diff("zones", change("/a", 1, 2), omitted=7),
    file_diff("map", kind="same", same_meaning=True),
    file_diff("notes", format="text", text="--- a\n+++ b\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"),
    file_diff("lidar", change("", None, {"a": 1}), kind="added", slot="front", path="lidar/front.yaml", before=None),
]


def test_a_review_reads_from_what_happened_to_what_to_do(run, world):
    world.says[f"deployments/{DPL}/review"] = review(files=FILES)

    ran = run("deployment", "review", DPL)

    assert ran == type(ran)(
        0,
        """\
DPL-7K3QF for amr-07, release 1.4.0: drifted
staged by admin 3m ago: slower in the hall

Ordered for amr-07 since:
  DPL-M2W8R  by ana 1m ago, deployed

Beside DPL-M2W8R, which is ordered now: 4 files changed, 1 added.

motion.yaml  (motion)  changed
  /limits/max_speed: 1.0 -> 1.5  (motion.yaml:3:14)
  /zones/2: {"name": "dock \\u001b[2J"} added  (motion.yaml:7:3)
  /old: "x" removed  (motion.yaml:9:3)

nav2.yaml  (nav2)  changed
  comments and layout only: every value is the same

zones.yaml  (zones)  changed
  /a: 1 -> 2  (zones.yaml:3:14)
  and 7 more changes

notes.yaml  (notes)  changed
  @@ -1,2 +1,2 @@
   one
  -two
  +three

lidar/front.yaml  (lidar/front)  added
  its content: shallop config cat CFG-AFTER

1 other file is the same

Go on with one of:
  shallop deployment restage DPL-7K3QF --reviewed DPL-M2W8R
  shallop deployment merge DPL-7K3QF
  shallop deployment patch DPL-7K3QF --set TYPE:/POINTER=VALUE --staged
  shallop deployment archive DPL-7K3QF
""",
    )


@pytest.mark.parametrize(
    ("found", "ways"),
    [
        (review("staged", since=[]), ["deploy DPL-7K3QF --wait", "patch", "archive"]),
        (review("drifted", current=None), ["restage DPL-7K3QF --reviewed none", "merge", "patch", "archive"]),
        (review("archived"), ["show DPL-7K3QF"]),
    ],
)
def test_the_ways_to_go_on_are_those_that_are_open(run, world, found, ways):
    world.says[f"deployments/{DPL}/review"] = found

    told = run("deployment", "review", DPL).out.partition("Go on with one of:\n")[2].splitlines()

    assert len(told) == len(ways)
    for line, way in zip(told, ways, strict=True):
        assert line.startswith(f"  shallop deployment {way}")


def test_nothing_ordered_and_nothing_different_are_said(run, world):
    world.says[f"deployments/{DPL}/review"] = review(current=None, since=[])

    out = run("deployment", "review", DPL).out

    assert "\nNothing else was ordered for amr-07 since.\n\nNothing is ordered now: no file differs.\n" in out


def test_a_review_for_programs(run, world):
    world.says[f"deployments/{DPL}/review"] = review(files=FILES)

    assert models.Review.model_validate(json.loads(run("deployment", "review", DPL, "-o", "json").out)).files == FILES
    assert run("deployment", "review", DPL, "-o", "name").out == f"{DPL}\n"


def test_a_restaged_one_says_how_to_order_it(run, world):
    world.add(deployment(DPL, "staged", "drifted"))

    ran = run("deployment", "restage", DPL, "--reviewed", CURRENT)

    assert (ran.code, ran.err) == (0, "to order it: shallop deployment deploy DPL-7K3QF --wait\n")


CONFLICT = models.MergeConflict(
    pointer="/limits/max_speed", message="changed on both sides", base=1.0, current=1.5, staged=2.0, line=3, column=14
)

WHOLE = models.MergeConflict(pointer="", message="no text", base="a", current="b", staged="c", line=None, column=None)


def merged(*conflicts: models.MergeConflict, findings: tuple[models.ProblemError, ...] = ()) -> models.Merge:
    return models.Merge(
        base=BASE,
        current=CURRENT,
        staged=DPL,
        clean=not conflicts,
        findings=list(findings),
        files=[
            models.MergedFile(
                config_type="motion",
                slot="default",
                path="motion.yaml",
                kind="conflict" if conflicts else "merged",
                content=None if conflicts else "a: 1\n",
                conflicts=list(conflicts),
            ),
            models.MergedFile(
                config_type="map", slot="default", path="map.yaml", kind="theirs", content="b", conflicts=[]
            ),
        ],
    )


@pytest.fixture
def drifted(world):
    world.add(deployment(DPL, "staged", "drifted"))
    return world


def test_a_clean_proposal_changes_nothing_and_says_how_to_stage_it(run, drifted):
    drifted.says[f"deployments/{DPL}/merge"] = merged()

    ran = run("deployment", "merge", DPL)

    assert drifted.taken == []
    assert ran == type(ran)(
        0,
        f"""\
DPL-7K3QF was staged beside DPL-B4SE0; DPL-M2W8R is ordered now.

merged     motion.yaml  (motion)  from both
theirs     map.yaml  (map)  as it is ordered now

To stage this result: shallop deployment merge {DPL} --accept
""",
    )


def test_what_is_accepted_is_what_was_seen(run, drifted):
    drifted.says[f"deployments/{DPL}/merge"] = merged()

    ran = run("deployment", "merge", DPL, "--accept", "--description", "both", "-o", "name")

    assert drifted.taken == [models.Merging(reviewed=CURRENT, description="both")]
    assert ran == type(ran)(0, "DPL-NEW0000000000000\n")


@pytest.mark.parametrize("accept", [(), ("--accept",)])
def test_conflicts_are_shown_side_by_side_and_nothing_is_made(run, drifted, accept):
    drifted.says[f"deployments/{DPL}/merge"] = merged(CONFLICT, WHOLE)

    ran = run("deployment", "merge", DPL, *accept)

    assert drifted.taken == []
    assert ran == type(ran)(
        6,
        """\
DPL-7K3QF was staged beside DPL-B4SE0; DPL-M2W8R is ordered now.

conflict   motion.yaml  (motion)  both changed it
  /limits/max_speed: changed on both sides  (motion.yaml:3:14)
    base     1.0
    current  1.5
    staged   2.0
  the whole file: no text
    base     "a"
    current  "b"
    staged   "c"
theirs     map.yaml  (map)  as it is ordered now
""",
        "shallop: 2 conflicts; nothing was made: stage what you decide on with "
        f"`shallop deployment patch {DPL} --set motion:/limits/max_speed=VALUE --staged`\n",
    )


def test_a_result_that_is_not_valid_is_not_accepted(run, drifted):
    finding = models.ProblemError(message="too fast", pointer="/limits/max_speed", source="motion", line=3, column=14)
    drifted.says[f"deployments/{DPL}/merge"] = merged(findings=(finding,))

    ran = run("deployment", "merge", DPL, "--accept")

    assert (ran.code, drifted.taken) == (7, [])
    assert ran.out.splitlines()[-1] == "invalid  motion:3:14 /limits/max_speed: too fast"
    assert ran.err.startswith("shallop: the merged files would not be valid; nothing was made: ")


def test_a_description_belongs_to_what_is_made(run, drifted):
    assert run("deployment", "merge", DPL, "--description", "x").code == 2


def test_an_order_in_between_is_a_conflict(run, drifted):
    drifted.refuses = refusal(409, "current_changed", "amr-07 is ordered to run DPL-ZZZZZ by now; review again")

    assert run("deployment", "restage", DPL, "--reviewed", CURRENT).code == 6
