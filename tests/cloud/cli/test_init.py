"""``shallop init``: a project that works as it is."""

from __future__ import annotations

import pathlib

import pytest
from cloud_world import World
from shallop_cloud.configs import read_release

FILES = ["README.md", ".gitignore", "release.yaml", "configs/drive.yaml", "configs/site.json"]
FILES += ["schemas/drive.schema.json", "schemas/site.schema.json"]


@pytest.fixture
def project(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("init", "robots")
    assert ran == type(ran)(
        0,
        "".join(f"made robots/{name}\n" for name in FILES)
        + "\nCheck it:         shallop validate robots\nHow to go on:     robots/README.md\n",
    )
    return tmp_path / "robots"


def test_it_is_valid_as_it_is(run, project):
    ran = run("validate", "robots")

    assert (ran.code, ran.err) == (0, "")
    assert [line.partition(": ")[2] for line in ran.out.splitlines()] == [
        "ok, release 0.1.0 with 2 config types", "ok, config of drive", "ok, config of site", "ok, schema", "ok, schema"
    ]  # fmt: skip


def test_the_mistake_that_its_readme_proposes_is_found(run, project):
    drive = project / "configs/drive.yaml"
    drive.write_text(drive.read_text().replace("max_speed: 1.2", "max_speed: 12"))

    ran = run("validate", "robots")

    assert "Set `max_speed` in `configs/drive.yaml` to 12" in (project / "README.md").read_text()
    assert ran.err.splitlines()[1:] == [
        "robots/configs/drive.yaml:3:3 /limits/max_speed: 12 is greater than the maximum of 2.5"
    ]


def test_a_server_takes_its_release_and_its_configs(project, tmp_path_factory):
    world = World(tmp_path_factory.mktemp("cloud"))
    draft = read_release(project / "release.yaml")
    world.must("POST", "/v1/releases", draft.to_json())
    robot = world.device("robot-1")
    configs = [
        {"config_type": each.stem, "content": each.read_text()} for each in sorted((project / "configs").iterdir())
    ]

    made = world.must("POST", "/v1/deployments", {"device": "robot-1", "release": draft.version, "configs": configs})
    robot.settle()

    assert world.statuses(made["id"])[3] == "deployed"
    world.close()


def test_here_is_the_default(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert run("init").out.splitlines()[0] == "made README.md"
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if path.is_file()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(run, tmp_path, name):
    existing = tmp_path / name
    existing.parent.mkdir(exist_ok=True)
    existing.write_text("mine")

    ran = run("init", str(tmp_path))

    assert (ran.code, ran.out) == (6, "")
    assert ran.err.startswith(f"shallop: {existing} exists already, and nothing was written; choose another directory")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [existing]
    assert existing.read_text() == "mine"


def test_a_directory_that_cannot_be_written(run, tmp_path):
    (tmp_path / "configs").write_text("a file where a directory should be")

    ran = run("init", str(tmp_path))

    assert ran.code == 1
    assert "configs/drive.yaml cannot be written: " in ran.err
    assert run("init", str(tmp_path / "configs")).code == 2


def test_its_readme_names_files_that_it_has(project):
    readme = (project / "README.md").read_text()

    assert all(pathlib.PurePath(name).name in readme for name in ("release.yaml", "configs/drive.yaml"))
    assert f"--release {read_release(project / 'release.yaml').version} " in readme
