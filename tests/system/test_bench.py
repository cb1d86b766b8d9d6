"""The bench as people use it: from one terminal and from another, with every kind of trouble."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import system_world
from shallop_cloud.bench.fleet import bench, directories, example
from shallop_cloud.bench.fleet.errors import BenchError, DevicesFailed, NotConverged, Refused
from shallop_cloud.bench.simulated import FleetProcess
from shallop_cloud.testing.fleets import Fleet, StartFleet
from system_world import REPOSITORY, SHALLOP, Process, free_port, wait

USUAL = example.CONFIGS
FAST = {**USUAL, "motion-control": USUAL["motion-control"].with_name("motion-control-fast.yaml")}
BAD = {**USUAL, "motion-control": USUAL["motion-control"].with_name("motion-control-bad.yaml")}
FAULTS = (
    "offline 1s", "power-cut 500ms", "disk-full 2s", "corrupt-state", "slow 50ms", "clock -50y", "duplicate", "reorder",
)  # fmt: skip


@dataclasses.dataclass
class Terminal:
    """Where a bench was started, and commands are given."""

    directory: Path
    bench: Process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        where = ["--directory", str(self.directory)]
        return subprocess.run(
            [*SHALLOP, "bench", *words, *where], capture_output=True, text=True, timeout=120, check=False
        )

    def must(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.must("status", "-o", "json"))

    def start(self) -> None:
        self.bench.start()
        wait("it is up", lambda: "Ctrl-C ends it" in self.bench.log.read_text() or not self.bench.is_running)
        assert self.bench.is_running, self.bench.log.read_text()

    def pids(self) -> list[int]:
        return [each["pid"] for each in self.status()["processes"]]


def _terminal(tmp_path: Path, *options: str) -> Terminal:
    where = tmp_path / "bench"
    up = [*SHALLOP, "bench", "up", "--directory", str(where), *options]
    return Terminal(where, Process(up, tmp_path / "up.log", tmp_path))


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Terminal]:
    """A bench of three real agents that have the example's configuration, from a terminal."""
    terminal = _terminal(tmp_path, "--robots", "3", "--once", "--keep")
    try:
        terminal.start()
        yield terminal
    finally:
        if terminal.bench.is_running:
            terminal.bench.end()


def test_once_deploys_to_all_and_ends(tmp_path: Path) -> None:
    where = tmp_path / "bench"
    done = subprocess.run(
        [*SHALLOP, "bench", "up", "--robots", "20", "--simulated", "--once", "--directory", str(where)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "20 of 20 robots have it" in done.stderr
    assert "All 20 robots have it" in done.stdout
    assert "from the order to the last report" in done.stdout
    assert not directories.is_held(where)


def test_twenty_simulated_robots_in_a_test(fleet: StartFleet) -> None:
    amrs = fleet(robots=20)
    ordered = amrs.deploy(USUAL)
    amrs.await_converged()
    assert {name: robot.known()["current"] for name, robot in amrs.robots.items()} == ordered
    with pytest.raises(BenchError, match=r"motion-control-bad\.yaml:5:3 /limits/max_speed: 12\.5 is greater than"):
        amrs.deploy(BAD)
    with pytest.raises(Refused, match="keeps no files"):
        amrs.files("amr-1")
    amrs.fault("amr-7", "offline 1d")
    wait("the cloud knows it", lambda: not amrs.robots["amr-7"].known()["online"])
    with pytest.raises(NotConverged, match=r"(?s)after 0.1 s the fleet has not converged.*\n  amr-7: offline"):
        amrs.await_converged(within=0.1)
    amrs.fault("amr-7", "heal")
    amrs.await_converged()


@pytest.mark.slow
def test_a_life_from_two_terminals(three: Terminal, tmp_path: Path) -> None:
    known = three.status()
    assert (known["summary"]["in_sync"], known["summary"]["deployments"]) == (3, {"deployed": 3})
    assert three.must("fault", "amr-1", "clock", "-50y") == "amr-1: clock -50y\n"
    assert "it was enrolled anew with a renewed token" in three.must("fault", "amr-2", "corrupt-state")
    nobody = three.run("fault", "amr-1", "--precent", "5", "heal")
    assert (nobody.returncode, "no robot '--precent'" in nobody.stderr) == (2, True)
    broker, cloud = three.pids()
    three.must("broker", "kill")
    three.must("cloud", "kill")
    assert three.status()["summary"] is None
    assert three.pids() == [None, None]
    three.must("broker", "restart")
    three.must("cloud", "restart")
    assert not {broker, cloud} & set(three.pids())
    in_use = _terminal(tmp_path).bench
    in_use.start()
    wait("it has ended", lambda: not in_use.is_running)
    assert "a bench runs in" in in_use.log.read_text()
    wait("all are back", lambda: three.status()["summary"]["online"] == 3)
    pids = three.pids()
    assert "has ended" in three.must("down")
    assert three.run("status").returncode == 5
    assert not any(_is_alive(pid) for pid in pids)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process(tmp_path: Path, number: signal.Signals) -> None:
    terminal = _terminal(tmp_path, "--robots", "2")
    terminal.start()
    pids = terminal.pids()
    assert terminal.bench.end(number) == 0
    assert not any(_is_alive(pid) for pid in pids)
    assert "Ending robots, cloud and broker." in terminal.bench.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--simulated"]])
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path, options: list[str]) -> None:
    terminal = _terminal(tmp_path, "--robots", "2", *options)
    terminal.start()
    held = str(terminal.directory)
    assert len(_processes_of(held)) >= 4
    terminal.bench.kill()
    wait("all of them have ended", lambda: _processes_of(held) == [])
    assert not directories.is_held(terminal.directory)


@pytest.mark.slow
def test_faults_are_felt_by_a_real_agent(fleet: StartFleet) -> None:
    """One robot at a time, and the cloud hears of it; the others hear nothing."""
    amrs = fleet(robots=2, simulated=False)
    amrs.deploy(USUAL)
    amrs.await_converged(60)
    one = amrs.robots["amr-1"]

    one.fault("offline 1d")
    wait("it is known to be offline", lambda: not one.known()["online"])
    one.fault("heal")
    amrs.await_converged(60)

    one.fault("power-cut 1d")
    wait("it is known to be gone", lambda: not one.known()["online"])
    assert one.files()
    one.fault("heal")
    amrs.await_converged(60)

    one.fault("disk-full 1d")
    amrs.deploy(FAST)
    wait("the other one has it", lambda: b"2.2" in amrs.files("amr-2")["motion/motion-control.yaml"])
    with pytest.raises(NotConverged, match=r"amr-1: DPL-\w+ retrying \(attempt \d+\): disk_full: .*No space") as raised:
        amrs.await_converged(5)
    assert [line.split(":")[0] for line in raised.value.astray] == ["amr-1"]
    one.fault("heal")
    amrs.await_converged(60)

    one.fault("clock -50y")
    amrs.deploy(USUAL)
    wait("its clock is wrong", lambda: one.known()["last_known"]["device_time"].startswith("197"))
    assert not amrs.robots["amr-2"].known()["last_known"]["device_time"].startswith("197")
    one.fault("heal")

    one.fault("slow 1s")
    began = time.monotonic()
    amrs.deploy(FAST)
    amrs.await_converged(60)
    assert time.monotonic() - began > 2  # there and back
    one.fault("heal")

    before = one.known()["last_known"]["incarnation"]
    one.fault("corrupt-state")
    amrs.await_converged(60)
    assert one.known()["last_known"]["incarnation"] != before
    _expect_files(amrs, FAST)


@pytest.mark.slow
def test_every_fault_heals_on_real_agents(fleet: StartFleet) -> None:
    """A deployment is on its way while it happens; then all robots have it, whole."""
    amrs = fleet(robots=3, simulated=False)
    amrs.deploy(USUAL)
    amrs.await_converged()
    for number, fault in enumerate(FAULTS):
        configs = USUAL if number % 2 else FAST
        amrs.fault(60, fault)
        amrs.deploy(configs)
        amrs.fault(60, "power-cut 200ms")
        if fault.startswith(("slow", "clock", "duplicate", "reorder")):
            amrs.await_converged(60)
            amrs.fault(100, "heal")
        amrs.await_converged(60)
        _expect_files(amrs, configs)


@pytest.mark.slow
def test_every_fault_heals_on_fifty_simulated_robots(fleet: StartFleet) -> None:
    amrs = fleet(robots=50)
    for number, fault in enumerate(FAULTS):
        amrs.fault(40, fault)
        ordered = amrs.deploy(USUAL if number % 2 else FAST)
        amrs.await_converged(60)
        amrs.fault(100, "heal")
        assert {name: robot.known()["current"] for name, robot in amrs.robots.items()} == ordered


@pytest.mark.slow
def test_broker_and_cloud_are_killed_wiped_and_put_back(fleet: StartFleet) -> None:
    amrs = fleet(robots=3, simulated=False)
    amrs.deploy(USUAL)
    amrs.await_converged()
    amrs.cloud.backup()
    for spoil in (
        amrs.broker.wipe,
        amrs.broker.restart,
        amrs.cloud.restart,
        lambda: (amrs.broker.kill(), amrs.cloud.kill(), amrs.cloud.restart(), amrs.broker.restart()),
    ):
        amrs.deploy(FAST)
        spoil()
        amrs.await_converged(60)
        _expect_files(amrs, FAST)
    amrs.cloud.restore_backup()
    amrs.deploy(USUAL)
    amrs.await_converged(60)
    _expect_files(amrs, USUAL)


def _deployments(world: dict[str, str]) -> list[dict[str, object]]:
    """All of them, without when the robots last spoke."""
    told = json.loads(_shallop(world, "deployment", "list", "-o", "json"))["data"]
    return [{name: value for name, value in each.items() if not name.startswith("last_known")} for each in told]


@pytest.mark.slow
def test_a_replay_changes_nothing(three: Terminal, tmp_path: Path) -> None:
    """Orders, reports and presences of a day that is over, all at once, on a fleet that has gone on since."""
    recording = tmp_path / "traffic.jsonl"
    recorder = Process(
        [*SHALLOP, "bench", "record", str(recording), "--directory", str(three.directory)], tmp_path / "r.log", tmp_path
    )
    recorder.start()
    wait("what is retained is recorded", lambda: recording.exists() and len(recording.read_text().splitlines()) >= 9)
    world = {"SHALLOP_URL": three.status()["url"], "SHALLOP_TOKEN": _token(three)}
    for name in ("amr-1", "amr-2", "amr-3"):
        _shallop(world, "deploy", name, "--release", "1.4.0", *system_world.example_configs("motion-control-fast.yaml"))
        _shallop(world, "deploy", name, "--release", "1.4.0", *system_world.example_configs(), "--wait")
    wait("it is quiet", lambda: _is_quiet(three))
    assert recorder.end() == 0
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert {line["topic"].rpartition("/")[2] for line in lines} >= {"desired", "report", "presence"}
    files, history = _files(three), _deployments(world)
    for options in ([], ["--only", "desired"], ["--only", "report", "--only", "presence"]):
        done = three.run("replay", str(recording), "--speed", "1000", *options)
        assert (done.returncode, "messages published" in done.stderr) == (0, True), done
    three.must("fault", "amr-1", "power-cut", "100ms")  # it connects anew, and has the stale order delivered once more
    three.must("cloud", "restart")
    wait("it is quiet again", lambda: _is_quiet(three))
    assert _files(three) == files
    assert _deployments(world) == history


@pytest.mark.slow
def test_what_fails_is_told(tmp_path: Path) -> None:
    robots = tmp_path / "robots"
    plan = bench.Plan(tmp_path, robots=4, simulated=True)
    with bench.running(plan, print, random.Random(1)) as running:
        FleetProcess(robots / "roster.json", robots).reject(["amr-3"], "max_speed")
        running.deploy(USUAL)
        with pytest.raises(DevicesFailed, match="deployments failed:\n  amr-3: DPL-"):
            running.await_deployed(30, print)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (
            ["--config", "motion-control=motion-control-bad.yaml", "--config", "nav2=nav2_params.yaml"],
            7,
            ":5:3 /limits",
        ),
        (["--config", "motion-control=nowhere.yaml"], 2, "nowhere.yaml cannot be read"),
        (["--config", "no-such=site.json"], 7, "no-such"),
        (["--timeout", "0.001"], 8, "amr-1: "),
        (["--release", "site.json", "--config", "a=site.json"], 7, "site.json is no release"),
    ],
)
def test_once_ends_as_it_went(tmp_path: Path, options: list[str], code: int, said: str) -> None:
    up = [*SHALLOP, "bench", "up", "--robots", "1", "--once", "--directory", str(tmp_path / "bench"), *options]
    cwd = USUAL["site"].parent
    done = subprocess.run(up, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert (done.returncode, said in done.stderr) == (code, True), done


@pytest.mark.slow
@pytest.mark.mosquitto
@pytest.mark.parametrize("options", [["--simulated", "--connections", "shared"], ["--broker-protocol", "5"]])
def test_another_broker(tmp_path: Path, options: list[str]) -> None:
    program = system_world.find_mosquitto()
    if program is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    port = free_port()
    settings = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
    (tmp_path / "mosquitto.conf").write_text(settings)
    broker = Process([program, "-c", "mosquitto.conf"], tmp_path / "mosquitto.log", tmp_path)
    broker.start()
    try:
        wait("it listens", lambda: _listens(port))
        url = f"mqtt://127.0.0.1:{port}"
        terminal = _terminal(tmp_path, "--robots", "5", "--broker", url, "--once", "--keep", *options)
        terminal.start()
        refused = terminal.run("broker", "wipe")
        assert (refused.returncode, "is not the bench's" in refused.stderr) == (2, True)
        assert terminal.status()["summary"]["deployments"] == {"deployed": 5}
        assert terminal.bench.end() == 0
    finally:
        broker.end()


@pytest.mark.slow
def test_the_example_project_as_its_readme_has_it() -> None:
    project = REPOSITORY / "examples" / "testing-your-configs"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"],
        cwd=project,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.slow
def test_a_test_that_fails_says_where_the_logs_are(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(fleet):\n    fleet(robots=1)\n    assert 1 == 2\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "kept")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    where = tmp_path / "kept" / "test_it0" / "fleet-1"
    assert f"data and logs of a fleet: {where}" in done.stdout
    assert (where / "cloud.log").is_file()


def _expect_files(amrs: Fleet, configs: dict[str, Path]) -> None:
    expected = {
        "motion/motion-control.yaml": configs["motion-control"].read_bytes(),
        "nav2/nav2_params.yaml": configs["nav2"].read_bytes(),
        "site/site.json": configs["site"].read_bytes(),
    }
    assert {name: amrs.files(name) for name in amrs.robots} == dict.fromkeys(amrs.robots, expected)


def _files(terminal: Terminal) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in terminal.directory.glob("robots/*/config/current/**/*")
        if path.is_file()
    }


def _is_quiet(terminal: Terminal) -> bool:
    known = terminal.status()["summary"]
    return (known["online"], known["in_sync"], known["deployments"]) == (3, 3, {"deployed": 3})


def _token(terminal: Terminal) -> str:
    return Path(terminal.status()["token_file"]).read_text().strip()


def _shallop(world: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [*SHALLOP, *words], env={**os.environ, **world}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done
    return done.stdout


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _processes_of(directory: str) -> list[int]:
    """The programs that were given a path in a directory."""
    found: list[int] = []
    for each in psutil.process_iter(["cmdline"]):
        if any(word.startswith(directory) for word in each.info["cmdline"] or []):
            found.append(each.pid)
    return found


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
