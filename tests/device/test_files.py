"""The real disk: nothing leads out of the root, and everything is synced before it is relied upon."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from shallop_device import applier, files, testing
from shallop_protocol import digests


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def disk(root: Path) -> files.RootedFiles:
    return files.RootedFiles(root)


def code(error: pytest.ExceptionInfo[OSError]) -> tuple[str, str]:
    return errno.errorcode[error.value.errno or 0], str(error.value.filename)


def test_modes_do_not_depend_on_the_umask(disk, root):
    before = os.umask(0o077)
    try:
        disk.make_directory("d")
        disk.write("d/f", [b"x"], 0o664)
    finally:
        os.umask(before)

    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o755
    assert disk.measure("d/f", 10) == files.Measured(0o664, 1, digests.of_bytes(b"x"))


def test_a_file_is_never_written_over(disk, root):
    (root / "f").write_text("old")

    with pytest.raises(FileExistsError) as error:
        disk.write("f", [b"new"], 0o644)

    assert code(error) == ("EEXIST", "f")
    assert (root / "f").read_text() == "old"


@pytest.mark.parametrize(
    "act",
    [
        lambda disk: disk.write("out/f", [b"x"], 0o644),
        lambda disk: disk.make_directory("out/d"),
        lambda disk: disk.measure("out/secret", 10),
        lambda disk: list(disk.read("out/secret")),
        lambda disk: disk.entries("out"),
        lambda disk: disk.unlink("out/secret"),
        lambda disk: disk.remove_directory("out/empty"),
        lambda disk: disk.rename("out/secret", "mine"),
        lambda disk: disk.rename("mine", "out/secret"),
        lambda disk: disk.link("out/l", "x"),
        lambda disk: disk.sync_directory("out"),
        lambda disk: disk.read_link("out/l"),
    ],
)
def test_no_link_to_a_directory_is_followed(act, disk, root, tmp_path):
    outside = tmp_path / "outside"
    (outside / "empty").mkdir(parents=True)
    (outside / "secret").write_text("s")
    (root / "out").symlink_to(outside)
    (root / "mine").write_text("m")

    with pytest.raises(NotADirectoryError):
        act(disk)

    assert sorted(path.name for path in outside.iterdir()) == ["empty", "secret"]
    assert (outside / "secret").read_text() == "s"


def test_no_link_to_a_file_is_followed(disk, root, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    (root / "f").symlink_to(secret)

    with pytest.raises(OSError) as read:
        disk.measure("f", 10)
    with pytest.raises(OSError) as written:
        disk.write("f", [b"x"], 0o644)

    assert code(read) == ("ELOOP", "f")
    assert code(written) == ("EEXIST", "f")
    assert secret.read_text() == "s"


def test_a_fifo_does_not_hold_the_reader_up(disk, root):
    os.mkfifo(root / "pipe")

    with pytest.raises(OSError) as error:
        disk.measure("pipe", 10)

    assert code(error) == ("EINVAL", "pipe")


def test_a_file_comes_and_goes_in_pieces(disk):
    pieces = [b"a" * files.CHUNK_BYTES, b"b" * files.CHUNK_BYTES, b"c"]
    disk.write("f", iter(pieces), 0o600)

    assert list(disk.read("f")) == pieces
    assert disk.measure("f", 2**20) == files.Measured(0o600, len(b"".join(pieces)), digests.of_bytes(b"".join(pieces)))
    assert disk.measure("f", 10).size > 10


def test_kinds_and_links(disk, root):
    os.mkfifo(root / "pipe")
    (root / "d").mkdir()
    (root / "f").write_text("x")
    disk.link("l", "d")

    assert disk.entries("") == {"pipe": "other", "d": "directory", "f": "file", "l": "link"}
    assert [disk.read_link(name) for name in ("l", "f", "none")] == ["d", None, None]
    with pytest.raises(OSError) as error:
        disk.read_link("f/x")
    assert code(error) == ("ENOTDIR", "f/x")
    with pytest.raises(OSError) as error:
        disk.read_link("x" * 300)
    assert code(error) == ("ENAMETOOLONG", "x" * 300)


def test_a_missing_root_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        files.RootedFiles(tmp_path / "none").entries("")

    assert code(error) == ("ENOENT", ".")


def test_everything_is_synced_before_it_is_relied_upon(root, monkeypatch):
    """File, directories bottom up, the tree's name, the switch: in this order, each on the disk before the next."""
    done: list[tuple[str, str]] = []
    real_fsync, real_rename = os.fsync, os.rename

    def place(descriptor: int) -> str:
        path = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(root)
        parts = ["*" if part.startswith(".staging-") else part for part in path.parts]
        return "/".join(parts)

    def fsync(descriptor: int) -> None:
        done.append(("sync", place(descriptor)))
        real_fsync(descriptor)

    def rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        done.append(("rename", f"{place(dst_dir_fd)}/{new}"))
        real_rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    manifest = testing.Shore().manifest({"a/b/f": "1", "a/g": "2", "h": "3"})

    applier.Applier(files.RootedFiles(root)).apply(manifest)

    assert done == [
        ("sync", ""),
        ("sync", "deployments/*/a/b/f"),
        ("sync", "deployments/*/a/g"),
        ("sync", "deployments/*/h"),
        ("sync", "deployments/*/a/b"),
        ("sync", "deployments/*/a"),
        ("sync", "deployments/*"),
        ("rename", f"deployments/{manifest.id}"),
        ("sync", "deployments"),
        ("rename", "/current"),
        ("sync", ""),
    ]


def test_a_reader_never_sees_a_mixed_set(root):
    """A reader that opens ``current`` once, while two deployments take turns."""
    shore = testing.Shore()
    sets = [dict.fromkeys(("a", "d/b", "d/c"), text * 500) for text in ("1", "2")]
    manifests = [shore.manifest(contents) for contents in sets]
    hands = applier.Applier(files.RootedFiles(root))
    hands.apply(manifests[0])
    is_over = threading.Event()
    seen: list[set[str]] = []

    def read() -> None:
        while not is_over.is_set():
            directory = os.open(root / "current", os.O_RDONLY)
            try:
                texts = set[str]()
                for name in ("a", "d/b", "d/c"):
                    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=directory)) as file:
                        texts.add(file.read())
                seen.append(texts)
            finally:
                os.close(directory)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(50):
        hands.apply(manifests[turn % 2])
    is_over.set()
    reader.join()

    assert seen
    assert all(texts in ({"1" * 500}, {"2" * 500}) for texts in seen)
