"""Plants known mistakes in a copy of the source, one at a time, and sees that the simulation finds each of them.

``python tests/planted/run.py [NAME …]``. Each ``NAME.patch`` beside this file is one mistake. Without names all are
planted, and the tree without any of them must come through the same seeds unharmed; ``--planted-only`` leaves that out,
for who has just seen it. Ends with 1 if a mistake was not found, a patch does not apply, or the simulation finds
something in the tree as it is.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SEEDS = 500
FAULTS = {
    "published-after-sending": "cloud-kill,cloud-offline",
    "epoch-not-compared": "hostile",
    "floor-ignored": "hostile,lose-database",
    "key-list-version-not-compared": "hostile",
    "refused-order-not-judged-again": "hostile",
    "retired-key-still-trusted": "hostile",
}
"""What alone goes wrong, for a mistake that only shows when two things meet: among all faults they seldom do."""
TIMEOUT_S = 900.0
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = ("protocol/shallop_protocol", "device/shallop_device", "cloud/shallop_cloud")
_SHALLOP = "import sys; from shallop_cloud import cli; sys.exit(cli.main())"
_LAST = re.compile(r"seeds: (\d+), violations: (\d+)\Z")
_OUTDATED = re.compile(r"the agent died: (AttributeError|NameError|ImportError)")
_FOUND = re.compile(r"^seed (\d+) violates (.*)$", re.MULTILINE)


class PlantingError(Exception):
    """A patch that does not apply, or a simulation that does not run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Plants those mistakes, or all of them, and gives the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a mistake, as its patch is called (default: all)")
    parser.add_argument("--planted-only", action="store_true", help="not also the tree without any of them")
    chosen = parser.parse_args(arguments)
    patches = [HERE / f"{name}.patch" for name in chosen.names] or sorted(HERE.glob("*.patch"))
    found = 0
    try:
        is_sound = bool(chosen.names) or chosen.planted_only or report("the tree as it is", None, must_be_found=False)
        for patch in patches:
            found += report(patch.stem, patch, must_be_found=True)
    except PlantingError as error:
        say(str(error))
        is_sound = False
    say(f"planted: {len(patches)}, found: {found}")
    return 0 if is_sound and found == len(patches) else 1


def report(name: str, patch: Path | None, *, must_be_found: bool) -> bool:
    """Simulates one tree and says what came of it. Whether that is as it must be."""
    began = time.monotonic()
    seeds, violation = simulate(patch)
    seconds = time.monotonic() - began
    words = f"found after {seeds} seeds, in {violation}" if violation else f"nothing found in {seeds} seeds"
    is_right = (violation is not None) == must_be_found
    say(f"{'ok ' if is_right else 'BAD'}  {name:<24} {seconds:5.1f} s  {words}")
    return is_right


def say(line: str) -> None:
    """Prints a line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def simulate(patch: Path | None) -> tuple[int, str | None]:
    """How many seeds were run of the source with a patch, and the violation found, if any.

    Raises:
        PlantingError: the patch does not apply, or the simulation did not end as it does.
    """
    with tempfile.TemporaryDirectory(prefix="shallop-planted-") as directory:
        copy = Path(directory)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, copy / package, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        if patch is not None:
            plant(copy, patch)
        command = [sys.executable, "-c", _SHALLOP, "simulate", "--count", str(SEEDS), "--fail-fast", "--no-shrink"]
        if patch is not None and patch.stem in FAULTS:
            command += ["--faults", FAULTS[patch.stem]]
        path = os.pathsep.join(str(copy / package.partition("/")[0]) for package in PACKAGES)
        try:
            ran = subprocess.run(
                command,
                cwd=copy,
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PlantingError(f"{patch and patch.name}: {SEEDS} seeds took more than {TIMEOUT_S:.0f} s") from None
    last = _LAST.search(ran.stdout.rstrip())
    if last is None:
        raise PlantingError(f"{patch and patch.name}: the simulation broke:\n{ran.stderr[-2000:]}")
    violation = _FOUND.search(ran.stdout)
    if violation and _OUTDATED.search(violation[2]):
        raise PlantingError(f"{patch and patch.name}: it names what the source has no more: {violation[2][:140]}")
    return int(last[1]), f"seed {violation[1]}: {violation[2][:140]}" if violation else None


def plant(copy: Path, patch: Path) -> None:
    """Applies a patch to a copy of the source.

    Raises:
        PlantingError: it does not apply: the source has changed, and the patch must be made anew.
    """
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    ran = subprocess.run(
        ["git", "apply", str(patch)], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise PlantingError(f"{patch.name} does not apply any more; make it anew: {ran.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
