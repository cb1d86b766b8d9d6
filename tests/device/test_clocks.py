"""The wall clock is stepped by fifty years, back or forth, at any moment of a deployment: no decision changes (S19)."""

from __future__ import annotations

import datetime
import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from shallop_device import gates, store, testing
from shallop_protocol import ids, strict_json

FIFTY_YEARS = datetime.timedelta(days=50 * 365.25)
RULES = gates.Rules(check=True, applied=True, health=gates.Health(window=20.0, interval=1.0, passes=2))
_RANDOM = re.compile(r"\.(staging|trash|current)-[0-9a-f]+")
_LIBFAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)

Decisions = list[object]


def deploy(directory: Path, step_at: int, by: datetime.timedelta) -> Decisions:
    """A deployment in place of another: held for a while, held up once by a full disk, tried, found well at the third
    look, and the old one taken off. At one of its steps the wall clock is stepped.

    Returns:
        What was done, in order: each step on the disk, each commit, each hook, each wait, and what was reported.
    """
    shore = testing.Shore()
    old, new = shore.manifest({"a": "old"}), shore.manifest({"d/a": "new"})
    robot = testing.Robot(directory, shore, RULES)
    done: Decisions = []
    steps = 0
    is_full = [True]

    def step(*what: str) -> None:
        nonlocal steps
        steps += 1
        done.append(what)
        if steps == step_at:
            robot.clock.set_wall(robot.clock.now() + by)

    def on_disk(name: str, path: str) -> None:
        step(name, _RANDOM.sub(r".\1", path))
        if name == "write" and path.endswith("/d/a") and is_full:
            is_full.clear()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def in_database(sql: str) -> None:
        if sql.lower() == "commit":
            step("commit")

    def work() -> None:
        looks = 0
        for _ in range(200):
            robot.worker.work()
            report = robot.report
            done.append(
                [
                    (each.id, each.activity, each.error, each.attempts, each.reason, each.waiting and each.waiting.code)
                    for each in report.deployments
                ]
            )
            if robot.errands.open:
                looks += robot.errands.name == "health"
                step(str(robot.errands.name))
                robot.end(int(robot.errands.name == "health" and looks == 1))
            elif (wake_at := robot.worker.wake_at) is None:
                return
            else:
                done.append(wake_at)
                robot.clock.sleep(max(0.0, wake_at - robot.clock.monotonic()))
        raise AssertionError("the robot does not come to rest")

    robot.boot(fault=lambda real: testing.Watched(real, on_disk), database=testing.watched_database(in_database))
    robot.take(shore.order(old))
    work()
    robot.worker.passage.hold("docking", "parking", 300.0)
    robot.take(shore.order(new))
    work()
    assert robot.visible() == {"d/a": "new"}
    assert steps >= step_at
    robot.store.close()
    done.append(steps)
    return done


@pytest.mark.parametrize("by", [FIFTY_YEARS, -FIFTY_YEARS], ids=["forth", "back"])
@pytest.mark.parametrize(
    "every", [pytest.param(12), pytest.param(1, marks=pytest.mark.slow)], ids=["some steps", "every step"]
)
def test_a_step_of_the_clock_changes_no_decision(every, by, memory_path: Path):
    expected = deploy(memory_path / "0", 0, by)
    steps = expected[-1]
    assert isinstance(steps, int)
    assert steps > 60
    for step_at in range(1, steps + 1, every):
        assert deploy(memory_path / str(step_at), step_at, by) == expected, f"the clock was stepped at step {step_at}"
        shutil.rmtree(memory_path / str(step_at))


def libfaketime() -> str:
    found = next((path for path in _LIBFAKETIME if Path(path).exists()), None)
    if found is None:
        pytest.skip("libfaketime is not installed (apt install libfaketime)")
    return found


class Daemon:
    """A real ``shallopd run`` whose wall clock the test sets."""

    def __init__(self, directory: Path, shore: testing.Shore, url: str) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        memory = store.Store.open(directory / "state")
        memory.begin_enrolment("http://127.0.0.1", self.root, "token")
        memory.finish_enrolment(strict_json.dumps(shore.answer(url)))
        memory.close()
        self._offset = directory / "offset"
        self._log = (directory / "log").open("wb")
        self.set_clock("+0")
        environment = {
            **os.environ,
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }
        command = [sys.executable, "-m", "shallop_device", "run", "--state", directory / "state"]
        command += ["--retry-first=0.1", "--retry-cap=0.5"]
        self.process = subprocess.Popen(command, env=environment, stderr=self._log)

    def set_clock(self, offset: str) -> None:
        """Steps the wall clock, at one instant."""
        new = self._offset.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self._offset)

    def stop(self) -> int:
        self.process.terminate()
        self._log.close()
        return self.process.wait(30)


@pytest.fixture
def daemon(tmp_path: Path, shore, broker) -> Generator[Daemon]:
    daemon = Daemon(tmp_path, shore, broker.url)
    yield daemon
    if daemon.process.poll() is None:
        daemon.stop()


@pytest.mark.slow
@pytest.mark.mosquitto
def test_a_real_agent_goes_on_while_its_clock_is_stepped(
    daemon: Daemon, shore, watch, eventually: Callable[[Callable[[], Any]], Any]
):
    """Before and after each order, and while a deployment waits for its disk."""
    topic = f"shallop/v1/{ids.on_wire(shore.device)}"

    def last_report() -> Any:
        return testing.read_report(bodies[-1]) if (bodies := watch.of(f"{topic}/report")) else None

    def is_in_force(deployment: str) -> bool:
        report = last_report()
        return report is not None and report.current == deployment and report.deployments[-1].activity == "deployed"

    eventually(last_report)
    years = set[int]()
    for offset in ("+0", "-50y", "+50y", "-50y", "+0"):
        daemon.set_clock(offset)
        manifest = shore.manifest({"f": offset})
        watch.publish(f"{topic}/desired", shore.seal(shore.order(manifest)), retain=True)
        eventually(lambda manifest=manifest: is_in_force(manifest.id))
        assert (daemon.root / "current/f").read_text() == offset
        years.add(last_report().at.year)
    assert len(years) == 3  # the clock that the agent sees was stepped

    (daemon.root / "current").unlink()
    (daemon.root / "current").mkdir()  # in the way
    manifest = shore.manifest({"f": "after the wait"})
    watch.publish(f"{topic}/desired", shore.seal(shore.order(manifest)), retain=True)
    eventually(lambda: any(each.error == "retrying" for each in last_report().deployments))
    daemon.set_clock("-50y")
    attempts = last_report().deployments[-1].attempts
    eventually(lambda: last_report().deployments[-1].attempts > attempts)
    (daemon.root / "current").rmdir()
    daemon.set_clock("+50y")
    eventually(lambda: is_in_force(manifest.id))
    assert (daemon.root / "current/f").read_text() == "after the wait"
    assert daemon.stop() == 0
