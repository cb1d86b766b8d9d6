"""``shallop deploy``: what is sent, and how it is told what was wrong with it."""

from __future__ import annotations

import json

import pytest
from cli_world import deployment, refusal
from shallop_cloud.api import models

DPL = "DPL-NEW0000000000000"
MOTION = b"# as measured on 3 May\r\nlimits:\r\n  max_speed: 1.0\n\xc3\xa9\t\n"
DEPLOY = ("deploy", "amr-07", "--release", "1.4.0")


@pytest.fixture
def motion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "motion.yaml").write_bytes(MOTION)
    return "motion.yaml"


def test_files_are_sent_byte_for_byte(run, world, motion):
    ran = run(
        *DEPLOY, "--config", "motion-control=motion.yaml", "--config", "map=-", "-o", "name", stdin=b"\xef\xbb\xbf1"
    )

    assert ran == type(ran)(0, f"{DPL}\n", "")
    [taken] = world.taken
    assert taken == models.NewDeployment(
        device="amr-07",
        release="1.4.0",
        configs=[
            models.NewConfig(config_type="motion-control", content=MOTION.decode()),
            models.NewConfig(config_type="map", content="\ufeff1"),
        ],
    )
    assert "expected_current" not in taken.model_fields_set


@pytest.mark.parametrize(("given", "stated"), [("none", None), ("DPL-7K3QF", "DPL-7K3QF")])
def test_what_is_expected_to_be_current_is_stated(run, world, given, stated):
    run(*DEPLOY, "--staged", "--description", "slower", "--expected-current", given)

    [taken] = world.taken
    assert (taken.staged, taken.description, taken.expected_current) == (True, "slower", stated)
    assert "expected_current" in taken.model_fields_set


def test_a_term_is_sent_if_there_is_one(run, world):
    run(*DEPLOY, "--confirm-within", "2m")
    run("deploy", "amr-07", "amr-08", "--release", "1.4.0", "--confirm-within", "1h")
    run(*DEPLOY)

    assert [world.taken[index].confirm_s for index in (0, 1, -1)] == [120, 3_600, None]
    assert "confirm_s" not in world.taken[-1].model_fields_set


def test_the_table_shows_the_new_deployment(run, world):
    lines = run(*DEPLOY, "--staged").out.splitlines()

    assert lines[0] == f"id:            {DPL}"
    assert "status:        staged" in lines


def test_findings_are_told_of_the_file(run, world, motion):
    world.refuses = refusal(
        422,
        "config_invalid",
        "the config of type 'motion-control' is not valid",
        models.ProblemError(
            message="12.5 is greater than the maximum of 5",
            pointer="/limits/max_speed",
            source="motion-control",
            line=3,
            column=3,
        ),
    )

    ran = run(*DEPLOY, "--config", "motion-control=motion.yaml", "-o", "json")

    assert ran == type(ran)(
        7,
        "",
        "shallop: the config of type 'motion-control' is not valid\n"
        "motion.yaml:3:3 /limits/max_speed: 12.5 is greater than the maximum of 5\n",
    )
    ran = run(*DEPLOY, "--config", "motion-control=-", stdin=b"{}")
    assert ran.err.splitlines()[1].startswith("<stdin>:3:3 /limits/max_speed: ")


@pytest.mark.parametrize(
    ("configs", "words"),
    [
        (["/front=a.txt"], "Invalid value for '--config': '/front' is not TYPE or TYPE/SLOT, such as "),
        (["lidar/=a.txt"], "Invalid value for '--config': 'lidar/' is not TYPE or TYPE/SLOT"),
        (["lidar/a/b=a.txt"], "Invalid value for '--config': 'lidar/a/b' is not TYPE or TYPE/SLOT"),
        (["lidar=a.txt", "lidar/default=b.txt"], "config type 'lidar' is given twice: a.txt and b.txt"),
        (["motion.yaml"], "Invalid value for '--config': 'motion.yaml' is not TYPE=FILE, such as "),
        (["=motion.yaml"], "Invalid value for '--config': '=motion.yaml' is not TYPE=FILE"),
        (["map="], "Invalid value for '--config': 'map=' is not TYPE=FILE"),
        (["map=a.txt", "map=b.txt"], "config type 'map' is given twice: a.txt and b.txt"),
        (["map=-", "motion=-"], "stdin (-) can be read for one config only"),
        (["map=none.txt"], "cannot read 'none.txt': No such file or directory"),
        (["map=."], "cannot read '.': Is a directory"),
        (["map=a\0b"], "cannot read 'a\\x00b': embedded null byte"),
    ],
)
def test_configs_that_are_not_written_right(run, world, motion, configs, words):
    ran = run(*DEPLOY, *(part for config in configs for part in ("--config", config)))

    assert (ran.code, ran.out, world.taken) == (2, "", [])
    assert ran.err.startswith(f"shallop: {words}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--timeout", "3"], "--timeout belongs to --wait"),
        (["--staged", "--wait"], "--wait waits for the device, which a staged deployment does not reach"),
        (["--wait", "--timeout", "0"], "Invalid value for '--timeout'"),
        (["--expected-current", ""], "Invalid value for '--expected-current'"),
    ],
)
def test_options_that_do_not_go_together(run, world, options, words):
    ran = run(*DEPLOY, *options)

    assert (ran.code, world.taken) == (2, [])
    assert ran.err.startswith(f"shallop: {words}")


def test_wait_ends_with_0_when_the_device_has_confirmed_it(run, world):
    world.later[DPL] = [deployment(DPL), deployment(DPL, activity="deployed")]

    ran = run(*DEPLOY, "--wait", "-o", "json")

    assert ran.code == 0
    assert json.loads(ran.out)["status"] == "deployed"
    assert ran.err == f"{DPL} on amr-07: queued\n{DPL} on amr-07: deployed\n"


def test_wait_ends_with_9_when_it_failed(run, world):
    reason = models.Reason(code="check_rejected", message="speed\x1b[2J too high\n")
    world.later[DPL] = [deployment(DPL, "archived", "queued", "failed", reason=reason)]

    ran = run(*DEPLOY, "--wait", "-o", "name")

    assert (ran.code, ran.out) == (9, f"{DPL}\n")
    assert ran.err.splitlines()[-1] == f"shallop: {DPL} on amr-07 failed: check_rejected: speed too high"


def test_wait_ends_with_9_when_it_was_archived_before(run, world):
    world.later[DPL] = [deployment(DPL, "archived", "archived")]

    ran = run(*DEPLOY, "--wait", "-o", "name")

    assert ran.code == 9
    assert ran.err.splitlines()[-1] == f"shallop: {DPL} on amr-07 was archived before the device confirmed it"


def test_wait_ends_with_8_and_says_what_was_last_known(run, world):
    ran = run(*DEPLOY, "--wait", "--timeout", "0.01", "-o", "name")

    assert (ran.code, ran.out) == (8, f"{DPL}\n")
    assert ran.err.splitlines()[-1] == (
        f"shallop: {DPL} on amr-07 is not known to be deployed after 0.01 s; last known: queued; "
        "nothing is known of amr-07; the order stands, and is not undone"
    )


def test_slots_are_sent_and_findings_are_told_of_their_files(run, world, motion, tmp_path):
    (tmp_path / "rear.yaml").write_bytes(b"a: 1\n")
    files = ("--config", "lidar/front=motion.yaml", "--config", "lidar/rear=rear.yaml")

    run(*DEPLOY, *files)

    assert [(each.config_type, each.slot) for each in world.taken[0].configs] == [("lidar", "front"), ("lidar", "rear")]
    error = models.ProblemError(message="no", pointer="/a", source="lidar/rear", line=1, column=1)
    world.refuses = refusal(422, "config_invalid", "not valid", error)
    assert run(*DEPLOY, *files).err.splitlines()[1] == "rear.yaml:1:1 /a: no"


@pytest.mark.parametrize(
    ("chosen", "sent"),
    [
        (["amr-07", "amr-08"], {"devices": ["amr-07", "amr-08"]}),
        (["--label", "site=lyon", "--label", "model=amr2"], {"labels": {"site": "lyon", "model": "amr2"}}),
    ],
)
def test_many_devices_get_the_same_files(run, world, motion, chosen, sent):
    problem = models.ItemProblem(status=404, code="device_not_found", detail="there is no device 'amr-08'")
    world.says["deployments:batch"] = models.MadeDeployments(
        data=[
            models.MadeDeployment(device="amr-07", device_id="DEV-1", id=DPL, problem=None),
            models.MadeDeployment(device="amr-08", device_id=None, id=None, problem=problem),
        ]
    )

    ran = run("deploy", *chosen, "--release", "1.4.0", "--config", "motion-control=motion.yaml", "--staged")

    [taken] = world.taken
    assert taken.model_dump(include={"devices", "labels"}, exclude_none=True) == sent
    assert ran == type(ran)(
        5,
        """\
DEVICE  RESULT   DEPLOYMENT            PROBLEM
amr-07  staged   DPL-NEW0000000000000  -
amr-08  refused  -                     there is no device 'amr-08'
""",
        "shallop: 1 refused, 1 staged\n",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name the devices, or choose them with --label: one of the two"),
        (["amr-07", "--label", "a=b"], "name the devices, or choose them with --label: one of the two"),
        (["amr-07", "amr-08", "--expected-current", "none"], "--expected-current is about one device"),
        (["--label", "a=b", "--label", "a=c"], "label 'a' is given twice: 'b' and 'c'"),
    ],
)
def test_devices_that_are_not_chosen_right(run, world, arguments, words):
    ran = run("deploy", *arguments, "--release", "1.4.0")

    assert (ran.code, world.taken) == (2, [])
    assert ran.err.startswith(f"shallop: {words}")


def test_labels_that_no_device_has_are_no_failure(run, world):
    world.says["deployments:batch"] = models.MadeDeployments(data=[])

    ran = run("deploy", "--label", "site=nowhere", "--release", "1.4.0", "--wait")

    assert ran == type(ran)(0, "nothing to do: nothing fits\n", "")


def test_a_staged_one_says_how_to_order_it(run, world):
    assert run(*DEPLOY, "--staged").err == "to order it: shallop deployment deploy DPL-NEW00 --wait\n"
