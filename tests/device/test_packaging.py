"""What a robot is installed with: the file of settings says the truth, and systemd takes the units."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from shallop_device import settings

PACKAGING = Path(__file__).parents[2] / "packaging"
TEXT = (PACKAGING / "shallopd.toml").read_text()
_OFF = re.compile(r"^#(?=[a-z_\"][^ ]* = )", re.MULTILINE)


@pytest.fixture
def everything(tmp_path):
    """The settings with every default spelt out."""
    file = tmp_path / "shallopd.toml"
    file.write_text(_OFF.sub("", TEXT))
    return settings.load(file, {})


def test_the_commented_settings_are_the_defaults(everything):
    door = settings.Door(path=Path("/run/shallop/shallopd.sock"), group="shallop")
    example = {Path("/etc/nav2/params.yaml"): "nav2/params.yaml"}

    assert everything.settings == settings.Settings(door=door, links=example)


def test_every_setting_is_there(everything):
    assert {name for name, _, origin in everything.rows() if origin == "default"} == set()


def test_what_is_set_in_it_is_only_the_door(tmp_path):
    loaded = settings.load(PACKAGING / "shallopd.toml", {})

    assert {name for name in loaded.origins if "." in name} == {"door.path", "door.group"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path):
    for name in ("shallopd.service", "shallopd.socket"):
        text = (PACKAGING / name).read_text().replace("ExecStart=/usr/bin/shallopd", "ExecStart=/bin/true")
        (tmp_path / name).write_text(re.sub("^Documentation=.*$", "", text, flags=re.MULTILINE))
    units = [tmp_path / "shallopd.service", tmp_path / "shallopd.socket"]

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
