"""Trees on a real disk: what is refused, what is noticed, what is left alone."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from shallop_device import applier, errors, files, testing
from shallop_protocol import desired, digests
from shallop_protocol.device import Disk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def hands(root: Path) -> applier.Applier:
    return applier.Applier(files.RootedFiles(root))


def everything(directory: Path) -> dict[str, str | None]:
    """All that is below a directory: text of files, target of links, None for the rest."""
    found: dict[str, str | None] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else None
    return found


def test_apply_makes_a_tree_and_a_link(hands, root, shore):
    manifest = shore.manifest({"nav2/params.yaml": "speed: 1\n", "map.txt": "m"})

    hands.apply(manifest)

    assert everything(root) == {
        "current": f"deployments/{manifest.id}",
        "deployments": None,
        f"deployments/{manifest.id}": None,
        f"deployments/{manifest.id}/map.txt": "m",
        f"deployments/{manifest.id}/nav2": None,
        f"deployments/{manifest.id}/nav2/params.yaml": "speed: 1\n",
    }
    assert hands.observe({manifest.id: manifest.digest}) == Disk(manifest.id, frozenset({manifest.id}))


def test_a_deployment_without_files_is_one(hands, root, shore):
    manifest = shore.manifest({})

    hands.apply(manifest)

    assert hands.observe({manifest.id: manifest.digest}) == Disk(manifest.id, frozenset({manifest.id}))


def test_an_empty_root_holds_nothing(hands):
    assert hands.observe() == Disk()


def test_a_whole_tree_is_used_again(hands, root, shore):
    manifest = shore.manifest({"a": "1"})
    hands.apply(manifest)
    inode = (root / "current/a").stat().st_ino
    hands.point_nowhere()

    hands.apply(manifest)

    assert (root / "current/a").stat().st_ino == inode


BAD_PATHS = [
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a/..x/b",
    "./a",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "a\nb",
    "x" * 256,
    "/".join(["d" * 200] * 6),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=repr)
def test_a_bad_path_is_rejected_for_good(path, hands, root, shore, tmp_path):
    with pytest.raises(errors.Rejected) as error:
        hands.apply(shore.manifest({"good": "x", path: "x"}))

    assert error.value.reason.code == "bad_path"
    assert everything(tmp_path) == {"root": None}


@pytest.mark.parametrize("together", [("a", "a/b"), ("A/x", "a/x"), ("A", "a/b")])
def test_paths_that_do_not_go_together_are_rejected(together, hands, root, shore):
    with pytest.raises(errors.Rejected) as error:
        hands.apply(shore.manifest(dict.fromkeys(together, "x")))

    assert error.value.reason.code == "bad_path"
    assert everything(root) == {}


def test_the_same_path_twice_is_rejected(hands, root, shore):
    manifest = shore.manifest({"a": "x"})
    twice = manifest.model_copy(update={"instances": manifest.instances * 2})

    with pytest.raises(errors.Rejected) as error:
        hands.apply(twice)

    assert error.value.reason.code == "bad_path"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"content": "y"}, "content_differs"),
        ({"size": 2}, "content_differs"),
        ({"digest": digests.of_bytes(b"y")}, "content_differs"),
        ({"mode": "0600"}, "digest_differs"),
        ({"mode": "0200"}, "bad_mode"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_rejected(change, expected, hands, root, shore):
    manifest = shore.manifest({"a": "x"})
    instance = manifest.instances[0].model_copy(update=change)

    with pytest.raises(errors.Rejected) as error:
        hands.apply(manifest.model_copy(update={"instances": (instance,)}))

    assert error.value.reason.code == expected
    assert everything(root) == {}


def change_text(tree: Path, _outside: Path) -> None:
    (tree / "d/f").write_text("other")


def change_mode(tree: Path, _outside: Path) -> None:
    (tree / "d/f").chmod(0o600)


def set_user_id(tree: Path, _outside: Path) -> None:
    (tree / "d/f").chmod(0o4644)


def take_file(tree: Path, _outside: Path) -> None:
    (tree / "d/f").unlink()


def add_file(tree: Path, _outside: Path) -> None:
    (tree / "d/more").write_text("x")


def link_file(tree: Path, outside: Path) -> None:
    (tree / "d/f").unlink()
    (outside / "f").write_text("1")
    (tree / "d/f").symlink_to(outside / "f")


def link_directory(tree: Path, outside: Path) -> None:
    shutil.move(tree / "d", outside / "d")
    (tree / "d").symlink_to(outside / "d")


def plant_fifo(tree: Path, _outside: Path) -> None:
    (tree / "d/f").unlink()
    os.mkfifo(tree / "d/f")


def add_many(tree: Path, _outside: Path) -> None:
    for number in range(300):
        (tree / f"{number}").touch()


def make_huge(tree: Path, _outside: Path) -> None:
    os.truncate(tree / "d/f", 2**40)


TAMPERINGS = [
    change_text,
    change_mode,
    set_user_id,
    take_file,
    add_file,
    link_file,
    link_directory,
    plant_fifo,
    add_many,
    make_huge,
]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_tampering_is_noticed_and_healed_by_a_new_tree(tamper, hands, root, shore, tmp_path, monkeypatch):
    monkeypatch.setattr(desired, "MAX_CONTENT_BYTES", 2**20)  # so much of a huge file is read, and no more
    manifest = shore.manifest({"d/f": "1"})
    hands.apply(manifest)
    outside = tmp_path / "outside"
    outside.mkdir()
    tamper(root / "current", outside)
    around = everything(outside)
    ids = frozenset({manifest.id})

    assert hands.observe({manifest.id: manifest.digest}) == Disk(manifest.id, ids, damaged=ids)
    hands.apply(manifest)
    hands.tidy(frozenset())

    assert hands.observe({manifest.id: manifest.digest}) == Disk(manifest.id, ids)
    assert everything(root) == {
        "current": f"deployments/{manifest.id}.1",
        "deployments": None,
        f"deployments/{manifest.id}.1": None,
        f"deployments/{manifest.id}.1/d": None,
        f"deployments/{manifest.id}.1/d/f": "1",
    }
    assert everything(outside) == around


def test_a_file_that_cannot_be_read_counts_as_damage_but_a_lack_of_descriptors_does_not(root, shore):
    manifest = shore.manifest({"f": "1"})
    applier.Applier(files.RootedFiles(root)).apply(manifest)

    def observe(code: int) -> frozenset[str]:
        def before(name: str, _path: str) -> None:
            if name == "measure":
                raise OSError(code, os.strerror(code))

        hands = applier.Applier(testing.Watched(files.RootedFiles(root), before))
        return hands.observe({manifest.id: manifest.digest}).damaged

    assert observe(errno.EIO) == {manifest.id}
    with pytest.raises(errors.HeldUp) as error:
        observe(errno.EMFILE)
    assert error.value.reason.code == "too_many_open_files"


def test_other_bytes_read_back_than_written_hold_it_up(root, shore):
    class Forgetful(testing.Watched):
        def measure(self, path: str, limit: int) -> files.Measured:
            return super().measure(path, limit)._replace(digest=digests.of_bytes(b"rot"))

    hands = applier.Applier(Forgetful(files.RootedFiles(root), lambda _name, _path: None))

    with pytest.raises(errors.HeldUp) as error:
        hands.apply(shore.manifest({"f": "1"}))

    assert error.value.reason.code == "read_back_differs"


def test_point_takes_only_a_whole_tree(hands, root, shore):
    old, new = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    hands.apply(old)
    hands.apply(new)

    assert hands.point(old.id, old.digest)
    assert hands.observe().current == old.id
    (root / "deployments" / new.id / "f").write_text("3")
    assert not hands.point(new.id, new.digest)
    assert hands.observe().current == old.id


def test_a_tree_whose_name_did_not_reach_the_disk_is_not_believed_again(root, shore):
    manifest = shore.manifest({"f": "1"})
    failing = "sync_directory deployments"

    def before(name: str, path: str) -> None:
        nonlocal failing
        if f"{name} {path}" == failing:
            failing = ""
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    hands = applier.Applier(testing.Watched(files.RootedFiles(root), before))
    with pytest.raises(errors.HeldUp):
        hands.apply(manifest)

    hands.apply(manifest)

    assert str((root / "current").readlink()) == f"deployments/{manifest.id}.1"


@pytest.mark.parametrize(
    "target", ["/etc", "deployments/../..", "deployments/none", "deployments/DPL-0000000000000000"]
)
def test_a_foreign_link_is_not_current_and_is_replaced(target, hands, root, shore):
    manifest = shore.manifest({"f": "1"})
    (root / "current").symlink_to(target)

    assert hands.observe() == Disk()
    hands.apply(manifest)

    assert hands.observe().current == manifest.id


def test_a_directory_in_the_way_of_current_is_not_touched(hands, root, shore):
    (root / "current").mkdir()
    (root / "current/mine").write_text("x")

    with pytest.raises(errors.HeldUp) as error:
        hands.apply(shore.manifest({"f": "1"}))

    assert error.value.reason.code == "in_the_way"
    assert (root / "current/mine").read_text() == "x"


def test_deployments_that_leads_elsewhere_is_not_followed(hands, root, shore, tmp_path):
    (tmp_path / "outside").mkdir()
    (root / "deployments").symlink_to(tmp_path / "outside")

    with pytest.raises(errors.HeldUp) as error:
        hands.apply(shore.manifest({"f": "1"}))

    assert error.value.reason.code == "in_the_way"
    assert everything(tmp_path / "outside") == {}


def test_a_planted_link_with_a_deployments_name_is_no_tree(hands, root, shore, tmp_path):
    manifest = shore.manifest({"f": "1"})
    (tmp_path / "outside").mkdir()
    (root / "deployments").mkdir()
    (root / "deployments" / manifest.id).symlink_to(tmp_path / "outside")

    assert hands.observe() == Disk()
    hands.apply(manifest)
    hands.tidy(frozenset())

    assert str((root / "current").readlink()) == f"deployments/{manifest.id}.1"
    assert sorted(path.name for path in (root / "deployments").iterdir()) == [f"{manifest.id}.1"]
    assert everything(tmp_path / "outside") == {}


def test_tidy_deletes_leftovers_and_nothing_else(hands, root, shore, tmp_path):
    manifest = shore.manifest({"f": "1"})
    hands.apply(manifest)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("x")
    trash = root / "deployments/.trash-1"
    (trash / "d/e").mkdir(parents=True)
    (trash / "d/f").write_text("x")
    (trash / "out").symlink_to(tmp_path / "outside")
    (root / "deployments/.staging-1").mkdir()
    (root / "deployments/.staging-2").write_text("x")
    (root / "deployments/mine").mkdir()
    (root / "deployments/DPL-short").mkdir()
    (root / f"deployments/{manifest.id}.01").mkdir()
    (root / ".current-1").symlink_to("x")
    (root / ".current-2").write_text("mine")
    (root / "mine").write_text("x")

    hands.tidy(frozenset())

    assert everything(root) == {
        ".current-2": "mine",
        "current": f"deployments/{manifest.id}",
        "deployments": None,
        "deployments/DPL-short": None,
        f"deployments/{manifest.id}": None,
        f"deployments/{manifest.id}/f": "1",
        f"deployments/{manifest.id}.01": None,
        "deployments/mine": None,
        "mine": "x",
    }
    assert everything(tmp_path / "outside") == {"f": "x"}


def test_tidy_keeps_the_spare_tree_of_a_damaged_deployment(hands, root, shore):
    manifest = shore.manifest({"f": "1"})
    hands.apply(manifest)
    shutil.copytree(root / "current", root / f"deployments/{manifest.id}.1")

    hands.tidy(frozenset({manifest.id}))
    assert sorted(path.name for path in (root / "deployments").iterdir()) == [manifest.id, f"{manifest.id}.1"]
    hands.tidy(frozenset())
    assert sorted(path.name for path in (root / "deployments").iterdir()) == [manifest.id]


def test_remove_takes_every_tree_of_a_deployment(hands, root, shore):
    manifest = shore.manifest({"f": "1"})
    hands.apply(manifest)
    shutil.copytree(root / "current", root / f"deployments/{manifest.id}.1")
    hands.point_nowhere()

    hands.remove(manifest.id)
    assert hands.observe() == Disk()
    hands.tidy(frozenset())
    hands.remove(manifest.id)

    assert everything(root) == {"deployments": None}


def test_what_is_in_sight_is_on_the_disk_before_a_tree_goes(root, shore):
    """The sync that belonged to the switch may have failed, or the agent died before it."""
    steps: list[tuple[str, str]] = []
    hands = applier.Applier(testing.Watched(files.RootedFiles(root), lambda name, path: steps.append((name, path))))
    manifest = shore.manifest({"a": "1"})
    hands.apply(manifest)
    (root / applier.CURRENT).unlink()
    steps.clear()

    hands.remove(manifest.id)

    changes = [step for step in steps if step[0] not in testing.LOOKING]
    assert changes[0] == ("sync_directory", "")
    assert changes[1][0] == "rename"
