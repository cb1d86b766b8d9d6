"""Our configuration is right, and arrives: on every robot, whole, and whatever happens on the way."""

from pathlib import Path

import pytest
from shallop_cloud import configs
from shallop_cloud.testing.fleets import ApiError, StartFleet

HERE = Path(__file__).parent.parent
RELEASE = HERE / "release.yaml"
CONFIGS = {path.stem: path for path in sorted((HERE / "configs").iterdir())}
PATHS = {each.name: each.slots[0].path for each in configs.read_release(RELEASE).config_types}


@pytest.mark.parametrize("config_type", CONFIGS)
def test_each_config_satisfies_its_schema(config_type: str) -> None:
    (wanted,) = [each for each in configs.read_release(RELEASE).config_types if each.name == config_type]
    assert wanted.schema.check(CONFIGS[config_type].read_bytes(), wanted.format) == []


def test_twenty_robots_take_it(fleet: StartFleet) -> None:
    amrs = fleet(robots=20, release=RELEASE)
    ordered = amrs.deploy(CONFIGS)
    amrs.await_converged(within=30)
    assert {name: robot.known()["current"] for name, robot in amrs.robots.items()} == ordered


def test_a_real_robot_reads_our_files_byte_for_byte(fleet: StartFleet) -> None:
    amrs = fleet(robots=1, simulated=False, release=RELEASE)
    amrs.deploy(CONFIGS)
    amrs.await_converged(within=30)
    assert amrs.files("amr-1") == {PATHS[name]: path.read_bytes() for name, path in CONFIGS.items()}


def test_a_speed_that_is_too_high_is_refused_with_its_line(fleet: StartFleet, tmp_path: Path) -> None:
    fast = tmp_path / "drive.yaml"
    fast.write_text(CONFIGS["drive"].read_text().replace("speed_m_s: 1.5", "speed_m_s: 12.5"))
    amrs = fleet(robots=1, release=RELEASE)
    said = r"drive\.yaml:5:3 /limits/speed_m_s: 12\.5 is greater than the maximum of 2\.5"
    with pytest.raises(ApiError, match=said):
        amrs.deploy({**CONFIGS, "drive": fast})
    assert amrs.robots["amr-1"].known()["current"] is None


def test_a_broker_that_forgets_and_power_cuts_on_the_way_cost_time_and_nothing_else(fleet: StartFleet) -> None:
    amrs = fleet(robots=20, release=RELEASE)
    amrs.fault(30, "offline 1s")
    amrs.deploy(CONFIGS)
    amrs.fault(50, "power-cut 1s")
    amrs.broker.wipe()
    amrs.await_converged(within=60)
