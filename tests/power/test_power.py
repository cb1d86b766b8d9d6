"""The harness of power cuts sees what it is there to see. What needs root and a file system of its own is slow."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from planted import run as planting
from power import cloud, find_planted, kernel, rules
from power.violation import Violation
from shallop_device import applier, testing
from shallop_protocol.desired import Manifest
from shallop_protocol.messages import Report

RUN = Path(__file__).with_name("run.py")


class World:
    """A robot that reported that it carried out an order, and what may have become of its disk since."""

    def __init__(self, directory: Path) -> None:
        self.ashore = cloud.Cloud(random.Random(1))
        self.robot = testing.Robot(directory, self.ashore.shore)
        self.robot.boot()

    def obey(self, order: bytes) -> Report:
        self.robot.worker.take(order)
        self.robot.settle()
        self.ashore.hear([self.robot.report])
        return self.robot.report

    def deploy(self, fallback: str | None = None) -> Manifest:
        manifest = self.ashore.make()
        self.obey(self.ashore.order(manifest, fallback))
        return manifest

    def tree(self, manifest: Manifest) -> Path:
        return self.robot.root / applier.DEPLOYMENTS / manifest.id

    def at_the_cut(self) -> None:
        rules.at_the_cut(self.robot.root, self.ashore)

    def at_rest(self) -> None:
        report = self.robot.report
        rules.at_rest(self.robot.root, self.robot.state, report, self.ashore.after(report.generation), self.ashore)


@pytest.fixture
def world(memory_path: Path):
    world = World(memory_path)
    yield world
    world.robot.store.close()


@pytest.fixture
def memory_path(tmp_path: Path) -> Path:
    return tmp_path


def test_a_sound_robot_is_sound(world):
    first = world.deploy()
    second = world.deploy(fallback=first.id)
    world.at_the_cut()
    world.at_rest()
    assert world.ashore.acknowledged == 2

    world.obey(world.ashore.order(world.ashore.make_bad(), fallback=second.id))
    world.at_the_cut()
    world.at_rest()
    world.obey(world.ashore.order(None))
    world.at_the_cut()
    world.at_rest()


def test_a_torn_file_is_seen(world):
    manifest = world.deploy()
    (world.tree(manifest) / manifest.instances[0].path).write_bytes(b"")

    with pytest.raises(Violation, match=r"^S2: a reader finds .* \(0 bytes, 0644\)"):
        world.at_the_cut()


def test_a_link_that_leads_nowhere_is_seen(world):
    manifest = world.deploy()
    world.tree(manifest).rename(world.robot.root / "lost")

    with pytest.raises(Violation, match=r"^S2: current leads to .*, which is not there"):
        world.at_the_cut()


def test_a_deployment_that_was_acknowledged_and_is_gone_is_seen(world):
    world.deploy()
    (world.robot.root / applier.CURRENT).unlink()

    with pytest.raises(Violation, match=r"^S13: nothing is in sight"):
        world.at_the_cut()


def test_an_older_deployment_in_sight_is_seen(world):
    first = world.deploy()
    world.deploy(fallback=first.id)
    (world.robot.root / applier.CURRENT).unlink()
    (world.robot.root / applier.CURRENT).symlink_to(f"{applier.DEPLOYMENTS}/{first.id}")

    with pytest.raises(Violation, match=f"^S13: {first.id} is in sight"):
        world.at_the_cut()


def test_an_acknowledged_fallback_that_is_gone_is_seen(world):
    first = world.deploy()
    world.deploy(fallback=first.id)
    (world.tree(first) / first.instances[0].path).unlink()

    with pytest.raises(Violation, match=f"^S13: there is no whole tree of {first.id}"):
        world.at_the_cut()


def test_what_was_not_acknowledged_may_be_there_or_not(world):
    world.deploy()
    newer = world.ashore.make()
    world.ashore.order(newer)
    world.at_the_cut()

    world.robot.worker.take(world.ashore.sealed[-1])
    world.robot.settle()

    world.at_the_cut()


def test_a_database_that_forgot_is_seen(world):
    world.deploy()
    told = rules.Told()
    told.opened = {"incarnation": str(world.robot.report.incarnation), "generation": 0, "seq": 99}

    with pytest.raises(Violation, match=r"^S1: the database remembers order 0"):
        rules.opened(told, world.ashore)


def test_leftovers_are_seen(world):
    world.deploy()
    (world.robot.root / applier.DEPLOYMENTS / ".staging-0").mkdir()

    with pytest.raises(Violation, match=r"^S22: .*\.staging-0"):
        world.at_rest()


def test_a_report_that_differs_from_the_database_is_seen(world):
    world.deploy()
    report = world.robot.report.model_copy(update={"deployments": ()})

    with pytest.raises(Violation, match=r"^S14: the report is not what the database has"):
        rules.at_rest(world.robot.root, world.robot.state, report, world.ashore.after(report.generation), world.ashore)


@pytest.mark.parametrize("name", find_planted.MISTAKES)
def test_a_patch_applies_to_the_source(name):
    command = ["git", "apply", "--check", find_planted.patch_of(name)]
    checked = subprocess.run(command, cwd=planting.ROOT, capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.mark.slow
@needs_root
def test_the_last_line_says_what_came_of_it():
    ran = subprocess.run([sys.executable, RUN, "--cuts=12", "--seed=1"], capture_output=True, text=True, check=True)

    words = ran.stdout.splitlines()[-1].split(", ")
    assert (words[0], words[2]) == ("power cuts: 12", "violations: 0")
    assert int(words[1].removeprefix("acknowledged deployments: ")) > 0


@pytest.mark.slow
@needs_root
def test_a_mistake_is_found(capsys):
    assert find_planted.main(["no-file-fsync"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "planted: 1, found: 1"


def test_the_calls_that_change_a_disk_are_told_apart():
    """Each of them has an instruction of the filter that tells its place."""
    told = [value & 0xFFFF for code, _, _, value in kernel._filter() if code == 6 and value != 0x7FFF0000]

    assert told == list(range(len(kernel.CHANGES)))
