"""The disk in memory: what was synced survives a power cut, and nothing else is sure to."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from shallop_cloud.bench.simulation.disk import Disk
from shallop_cloud.bench.simulation.kernel import Kernel
from shallop_cloud.bench.simulation.power import Cut, Power
from shallop_cloud.bench.simulation.violation import Violation
from shallop_device.files import RootedFiles
from shallop_protocol import digests

ROOT = "/robot"
MANY = range(40)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    with kernel.in_place():
        yield kernel


def mounted(kernel: Kernel, seed: int = 1) -> tuple[Disk, RootedFiles]:
    disk = Disk(random.Random(seed), Power())
    kernel.disks[ROOT] = disk
    return disk, RootedFiles(Path(ROOT))


def names(files: RootedFiles) -> set[str]:
    return set(files.entries(""))


def test_it_answers_as_a_disk_does(kernel):
    _, files = mounted(kernel)

    files.make_directory("a")
    files.write("a/b", [b"text"], 0o640)
    files.link("c", "a/b")
    files.rename("c", "d")

    assert files.measure("a/b", 100) == (0o640, 4, digests.of_bytes(b"text"))
    assert list(files.read("a/b")) == [b"text"]
    assert files.entries("") == {"a": "directory", "d": "link"}
    assert files.read_link("d") == "a/b"
    assert files.read_link("none") is None


@pytest.mark.parametrize(
    ("number", "act"),
    [
        (errno.EEXIST, lambda files: files.make_directory("a")),
        (errno.EEXIST, lambda files: files.write("a/b", [b""], 0o644)),
        (errno.ENOENT, lambda files: files.measure("x", 1)),
        (errno.ENOTDIR, lambda files: files.entries("a/b")),
        (errno.ELOOP, lambda files: files.measure("l", 1)),
        (errno.ENOTEMPTY, lambda files: files.remove_directory("a")),
        (errno.ENOTEMPTY, lambda files: files.rename("e", "a")),
        (errno.EISDIR, lambda files: files.unlink("a")),
    ],
)
def test_its_errors_are_those_of_the_kernel(kernel, number, act):
    _, files = mounted(kernel)
    files.make_directory("a")
    files.write("a/b", [b"text"], 0o644)
    files.link("l", "a")
    files.make_directory("e")

    with pytest.raises(OSError) as error:
        act(files)

    assert error.value.errno == number


def test_what_was_synced_survives(kernel):
    for seed in MANY:
        disk, files = mounted(kernel, seed)
        files.make_directory("a")
        files.write("a/b", [b"text"], 0o644)
        files.sync_directory("a")
        files.sync_directory("")

        disk.lose_power()

        assert files.measure("a/b", 100) == (0o644, 4, digests.of_bytes(b"text"))


def test_a_name_that_was_not_synced_is_there_or_not(kernel):
    found = set()
    for seed in MANY:
        disk, files = mounted(kernel, seed)
        files.write("a", [b"text"], 0o644)
        disk.lose_power()
        found.add(frozenset(names(files)))

    assert found == {frozenset(), frozenset({"a"})}


def test_a_rename_that_was_not_synced_happened_whole_or_not_at_all(kernel):
    found = set()
    for seed in MANY:
        disk, files = mounted(kernel, seed)
        files.write("a", [b"text"], 0o644)
        files.sync_directory("")
        files.rename("a", "b")
        disk.lose_power()
        found.add(frozenset(names(files)))

    assert found == {frozenset({"a"}), frozenset({"b"})}


def test_bytes_that_were_not_synced_are_whole_cut_zeros_or_nothing(kernel):
    found = set()
    for seed in MANY:
        disk, files = mounted(kernel, seed)
        disk.power.cut_after(3, lambda: None)
        with pytest.raises(Cut):
            files.write("a", [b"text"], 0o644)
        disk.lose_power()
        found |= {b"".join(files.read("a"))} if "a" in names(files) else {None}

    assert found == {None, b"", b"te", bytes(4), b"text"}


def test_what_a_reader_finds_is_the_cache_and_what_would_survive_is_the_disk(kernel):
    disk, files = mounted(kernel)
    files.make_directory("deployments")
    files.make_directory("deployments/X")
    files.write("deployments/X/f", [b"text"], 0o644)
    files.link("current", "deployments/X")

    seen, kept = disk.seen(), disk.seen(on_disk=True)

    assert seen is not None
    assert (seen.target, seen.files) == ("deployments/X", {"f": (b"text", 0o644)})
    assert kept is None


def test_a_full_disk_takes_nothing_and_lets_go(kernel):
    disk, files = mounted(kernel)
    files.write("a", [b""], 0o644)
    disk.full = True

    with pytest.raises(OSError, match="No space left"):
        files.write("b", [b""], 0o644)
    files.unlink("a")
    disk.make_room()
    files.write("b", [b""], 0o644)

    assert names(files) == {"b"}


def test_a_path_that_leads_out_of_the_root_ends_the_run(kernel):
    _, files = mounted(kernel)

    with pytest.raises(Violation, match="S16"):
        files.write("../stolen", [b""], 0o644)


def test_the_real_kernel_is_back_afterwards(tmp_path):
    with Kernel().in_place():
        pass

    RootedFiles(tmp_path).write("a", [b"text"], 0o644)

    assert (tmp_path / "a").read_bytes() == b"text"
