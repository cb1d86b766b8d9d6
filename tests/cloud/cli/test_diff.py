"""``shallop diff``."""

from __future__ import annotations

import json

import pytest
from cli_world import DIGEST, change, deployment, device, file_diff, release
from shallop_cloud.api import models

DPL, OTHER = "DPL-7K3QF0H2M9XW4RTC", "DPL-M2W8R00000000000"


def sides(*files: models.FileDiff) -> models.Diff:
    return models.Diff(
        before=models.Compared(deployment=DPL, device_name="amr-07", release="1.4.0"),
        after=models.Compared(deployment=OTHER, device_name="amr-08", release="1.5.0"),
        files=list(files),
        same=all(each.kind == "same" for each in files),
    )


CHANGED = file_diff("motion", change("/limits/max_speed", 1.0, 1.5))
SAME = file_diff("map", kind="same", same_meaning=True)


def test_the_server_compares_what_it_has(run, world):
    world.says["diff"] = sides(CHANGED, SAME)

    ran = run("diff", "DPL-7K3QF", "device:amr-08")

    assert world.asked == {"before": "DPL-7K3QF", "after": "device:amr-08"}
    assert ran == type(ran)(
        0,
        """\
--- DPL-7K3QF for amr-07, release 1.4.0
+++ DPL-M2W8R for amr-08, release 1.5.0

motion.yaml  (motion)  changed
  /limits/max_speed: 1.0 -> 1.5  (motion.yaml:3:14)

1 other file is the same

1 file changed
""",
    )


def test_a_difference_ends_with_3_if_that_is_asked_for(run, world):
    world.says["diff"] = sides(CHANGED)

    ran = run("diff", "DPL-7K3QF", "DPL-M2W8R", "--exit-code", "-o", "name")

    assert ran == type(ran)(3, "CFG-AFTERA0000000000\n", "shallop: DPL-7K3QF and DPL-M2W8R differ\n")
    world.says["diff"] = sides(SAME)
    assert run("diff", "DPL-7K3QF", "DPL-M2W8R", "--exit-code", "-o", "name") == type(ran)(0)


@pytest.fixture
def files(world, tmp_path, monkeypatch):
    """A device that runs a motion file, and files here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.yaml").write_text("# fast\nlimits:\n  max_speed: 1.5\n")
    (tmp_path / "comments.yaml").write_text("limits: {max_speed: 1.0} # as it was\n")
    (tmp_path / "same.yaml").write_text("limits:\n  max_speed: 1\n")
    instance = models.ConfigInstance(
        id="CFG-2WJ8C00000000000", config_type="motion", slot="default", path="motion.yaml", digest=DIGEST, size=12
    )
    world.contents[instance.id] = b"limits:\n  max_speed: 1\n"
    world.add(release("1.4.0", "motion", "map"), deployment(DPL, activity="deployed", config_instances=[instance]))
    world.add(device("amr-07", current=DPL), device("amr-08"))
    return world


def test_a_file_here_beside_what_a_device_runs(run, files):
    ran = run("diff", "device:amr-07", "new.yaml", "--type", "motion", "--exit-code")

    assert ran == type(ran)(
        3,
        """\
--- DPL-7K3QF for amr-07, release 1.4.0
+++ new.yaml

new.yaml  (motion)  changed
  /limits/max_speed: 1 -> 1.5  (new.yaml:3:3)

1 file changed
""",
        "shallop: device:amr-07 and new.yaml differ\n",
    )


def test_it_has_the_shape_that_the_server_gives(run, files):
    found = json.loads(run("diff", "new.yaml", DPL, "--type", "motion", "-o", "json").out)

    [file] = [models.FileDiff.model_validate(each) for each in found["files"]]
    assert file.model_copy(update={"text": ""}) == models.FileDiff(
        config_type="motion",
        slot="default",
        path="motion.yaml",
        format="yaml",
        kind="changed",
        before=None,
        after=models.VersionOfFile(instance="CFG-2WJ8C00000000000", digest=DIGEST, size=12),
        same_meaning=False,
        changes=[
            models.Change(
                kind="changed", pointer="/limits/max_speed", before=1.5, after=1,
                before_line=3, before_column=3, after_line=2, after_column=3,
            )
        ],
        omitted=0,
        text="",
    )  # fmt: skip
    assert "-  max_speed: 1.5\n+  max_speed: 1" in file.text


@pytest.mark.parametrize(
    ("file", "code", "said"),
    [
        ("same.yaml", 0, "no file differs"),
        ("comments.yaml", 3, "comments and layout only: every value is the same"),
    ],
)
def test_what_is_the_same_and_what_only_reads_the_same(run, files, file, code, said):
    ran = run("diff", "device:amr-07", file, "--type", "motion", "--exit-code")

    assert (ran.code, said in ran.out) == (code, True)


def test_two_files_here(run, files):
    ran = run("diff", "same.yaml", "-", "--type", "motion", "--release", "1.4.0", stdin=b"limits: {}\n")

    assert ran.code == 0
    assert "<stdin>  (motion)  changed\n  /limits/max_speed: 1 removed  (<stdin>:2:3)\n" in ran.out


def test_a_type_that_a_deployment_has_no_file_of(run, files):
    ran = run("diff", DPL, "new.yaml", "--type", "map")

    assert ran == type(ran)(
        0,
        "--- DPL-7K3QF for amr-07, release 1.4.0\n+++ new.yaml\n\nnew.yaml  (map)  added\n\n1 file added\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["DPL-7K3QF", "new.yaml"], 2, "say what new.yaml is: --type TYPE, one of its release's config types"),
        (["DPL-7K3QF", DPL, "--type", "motion"], 2, "--type and --release are about files on this machine; neither"),
        (["DPL-7K3QF", DPL, "--release", "1.4.0"], 2, "--type and --release are about files on this machine; neither"),
        (["-", "-", "--type", "motion"], 2, "stdin (-) can be read for one side only"),
        (["new.yaml", "same.yaml", "--type", "motion"], 2, "both sides are files: say which release they are for with"),
        (["DPL-7K3QF", "none.yaml", "--type", "motion"], 2, "cannot read 'none.yaml': No such file or directory"),
        (
            ["DPL-7K3QF", "new.yaml", "--type", "a/b/c"],
            2,
            "Invalid value for '--type': 'a/b/c' is not TYPE or TYPE/SLOT",
        ),
        (["DPL-7K3QF", ""], 2, "Invalid value for 'B': an empty text is neither a deployment, a device nor a file"),
        (["device:", DPL], 2, "Invalid value for 'A': '' is neither an id nor a name"),
        (["device:amr-08", "new.yaml", "--type", "motion"], 5, "nothing is ordered for amr-08; "),
        (["device:amr-09", "new.yaml", "--type", "motion"], 5, "there is no device 'amr-09'"),
        (["DPL-7K3QF", "new.yaml", "--type", "moton"], 5, "release 1.4.0 has no config type 'moton' (did you mean "),
        (["DPL-7K3QF", "new.yaml", "--type", "motion/x"], 5, "release 1.4.0 has no config type 'motion/x'"),
        (["DPL-7K3QF", "new.yaml", "--type", "motion", "--release", "9.9.9"], 5, "there is no release '9.9.9'"),
    ],
)
def test_what_cannot_be_compared(run, files, arguments, code, words):
    ran = run("diff", *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(f"shallop: {words}")
