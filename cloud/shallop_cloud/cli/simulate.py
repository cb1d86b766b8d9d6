"""``shallop simulate``: years of bad luck in minutes of virtual time, with the real code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from shallop_cloud.cli import exits, parameters, progress, tables

if TYPE_CHECKING:
    from shallop_cloud.bench.simulation import acts
    from shallop_cloud.bench.simulation.fleet_plan import Wave
    from shallop_cloud.bench.simulation.rehearsal import Result
    from shallop_cloud.bench.simulation.run import Options, Outcome

MOST_LINES = 200
"""Of a trace, its end."""
_LISTED = 10


class _Choice(NamedTuple):
    """What was asked for, besides the seeds."""

    hours: float
    robots: int
    faults: str
    only: str | None


class _Manner(NamedTuple):
    """How it is done and told."""

    jobs: int | None
    trace: bool
    fail_fast: bool
    shrink: bool


@click.command(epilog=parameters.example("shallop simulate --seed 1 --count 500"))
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The first seed.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many seeds.")
@click.option("--hours", type=click.FloatRange(0.05, 1_000), default=1.0, show_default=True,
              help="Virtual hours with faults; peace follows.")  # fmt: skip
@click.option("--robots", type=click.IntRange(1, 100), default=3, show_default=True, help="How many robots.")
@click.option("--faults", metavar="LIST", default="all", show_default=True,
              help="Which faults: all, none, or names with commas between. --list-faults shows them.")  # fmt: skip
@click.option("--only", metavar="NUMBERS", help="Only these acts of the one seed, as a failure prints them.")
@click.option("--trace", is_flag=True, help="Print all that happened, also of a run that went well.")
@click.option("--jobs", type=click.IntRange(1, 256), help="How many processes.  [default: one a core]")
@click.option("--fail-fast", is_flag=True, help="Stop at the first violation.")
@click.option("--shrink/--no-shrink", default=True, help="Look for a shorter run that fails in the same way.")
@click.option("--plan", "plan_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Rehearse a fleet's plan from a YAML file instead.")  # fmt: skip
@click.option("--list-faults", is_flag=True, help="Show what can go wrong, and end.")
def simulate(
    seed: int,
    count: int,
    hours: float,
    robots: int,
    faults: str,
    only: str | None,
    trace: bool,
    jobs: int | None,
    fail_fast: bool,
    shrink: bool,
    plan_file: Path | None,
    list_faults: bool,
) -> int:
    """Run robots, broker and cloud in virtual time, with everything going wrong.

    The protocol's decisions and the robots' agent are the real ones; disk, network, broker and clocks are models that
    fail. After each event, every invariant is checked; when the faults stop, all must come to agree and fall silent.
    The same seed gives the same run. Ends with 1 if an invariant was violated, and says how to see it again.
    """
    try:
        from shallop_cloud.bench.simulation import acts
    except ImportError as error:
        words = f"the bench is not installed ({error}); pip install 'shallop-cloud[bench]'"
        raise click.ClickException(words) from None
    if list_faults:
        for fault, meaning in acts.MEANINGS.items():
            click.echo(f"{fault.value:<15} {meaning}")
        return exits.Exit.OK
    if plan_file is not None:
        return _rehearse(plan_file, seed)
    if (only is not None or trace) and count > 1:
        raise click.UsageError("--only and --trace belong to one seed; leave --count out")
    options = _options(_Choice(hours, robots, faults, only))
    return _simulate(range(seed, seed + count), options, _Manner(jobs, trace, fail_fast, shrink))


def _options(choice: _Choice) -> Options:
    from shallop_cloud.bench.simulation import run

    numbers = None
    if choice.only is not None:
        parts = [part for part in choice.only.split(",") if part]
        if not all(part.isascii() and part.isdecimal() for part in parts):
            raise click.UsageError(f"--only {choice.only!r}: numbers with commas between, such as 3,7,12")
        numbers = frozenset(int(part) for part in parts)
    return run.Options(choice.hours, choice.robots, _faults(choice.faults), numbers)


def _faults(text: str) -> frozenset[acts.Fault]:
    from shallop_cloud.bench.simulation import acts

    chosen: set[acts.Fault] = set()
    for name in filter(None, text.split(",")):
        if name == "all":
            chosen |= acts.ALL
        elif name in set(acts.Fault):
            chosen.add(acts.Fault(name))
        elif name != "none":
            known = ", ".join(("all", "none", *acts.Fault))
            raise click.UsageError(f"--faults: {name!r} is none; there are: {known}")
    return frozenset(chosen)


def _simulate(seeds: range, options: Options, manner: _Manner) -> int:
    from shallop_cloud.bench.simulation import many, run

    bad: list[Outcome] = []
    done = 0
    if len(seeds) == 1:
        outcome = run.run(seeds[0], options)
        bad, done = [outcome] if outcome.violation else [], 1
        if manner.trace and not bad:
            click.echo("\n".join(outcome.trace))
    else:
        with many.outcomes(seeds, options, manner.jobs or many.cores()) as found, progress.shown("simulating") as tell:
            for outcome in _counted(found, len(seeds), tell):
                done += 1
                bad += [outcome] if outcome.violation else []
                if bad and manner.fail_fast:
                    break
    if bad:
        first = min(bad, key=lambda outcome: outcome.seed)
        _show_others([outcome for outcome in bad if outcome is not first])
        _show(run.run(first.seed, options), options, shrink=manner.shrink)
    click.echo(f"seeds: {done}, violations: {len(bad)}")
    return exits.Exit.FAILED if bad else exits.Exit.OK


def _counted(found: Iterator[Outcome], count: int, tell: Callable[[str], None]) -> Iterator[Outcome]:
    """The same, with a word now and then of how far it is."""
    every = max(1, count // 10)
    bad = 0
    for done, outcome in enumerate(found, start=1):
        bad += outcome.violation is not None
        if done % every == 0 and done < count:
            tell(f"{done} of {count} seeds, {bad} violations")
        yield outcome


def _show_others(others: list[Outcome]) -> None:
    for outcome in sorted(others, key=lambda outcome: outcome.seed)[:_LISTED]:
        assert outcome.violation is not None
        click.echo(f"seed {outcome.seed}: {': '.join(outcome.violation)}")
    if len(others) > _LISTED:
        click.echo(f"and {len(others) - _LISTED} more")


def _show(outcome: Outcome, options: Options, *, shrink: bool) -> None:
    """A failure, with the shortest run found that fails in the same way, and how to see it again."""
    from shallop_cloud.bench.simulation import run, shrinking

    shortest, narrowed = outcome, options
    if shrink:
        with progress.shown("looking for a shorter run"):
            shortest, narrowed = shrinking.shrink(outcome, options)
    assert shortest.violation is not None
    invariant, words = shortest.violation
    click.echo(f"seed {outcome.seed} violates {invariant}: {words}")
    click.echo(f"options: {_written(options)}")
    click.echo(f"the shortest run found has {shortest.acts} of {outcome.acts} acts:")
    for number, act in run.plan(outcome.seed, narrowed):
        click.echo(f"  act {number}: {act.at:.3f} s {act}")
    lines = shortest.trace[-MOST_LINES:]
    click.echo(f"trace{f', the last {MOST_LINES} lines' if len(lines) < len(shortest.trace) else ''}:")
    for line in lines:
        click.echo(f"  {line}")
    click.echo("to see it again:")
    click.echo(f"  shallop simulate --seed {outcome.seed} {_written(narrowed)}")


def _written(options: Options) -> str:
    from shallop_cloud.bench.simulation import acts

    faults = "all" if options.faults == acts.ALL else ",".join(sorted(options.faults)) or "none"
    words = f"--hours {options.hours:g} --robots {options.robots} --faults {faults}"
    return words if options.only is None else f"{words} --only {','.join(map(str, sorted(options.only))) or ','}"


def _rehearse(file: Path, seed: int) -> int:
    from shallop_cloud.bench.simulation import fleet_plan, rehearsal
    from shallop_cloud.bench.simulation.violation import Violation

    try:
        plan = fleet_plan.load(file)
    except fleet_plan.PlanError as error:
        raise exits.Failure(exits.Exit.INVALID, str(error)) from None
    try:
        with progress.shown(f"rehearsing {plan.hours:g} hours of {plan.robots} robots"):
            results = rehearsal.rehearse(plan, seed)
    except Violation as violation:
        click.echo(f"the plan with seed {seed} violates {violation.invariant}: {violation.words}")
        click.echo("seeds: 1, violations: 1")
        return exits.Exit.FAILED
    heads = ("WAVE", "ACT", "ROBOTS", "50 %", "90 %", "99 %", "100 %", "FAILED", "LEFT BEHIND", "WITHOUT CONFIG")
    tables.columns(heads, [_row(wave, result) for wave, result in zip(plan.waves, results, strict=True)])
    click.echo("seeds: 1, violations: 0")
    return exits.Exit.OK


def _row(wave: Wave, result: Result) -> tuple[str, ...]:
    return (
        _duration(wave.at),
        "archive" if wave.archive else f"deploy, fails on {wave.deploy:.2%}" if wave.deploy else "deploy",
        str(result.robots),
        *("never" if seconds is None else _duration(seconds) for seconds in result.reached),
        str(result.failed),
        str(result.behind),
        "" if wave.archive else str(result.bare),
    )


def _duration(seconds: float) -> str:
    if seconds < 60.0:
        return f"{seconds:.1f}s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}h{rest // 60:02}m" if hours else f"{rest // 60}m{rest % 60:02}s"
