"""Robot software that reads while the agent writes: it never finds files of two deployments together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from shallop_device import applier, files, testing

DEPLOYMENTS = 10_000
PATHS = ("nav2/params.yaml", "nav2/costmap/local.yaml", "map.txt", "arm/grip.yaml")
"""The same in each deployment, so that a mixture would not show by its names."""

_READER = '''
import json, os, signal, sys

def read(directory):
    """The words of all files below a directory that is open; None for one that went while it was read."""
    found = []
    for entry in os.scandir(directory):
        try:
            if entry.is_dir(follow_symlinks=False):
                below = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                try:
                    found += read(below)
                finally:
                    os.close(below)
            else:
                with os.fdopen(os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)) as file:
                    found.append(file.read())
        except FileNotFoundError:
            found.append(None)
    return found

going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
current, expected = sys.argv[1], int(sys.argv[2])
reads = whole = 0
seen, wrong = set(), []
print("ready", flush=True)
while going:
    directory = os.open(current, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = read(directory)
    finally:
        os.close(directory)
    reads += 1
    words = {each for each in found if each is not None}
    if len(words) > 1 or "" in words:
        wrong.append(found)
    elif len(found) == expected and None not in found:
        whole += 1
        seen |= words
print(json.dumps({"reads": reads, "whole": whole, "deployments": len(seen), "wrong": wrong[:3]}))
'''


@pytest.mark.slow
def test_a_reader_never_finds_two_deployments_together(memory_path: Path):
    """Ten thousand deployments, each taken off two deployments later, as fast as it goes: what a reader finds does not
    depend on syncs. Each file is the name of its deployment. A reader so slow that its deployment was taken off
    meanwhile may find less, but nothing else."""
    root = memory_path / "root"
    root.mkdir()
    shore = testing.Shore()
    hands = applier.Applier(files.RootedFiles(root))
    earlier: list[str] = []

    def deploy(number: int) -> None:
        manifest = shore.manifest(dict.fromkeys(PATHS, f"deployment {number}\n"))
        hands.apply(manifest)
        earlier.append(manifest.id)
        if len(earlier) > 2:
            hands.remove(earlier.pop(0))
            hands.tidy(frozenset())

    deploy(0)
    command = [sys.executable, "-c", _READER, root / applier.CURRENT, str(len(PATHS))]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    try:
        assert reader.stdout.readline() == "ready\n"
        for number in range(1, DEPLOYMENTS):
            deploy(number)
    finally:
        reader.terminate()
        said, _ = reader.communicate(timeout=30)
    found = json.loads(said)
    assert found["wrong"] == []
    assert found["whole"] > found["reads"] / 2
    assert found["deployments"] > DEPLOYMENTS / 20
    assert len(list((root / applier.DEPLOYMENTS).iterdir())) == 2
