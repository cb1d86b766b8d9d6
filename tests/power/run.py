"""Cuts the power of a real file system under the real agent; see docs/power-cuts.md. Needs root, loop devices, ext4."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from power import kernel, robot, stories
from power.voyage import LEGS, Log, Voyage

IN_MEMORY = Path("/dev/shm")


class Way(NamedTuple):
    """A leg to run: its name, and what ``Voyage`` takes."""

    leg: str
    seed: int
    cuts: int
    stories: tuple[str, ...]


def main() -> int:
    """0 if nothing was found, 1 otherwise, 2 if this machine lacks something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=2000, help="of all legs together (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of orders and moments; by default another one each time")
    parser.add_argument("--leg", choices=LEGS, action="append", help="one of them, or several; by default all")
    names = [story.__name__ for story in stories.GATED]
    parser.add_argument("--story", choices=names, action="append", help="one of them, or several; by default all")
    parser.add_argument("--jobs", type=int, default=1, help="legs at one time (default: %(default)s)")
    parser.add_argument("--fail-fast", action="store_true", help="begin no other leg after a violation")
    given = parser.parse_args()
    legs: list[str] = given.leg or list(LEGS)
    seed = random.randrange(2**32) if given.seed is None else given.seed
    if given.cuts < len(legs):
        parser.error(f"--cuts {given.cuts} is less than one for each of {len(legs)} legs")
    if not kernel.CHANGES:
        say(f"power cuts: no numbers of system calls are known for {os.uname().machine}: add them to kernel.py")
        return 2
    say(f"seed {seed}")
    robot.warm_up()
    told: list[str] = given.story or []
    ways = [
        Way(leg, seed, given.cuts // len(legs) + (at < given.cuts % len(legs)), tuple(told))
        for at, leg in enumerate(legs)
    ]
    logs: list[Log] = []
    try:
        with contextlib.ExitStack() as stack:
            if given.jobs > 1:
                pool = stack.enter_context(multiprocessing.get_context("fork").Pool(given.jobs))
                under_way = pool.imap_unordered(sail, ways)
            else:
                under_way = map(sail, ways)
            for log, words in under_way:
                say(words)
                logs.append(log)
                if given.fail_fast and log.violation is not None:
                    break
    except kernel.LacksError as error:
        say(f"power cuts: {error}")
        return 2
    violations = sum(log.violation is not None for log in logs)
    cuts, acknowledged = sum(log.cuts for log in logs), sum(log.acknowledged for log in logs)
    say(f"power cuts: {cuts}, acknowledged deployments: {acknowledged}, violations: {violations}")
    return 1 if violations else 0


def sail(way: Way) -> tuple[Log, str]:
    """Runs one leg, with mounts of its own: what came of it, and that in words, with how to see a violation again.

    Raises:
        kernel.LacksError: it cannot be run here.
    """
    kernel.leave_mounts_behind()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shallop-power-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as place:
        log = Voyage(Path(place), LEGS[way.leg], way.seed, way.stories).run(way.cuts)
    seconds = time.monotonic() - began
    words = (
        f"{way.leg:<26} {log.cuts} cuts in {seconds:.1f} s ({log.cuts / seconds:.1f}/s), "
        f"{log.boundaries} of {log.of_boundaries} boundaries, {log.acknowledged} acknowledged deployments, "
        f"at most {log.most_blocks} blocks used"
    )
    if log.violation is not None:
        words += f"\nVIOLATION in leg {way.leg}, seed {way.seed}, {log.violation}"
        options = " ".join([f"--leg {way.leg}", f"--seed {way.seed}", *(f"--story {story}" for story in way.stories)])
        words += f"\nto see it again: make power-cuts CUTS={log.cuts + 1} OPTIONS='{options}'"
    return log, words


def say(line: str) -> None:
    """Prints a line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
