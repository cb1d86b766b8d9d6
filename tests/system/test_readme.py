"""The README's commands, run as printed, in the order in which they are printed."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from system_world import REPOSITORY, wait

README = (REPOSITORY / "README.md").read_text()
REVIEWED = (
    "  /limits/max_speed: 1.8 -> 1.5  (motion/motion-control.yaml:5:3)\n",
    "  /limits/max_yaw_rate: 1.0 -> 1.2  (motion/motion-control.yaml:7:3)\n",
)
"""What the README shows of a review, and what the command truly says."""


def _blocks(section: str) -> list[tuple[str, str]]:
    """The shell commands of a section: terminal and text of each block."""
    text = README.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh(?: terminal=(\w+))?\n(.*?)```", text, re.DOTALL)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_two_commands_are_those_that_ci_runs() -> None:
    commands = [text.strip() for _, text in _blocks("Two commands")]
    assert commands == ["pip install uv && uv run shallop demo", "pip install uv && uv run pytest"]
    run = (REPOSITORY / ".ci" / "run").read_text()
    for command in commands:
        assert f"{command.removeprefix('pip install uv && ')}\n" in run


def test_by_hand(tmp_path: Path) -> None:
    """Terminals are bash processes; the commands are found where the environment has them."""
    for port in (8080, 1883):
        if not _is_free(port):
            pytest.skip(f"port {port} of this machine is in use, and the README's commands use it")
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    shared = tmp_path / "environment"
    shared.touch()
    background: list[subprocess.Popen[bytes]] = []
    ready = {"server": tmp_path / "shallop-data" / "admin.token"}
    said = ""
    try:
        sections = ("The same by hand", "Prepare, review, roll back", "The robot has a say")
        for terminal, text in itertools.chain.from_iterable(map(_blocks, sections)):
            if terminal:
                with (tmp_path / f"{terminal}.log").open("wb") as log:
                    background.append(
                        subprocess.Popen(
                            ["bash", "-c", f"exec {text}"],
                            cwd=tmp_path,
                            env=environment,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
                if terminal in ready:
                    wait(f"{terminal} is ready", ready[terminal].exists)
                    wait("the API answers", lambda: not _is_free(8080))
                continue
            script = f"set -e; . {shared}; set -a; {text}\n export -p > {shared}"
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, (text, done.stdout, done.stderr)
            said += done.stdout
    finally:
        for process in background:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)
    example = REPOSITORY / "examples" / "mobile-robot" / "configs" / "motion-control.yaml"
    assert example.read_text() in said
    assert "deployed" in said
    for line in REVIEWED:
        assert line in README
        assert line in said
    assert "amr-1: in sync" in said
    assert "restores:" in said
    assert "whole: " in said
    assert "held by docking: parking at charger 2" in said


@pytest.mark.slow
def test_the_fleet_on_the_bench() -> None:
    [(_, command)] = _blocks("A fleet on your bench")
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "All 1000 robots have it" in done.stdout


def test_every_link_leads_somewhere() -> None:
    for document in [REPOSITORY / "README.md", REPOSITORY / "ARCHITECTURE.md", *REPOSITORY.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


@pytest.mark.slow
def test_a_robot_installs_without_the_cloud(tmp_path: Path) -> None:
    """By plain pip, in a fresh environment: uv hides when one distribution leans on another that it does not name."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    parts = [tmp_path / "protocol", tmp_path / "device"]
    for part in parts:
        shutil.copytree(REPOSITORY / part.name, part)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *parts], check=True)
    installed = subprocess.run([python, "-m", "pip", "list"], check=True, capture_output=True, text=True).stdout
    assert "shallop-device" in installed
    assert "fastapi" not in installed.lower()
    assert subprocess.run([python, "-c", "import shallop_cloud"], capture_output=True, check=False).returncode == 1
    version = subprocess.run([tmp_path / "venv" / "bin" / "shallopd", "--version"], check=True, capture_output=True)
    assert b"0.1.0" in version.stdout
