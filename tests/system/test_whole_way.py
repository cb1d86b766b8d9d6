"""From a release on the shore to files on a robot's disk and back, by the commands that people type."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import system_world
import yaml
from system_world import EXAMPLE, World, example_configs, wait


def test_deploy_change_offline_and_archive(world: World) -> None:
    robot = world.add_robot("amr-1")
    assert world.must("release", "create", "-f", str(EXAMPLE / "release.yaml"))["version"] == "1.4.0"

    first = world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs(), "--wait")
    assert (first["status"], first["target_status"]) == ("deployed", "deployed")
    assert robot.files() == _expected("motion-control.yaml")

    second = world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs("motion-control-fast.yaml"), "--wait")
    assert robot.files() == _expected("motion-control-fast.yaml")
    wait("the first is archived", lambda: world.deployment(first["id"])["status"] == "archived")
    entries = world.must("deployment", "history", first["id"])["data"]
    activities = [entry["after"].get("activity_status", "staged") for entry in entries]
    assert activities == ["staged", "queued", "deployed", "deployed", "removing", "archived"]
    assert [path.name for path in (robot.root / "deployments").iterdir()] == [second["id"]]

    robot.kill()
    wait("it is offline", lambda: not world.api("GET", "/v1/devices/amr-1").json()["online"])
    third = world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs())
    assert third["status"] == "queued"
    assert robot.files() == _expected("motion-control-fast.yaml")
    robot.start()
    wait("the third is deployed", lambda: world.deployment(third["id"])["status"] == "deployed")
    assert robot.files() == _expected("motion-control.yaml")

    assert world.must("deployment", "archive", third["id"])["target_status"] == "archived"
    wait("the third is archived", lambda: world.deployment(third["id"])["status"] == "archived")
    assert robot.files() == {}
    assert not (robot.root / "current").exists()


def test_trouble_is_reported_and_heals(world: World) -> None:
    """A file where a directory has to be: the robot tries again, says why, and goes on when it is gone."""
    robot = world.add_robot("amr-1")
    world.must("release", "create", "-f", str(EXAMPLE / "release.yaml"))
    obstacle = robot.root / "deployments"
    obstacle.write_text("in the way")
    late = world.run("deploy", "amr-1", "--release", "1.4.0", *example_configs(), "--wait", "--timeout", "3")
    assert late.code == 8, late
    assert "retrying" in late.err
    known = world.must("deployment", "list")["data"][0]
    assert (known["activity_status"], known["error_status"], known["status"]) == ("queued", "retrying", "retrying")
    assert known["reason"]["code"]
    obstacle.unlink()
    wait("it is deployed", lambda: world.deployment(known["id"])["status"] == "deployed")
    assert robot.files() == _expected("motion-control.yaml")
    assert world.deployment(known["id"])["reason"] is None


@pytest.mark.slow
def test_a_deployment_that_is_withdrawn_before_it_arrives(world: World) -> None:
    robot = world.add_robot("amr-1")
    world.must("release", "create", "-f", str(EXAMPLE / "release.yaml"))
    robot.kill()
    wait("it is offline", lambda: not world.api("GET", "/v1/devices/amr-1").json()["online"])
    queued = world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs())
    world.must("deployment", "archive", queued["id"])
    robot.start()
    wait("it is archived", lambda: world.deployment(queued["id"])["status"] == "archived")
    assert robot.files() == {}


@pytest.mark.slow
def test_a_monitoring_person_reads_json_on_the_broker(world: World) -> None:
    program = shutil.which("mosquitto_sub")
    if program is None:
        pytest.skip("mosquitto_sub is not on this machine (apt install mosquitto-clients)")
    world.add_robot("amr-1")
    device = world.must("device", "show", "amr-1")["id"].lower()
    topics = ["-t", "shallop/v1/+/report", "-t", "shallop/v1/+/presence"]
    account = ["-u", "monitor", "-P", world.monitor_password]
    heard = subprocess.run(
        [program, "-h", "127.0.0.1", "-p", str(world.broker_port), *account, *topics, "-v", "-C", "2", "-W", "10"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    said = dict(line.split(" ", 1) for line in heard.stdout.splitlines())
    presence = json.loads(said[f"shallop/v1/{device}/presence"])
    assert (presence["device"], presence["status"]) == (device, "online")
    report = json.loads(said[f"shallop/v1/{device}/report"])
    assert (report["device"], report["generation"], report["deployments"]) == (device, 0, [])


@pytest.mark.skipif(not system_world.ROBOTS.is_dir(), reason="the real robots' configuration is not beside the project")
def test_real_robot_configuration_arrives_byte_for_byte(world: World, tmp_path: Path) -> None:
    """Twelve Autoware packages with their schemas, and two files of Nav2 without."""
    source = tmp_path / "robots"
    shutil.copytree(system_world.ROBOTS, source)
    files: dict[str, Path] = {}
    types: dict[str, dict[str, str]] = {}
    for config in sorted(source.glob("autoware/*/config/*.yaml")):
        name = config.name.removesuffix(".param.yaml")
        key = name.replace("_", "-")
        schema = config.parent.parent / "schema" / f"{name}.schema.json"
        files[key] = config
        types[key] = {
            "schema": str(schema.relative_to(source)),
            "format": "yaml",
            "path": f"autoware/{config.name}",
        }
    for config in sorted(source.glob("nav2/*.yaml")):
        key = config.stem.replace("_", "-")
        files[key] = config
        types[key] = {"schema": "opaque", "format": "yaml", "path": f"nav2/{config.name}"}
    assert len({path.parent.parent for path in source.glob("autoware/*/config/*")}) == 12
    assert len(files) == 15
    (source / "release.yaml").write_text(yaml.safe_dump({"version": "2.0.0", "config_types": types}))

    robot = world.add_robot("tractor")
    world.must("release", "create", "-f", str(source / "release.yaml"))
    options = [word for key, path in files.items() for word in ("--config", f"{key}={path}")]
    done = world.must("deploy", "tractor", "--release", "2.0.0", *options, "--wait")
    assert done["status"] == "deployed"
    expected = {types[key]["path"]: path.read_bytes() for key, path in files.items()}
    assert robot.files() == expected
    assert any(b"#" in content for content in expected.values())
    for key, path in files.items():
        subprocess.run(["cmp", path, robot.root / "current" / types[key]["path"]], check=True)


def _expected(motion_control: str) -> dict[str, bytes]:
    configs = EXAMPLE / "configs"
    return {
        "motion/motion-control.yaml": (configs / motion_control).read_bytes(),
        "nav2/nav2_params.yaml": (configs / "nav2_params.yaml").read_bytes(),
        "site/site.json": (configs / "site.json").read_bytes(),
    }
