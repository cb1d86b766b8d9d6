"""Keys that change under robots that are not there, and the page that says how to change them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from system_world import EXAMPLE, REPOSITORY, World, example_configs, wait

pytestmark = pytest.mark.slow
PAGE = (REPOSITORY / "docs" / "keys.md").read_text()
PORTS = (8080, 1883, 8081, 1884)
"""What the page's commands use."""


def test_a_robot_that_was_away_for_a_whole_rotation_recovers_by_itself(world: World) -> None:
    root = ["--root", str(world.data / "root.key")]
    robot = world.add_robot("amr-1")
    world.must("release", "create", "-f", str(EXAMPLE / "release.yaml"))
    world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs(), "--wait")
    before = robot.files()
    robot.kill()
    wait("it is offline", lambda: not world.api("GET", "/v1/devices/amr-1").json()["online"])

    world.must("key", "rotate", *root)
    refused = world.run("key", "rotate", "--finish", *root)
    assert refused.code == 6, refused
    assert "do not have key list 2: amr-1" in refused.err
    world.must("key", "rotate", "--finish", "--force", *root)
    world.cloud.kill()
    world.cloud.start()
    wait("the cloud serves again", lambda: world.api("GET", "/v1/health").json()["broker_connected"])
    newest = world.must("key", "list")["keys"][-1]["id"]
    ended = world.must("key", "revoke", newest, *root)
    assert [each["state"] for each in ended["keys"]] == ["retired", "revoked", "active"]
    assert (ended["version"], ended["epoch"]) == (4, 2)
    wait("all is sealed anew", lambda: world.must("key", "list")["renewing"] == 0)
    ordered = world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs("motion-control-fast.yaml"))
    assert robot.files() == before

    robot.start()
    wait("it runs what was ordered", lambda: world.deployment(ordered["id"])["status"] == "deployed")
    assert robot.files() != before
    shown = world.must("device", "show", "amr-1")
    assert (shown["key_list"], shown["in_sync"], shown["lagging"]) == (4, True, None)
    assert world.must("key", "list")["devices"] == {"newest": 1, "older": 0, "newer": 0, "unknown": 0}


def test_a_robot_that_is_there_follows_at_once(world: World) -> None:
    root = ["--root", str(world.data / "root.key")]
    robot = world.add_robot("amr-1")
    world.must("release", "create", "-f", str(EXAMPLE / "release.yaml"))
    world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs(), "--wait")
    before = robot.files()
    world.must("key", "rotate", *root)
    wait("it has the list", lambda: world.must("device", "show", "amr-1")["key_list"] == 2)
    world.must("key", "rotate", "--finish", *root)
    world.must("key", "epoch", *root)
    wait("it answers in the new epoch", lambda: world.must("device", "show", "amr-1")["key_list"] == 4)
    wait("it is in sync", lambda: world.must("device", "show", "amr-1")["in_sync"])
    assert robot.files() == before


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    if taken := [port for port in PORTS if not _is_free(port)]:
        pytest.skip(f"ports {taken} of this machine are in use, and the page's commands use them")
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    shared = tmp_path / "environment"
    shared.touch()
    servers: list[subprocess.Popen[bytes]] = []
    told: list[str] = []
    try:
        for terminal, text in re.findall(r"```sh(?: terminal=(\w+))?\n(.*?)```", PAGE, re.DOTALL):
            if terminal:
                with (tmp_path / f"{terminal}.log").open("wb") as log:
                    servers.append(
                        subprocess.Popen(
                            ["bash", "-c", f"exec {text}"],
                            cwd=tmp_path,
                            env=environment,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
                port = PORTS[2 * len(servers) - 2]
                wait("the server answers", lambda port=port: not _is_free(port))
                continue
            script = f"set -eo pipefail; . {shared}; set -a; {text}\n export -p > {shared}"
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, (text, done.stdout, done.stderr)
            told.append(done.stdout)
    finally:
        for process in servers:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)
    assert not (tmp_path / "fleet" / "root.key").exists()
    revoked = next(text for text in told if "revoked" in text)
    assert re.search(r"version: +4\nepoch: +2\n", revoked)
    assert "is signed by 1 of 2 roots" in "".join(told)
    assert told[-1].count(" active") == 4, "in the line that was signed, and in the list"
