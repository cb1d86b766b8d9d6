"""Links for software that insists on a path of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from shallop_device import links


@pytest.fixture
def current(tmp_path) -> Path:
    (tmp_path / "root/current/nav2").mkdir(parents=True)
    (tmp_path / "root/current/nav2/params.yaml").write_text("speed: 1\n")
    (tmp_path / "etc").mkdir()
    return tmp_path / "root/current"


def test_a_link_is_made_and_stays(current, tmp_path):
    path = tmp_path / "etc/params.yaml"

    assert links.lay({path: "nav2/params.yaml"}, current) == []
    assert path.readlink() == current / "nav2/params.yaml"
    assert path.read_text() == "speed: 1\n"
    made = path.lstat().st_ino
    assert links.lay({path: "nav2/params.yaml"}, current) == []
    assert path.lstat().st_ino == made


def test_ours_is_repaired_and_what_a_cut_left_is_no_matter(current, tmp_path):
    path = tmp_path / "etc/params.yaml"
    path.symlink_to(current / "elsewhere.yaml")
    path.with_name("params.yaml.shallopd-new").symlink_to("half")

    assert links.lay({path: "nav2/params.yaml"}, current) == []

    assert path.readlink() == current / "nav2/params.yaml"
    assert [each.name for each in path.parent.iterdir()] == ["params.yaml"]


def test_what_is_not_ours_stays(current, tmp_path, caplog):
    file, link = tmp_path / "etc/file", tmp_path / "etc/link"
    file.write_text("mine\n")
    link.symlink_to("/somewhere")

    troubles = links.lay({file: "a", link: "b", tmp_path / "none/c": "c"}, current)

    assert (file.read_text(), link.readlink()) == ("mine\n", Path("/somewhere"))
    assert [words.partition(" is ")[2].partition(";")[0] for words in troubles[:2]] == [
        "there already and is no link",
        "a link to /somewhere",
    ]
    assert "cannot link" in troubles[2]
    assert caplog.messages == troubles
