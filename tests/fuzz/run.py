"""Fuzzes every parser of bytes from outside: ``python tests/fuzz/run.py --seconds 60``.

Prints a line for each, and every input that brought out what is not declared. Ends with 1 if there is one.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz import hunt, parsers


def _run(name: str, seconds: float, seed: int) -> hunt.Outcome:
    (parser,) = [each for each in parsers.every() if each.name == name]
    return hunt.hunt(parser, seconds=seconds, seed=seed)


def main() -> int:
    """0 if nothing was found, 1 otherwise."""
    known = [each.name for each in parsers.every()]
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, help="for each parser")
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at the same time")
    arguments.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    arguments.add_argument("--only", metavar="WORD", default="", help="those with this in their names")
    given = arguments.parse_args()
    names = [name for name in known if given.only in name]
    if not names:
        arguments.error(f"no parser has {given.only!r} in its name; there are: {'; '.join(known)}")
    undeclared = 0
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(given.processes, context, max_tasks_per_child=1) as pool:
        for outcome in pool.map(_run, names, [given.seconds] * len(names), [given.seed] * len(names)):
            sys.stdout.write(f"{outcome}\n")
            sys.stdout.flush()
            undeclared += len(outcome.found)
    return int(undeclared > 0)


if __name__ == "__main__":
    sys.exit(main())
