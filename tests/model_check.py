"""The model check: takes every way through small worlds, and says what it found.

Ends with 1 if a rule is broken, after the shortest way to that and a command that takes it again.
"""

from __future__ import annotations

import resource
import sys
import time

import click
from model_world import fairness, memo, mistakes, search, worlds
from model_world.search import Broken, Small


@click.command(help=__doc__)
@click.option("--world", type=click.Choice(list(worlds.ALL)), help="Search this one alone.")
@click.option("--brief", is_flag=True, help="Search only the worlds that take seconds.")
@click.option("--list", "lists", is_flag=True, help="Say which worlds there are.")
@click.option("--planted", is_flag=True, help="Plant mistakes in the cores, one after the other, and find them.")
@click.option("--replay", metavar="N.N.…", help="Take one way through --world again, move by move.")
def main(world: str | None, *, brief: bool, lists: bool, planted: bool, replay: str | None) -> None:
    if replay is not None and world is None:
        raise click.UsageError("--replay needs the --world that the way leads through")
    chosen = [worlds.ALL[world]] if world else list(worlds.BRIEF if brief else worlds.ALL.values())
    if lists:
        kept = _list()
    elif planted:
        kept = _find_planted()
    elif replay is not None:
        kept = _replay(chosen[0], replay)
    else:
        kept = _check(chosen)
    sys.exit(0 if kept else 1)


def _list() -> bool:
    for world in worlds.ALL.values():
        fates = ", ".join(fate.value for fate in world.fates)
        faults = f"up to {world.faults} of: {', '.join(world.kinds)}" if world.faults else "none"
        withdraws = "" if world.archives else "; nothing is withdrawn"
        click.echo(f"{world.name}: deployments: {fates}; room {world.room}; faults: {faults}{withdraws}")
    return True


def _check(chosen: list[Small]) -> bool:
    states = 0
    for world in chosen:
        memo.forget()
        began = time.process_time()
        try:
            found = search.search(world)
            rests = fairness.check(found)
        except Broken as broken:
            _tell(world, broken)
            return False
        states += len(found.states)
        click.echo(
            f"{world.name}: states {len(found.states)}, transitions {found.transitions}, depth {found.depth}, "
            f"faults {world.faults}, rests {rests.rests}, longest quiet run {rests.longest}, "
            f"CPU seconds {time.process_time() - began:.1f}"
        )
    click.echo(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB of memory")
    click.echo(f"worlds: {len(chosen)}, states: {states}, violations: 0")
    return True


def _tell(world: Small, broken: Broken) -> None:
    click.echo(f"{world.name}: broken after {len(broken.way)} events: {broken.words}", err=True)
    for number, words in enumerate(search.retrace(world, broken.way), start=1):
        click.echo(f"  {number:3}. {words}", err=True)
    way = ".".join(str(chosen) for chosen in broken.way)
    click.echo(f"again: uv run python tests/model_check.py --world {world.name} --replay {way}", err=True)


def _replay(world: Small, replay: str) -> bool:
    kept = True
    try:
        for number, words in enumerate(search.retrace(world, [int(part) for part in replay.split(".")]), start=1):
            click.echo(f"  {number:3}. {words}")
            kept = not words.startswith(search.BREAKS)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--replay") from None
    return kept


def _find_planted() -> bool:
    missed = 0
    for mistake in mistakes.ALL:
        broken = mistakes.find(mistake)
        missed += broken is None
        found = f"{len(broken.way)} events: {broken.words}" if broken else "NOT FOUND"
        click.echo(f"{mistake.name} (in {mistake.world}): {found}")
    click.echo(f"mistakes: {len(mistakes.ALL)}, found: {len(mistakes.ALL) - missed}")
    return not missed


if __name__ == "__main__":
    main()
