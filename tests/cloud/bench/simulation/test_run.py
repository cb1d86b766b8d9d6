"""Whole runs: the same seed is the same run, nothing is found in what is right, and mistakes are found."""

from __future__ import annotations

import pytest
from shallop_cloud.bench.simulation import acts, run, shrinking
from shallop_cloud.bench.simulation.acts import Fault
from shallop_cloud.bench.simulation.run import Options
from shallop_device import applier, files
from shallop_protocol import cloud

SHORT = Options(hours=0.5, robots=2)


def first_failure(options: Options = SHORT, seeds: range = range(60)) -> run.Outcome:
    return next(outcome for seed in seeds if (outcome := run.run(seed, options)).violation)


def test_the_same_seed_gives_the_same_trace_byte_for_byte():
    one, two, other = run.run(7, SHORT), run.run(7, SHORT), run.run(8, SHORT)

    assert one == two
    assert len(one.trace) > 20
    assert one.trace != other.trace


def test_a_few_dozen_seeds_violate_nothing():
    assert [outcome.violation for seed in range(24) if (outcome := run.run(seed, SHORT)).violation] == []


def test_much_happens():
    """A run in which nobody acts finds nothing, and proves nothing."""
    seen = "\n".join(line for seed in range(40, 50) for line in run.run(seed, Options(robots=2)).trace)

    for words in (
        "robot software reads DPL",
        "archived/failed",
        "retrying",
        "loses its power",
        "dies",
        "to be offline",
        "holds for",
        "brings it down",
    ):
        assert words in seen, words


def test_clocks_that_are_decades_off_change_nothing():
    """S19: the same run, with and without the steps of the clocks."""
    options = Options(hours=0.5, robots=2, faults=acts.ALL)
    seed = next(seed for seed in range(50) if _clocks(seed, options))
    rest = frozenset(number for number, act in run.plan(seed, options) if act.what is not Fault.CLOCK)

    with_, without = run.run(seed, options), run.run(seed, Options(0.5, 2, acts.ALL, rest))

    assert len(with_.trace) > len(without.trace)
    assert tuple(line for line in with_.trace if "the world clock" not in line) == without.trace


def test_a_mistake_is_found_and_its_shortest_run_is_shorter_and_fails_in_the_same_way(monkeypatch):
    monkeypatch.setattr(files.RootedFiles, "sync_directory", lambda self, path: None)
    outcome = first_failure()

    shortest, narrowed = shrinking.shrink(outcome, SHORT)

    assert outcome.violation is not None
    assert outcome.violation[0] == "S13"
    assert shortest.violation is not None
    assert shortest.violation[0] == "S13"
    assert shortest.acts == 1
    assert len(shortest.trace) < len(outcome.trace)
    assert run.run(outcome.seed, narrowed) == shortest


@pytest.mark.parametrize(
    ("module", "name", "mistake", "invariant"),
    [
        (applier.Applier, "tidy", lambda self, *_: None, "S22"),
        (cloud, "is_current", lambda heard, incarnation, connection: True, "M5"),
        (cloud, "_settle", lambda device, ignored: cloud.Ingested(device), "S8"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_mistakes_are_found(monkeypatch, module, name, mistake, invariant):
    monkeypatch.setattr(module, name, mistake)

    assert (first_failure().violation or ("",))[0] == invariant


def test_without_faults_there_are_orders_and_holds_only():
    planned = [act for _, act in run.plan(3, Options(faults=frozenset()))]

    assert planned
    assert all(isinstance(act.what, acts.Order | acts.Deed) for act in planned)


def test_every_fault_has_a_meaning():
    assert set(acts.MEANINGS) == set(Fault)


def _clocks(seed: int, options: Options) -> bool:
    return any(act.what is Fault.CLOCK for _, act in run.plan(seed, options))
