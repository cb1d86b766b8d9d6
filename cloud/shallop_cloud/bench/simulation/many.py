"""Many seeds, on all cores."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import multiprocessing
import os
from collections.abc import Generator, Iterator, Sequence

from shallop_cloud.bench.simulation.run import Options, Outcome, run

_AT_A_TIME = 8


@contextlib.contextmanager
def outcomes(seeds: Sequence[int], options: Options, jobs: int) -> Generator[Iterator[Outcome]]:
    """How each of the seeds ends, in no order, without traces. When the block ends, so does what is still running.

    Args:
        jobs: how many processes share the work; with 1 it is done in this one.
    """
    work = [(seed, options) for seed in seeds]
    if jobs == 1 or len(work) < 2:
        yield map(_run, work)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _settle_in) as pool:
        yield pool.imap_unordered(_run, work, chunksize=max(1, min(_AT_A_TIME, len(work) // (4 * jobs))))


def cores() -> int:
    """How many processes can truly run at once."""
    return len(os.sched_getaffinity(0))


def _run(work: tuple[int, Options]) -> Outcome:
    return dataclasses.replace(run(*work), trace=())


def _settle_in() -> None:
    """What was loaded stays; the little that a run leaves behind need not be looked for often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
