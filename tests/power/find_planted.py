"""Plants known mistakes in a copy of the robot's source, one at a time, and sees that power cuts find each of them.

``python tests/power/find_planted.py [NAME …]``. The mistakes are those of ``tests/planted`` that are about the disk,
and what lies beside this file. Ends with 1 if one was not found, or its patch does not apply.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from planted import run as planting

MISTAKES: dict[str, tuple[str, ...]] = {
    "no-file-fsync": (),
    "no-directory-fsync": (),
    "no-database-fsync": (),
    "write-in-place": (),
    "directory-reuse": ("first", "replace", "remove"),
}
"""The stories that are told; by default all. A tree that is written into a directory which is there already is found
without any cut where one of the stories damages a tree."""
LEGS = ("commit=300/two/gates", "commit=300/one")
"""On one file system alone, a sync of the database hides one of a directory that is missing."""
CUTS = 1_200
"""Of both legs together, for each mistake."""
SEED = 1
TIMEOUT_S = 600.0
_PACKAGES = ("protocol/shallop_protocol", "device/shallop_device")
_LAST = re.compile(r"^power cuts: (\d+), acknowledged deployments: \d+, violations: (\d+)$", re.MULTILINE)
_FOUND = re.compile(r"^VIOLATION in leg (.*)$", re.MULTILINE)


def main(names: list[str]) -> int:
    """Plants those mistakes, or all of them, and gives the exit code."""
    if unknown := [name for name in names if name not in MISTAKES]:
        planting.say(f"no such mistake: {', '.join(unknown)}; there are: {', '.join(MISTAKES)}")
        return 2
    chosen = names or list(MISTAKES)
    found = 0
    for name in chosen:
        began = time.monotonic()
        try:
            cuts, violation = sail(patch_of(name))
        except planting.PlantingError as error:
            planting.say(str(error))
            continue
        words = f"found after {cuts} cuts: {violation}" if violation else f"nothing found in {cuts} cuts"
        planting.say(f"{'ok ' if violation else 'BAD'}  {name:<20} {time.monotonic() - began:5.1f} s  {words}")
        found += violation is not None
    planting.say(f"planted: {len(chosen)}, found: {found}")
    return 0 if found == len(chosen) else 1


def patch_of(name: str) -> Path:
    """Where a mistake is kept: beside this file if the simulation, whose database is in memory, cannot find it."""
    own = Path(__file__).with_name(f"{name}.patch")
    return own if own.exists() else planting.HERE / own.name


def sail(patch: Path) -> tuple[int, str | None]:
    """How often the power of a robot with a mistake was cut, and the violation that came of it, if any.

    Raises:
        planting.PlantingError: the patch does not apply, or the cuts could not be made.
    """
    with tempfile.TemporaryDirectory(prefix="shallop-planted-") as directory:
        copy = Path(directory)
        for package in _PACKAGES:
            shutil.copytree(
                planting.ROOT / package, copy / package, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        planting.plant(copy, patch)
        ran = subprocess.run(
            [
                sys.executable,
                planting.ROOT / "tests/power/run.py",
                "--fail-fast",
                f"--cuts={CUTS}",
                f"--seed={SEED}",
                *(f"--leg={leg}" for leg in LEGS),
                *(f"--story={story}" for story in MISTAKES[patch.stem]),
            ],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(str((copy / each).parent) for each in _PACKAGES)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    last = _LAST.search(ran.stdout)
    if last is None:
        raise planting.PlantingError(f"{patch.name}: the cuts could not be made:\n{ran.stdout}{ran.stderr[-2000:]}")
    violation = _FOUND.search(ran.stdout)
    return int(last[1]), violation[1][:200] if violation else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
