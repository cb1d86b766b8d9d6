"""``examples/follow-current-cpp``: it compiles without a warning, and runs as its README says, beside an agent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import door_world
import pytest
from door_world import eventually

HERE = Path(__file__).parents[2] / "examples" / "follow-current-cpp"
FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsanitize=address,undefined"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed (apt install g++)"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cpp") / "follow_current"
    subprocess.run(["g++", *FLAGS, HERE / "follow_current.cpp", "-o", made], check=True)
    return made


def test_it_follows_and_acknowledges(program):
    with door_world.local(door_world.ACKED) as local:
        local.robot.root.mkdir(exist_ok=True)
        command = [program, local.robot.root, local.path, "nav2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout.readline() == "nothing is in force\n"
                first = local.order({"motion.json": "{}", "nav2/params.yaml": "a: 1\n"})
                assert [process.stdout.readline() for _ in range(3)] == [
                    f"{first.id}: 2 files\n",
                    "  motion.json  2 bytes\n",
                    "  nav2/params.yaml  5 bytes\n",
                ]
                eventually(lambda: local.ask("GET", "/v1/deployment").json["activity"] == "deployed")

                second = local.order({"motion.json": ""}, fallback=first.id)
                assert process.stdout.readline() == f"{second.id}: 1 files\n"
                eventually(lambda: local.ask("GET", "/v1/deployment").json["id"] == first.id)
                assert process.poll() is None
            finally:
                process.terminate()
            assert "Sanitizer" not in process.stderr.read()
        told = local.ask("GET", "/v1/status").json["report"]["deployments"]
    [reason] = [each["reason"] for each in told if each["id"] == second.id]
    assert reason == {"code": "vetoed", "message": "nav2: an empty file is of no use"}


def test_a_root_that_is_not_there(program, tmp_path):
    done = subprocess.run([program, tmp_path / "nowhere"], capture_output=True, text=True, timeout=10)
    assert (done.returncode, "watch" in done.stderr) == (1, True)
    assert subprocess.run([program], capture_output=True, timeout=10).returncode == 2


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed (apt install cmake)")
def test_the_build_of_the_readme(tmp_path):
    copied = shutil.copytree(HERE, tmp_path / "example")
    built = subprocess.run(
        ["bash", "-c", "cmake -S . -B build && cmake --build build"], cwd=copied, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert (copied / "build" / "follow_current").exists()
