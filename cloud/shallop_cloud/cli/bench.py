"""``shallop bench``: a fleet on this machine, and trouble for it."""

from __future__ import annotations

from pathlib import Path

import click

from shallop_cloud.cli import (
    bench_door,
    bench_parts,
    bench_traffic,
    bench_up,
    groups,
    output,
    parameters,
    tables,
    words,
)
from shallop_cloud.cli.bench_door import Json

DOWN_WITHIN_S = 90.0


@click.group(cls=groups.Group)
def bench() -> None:
    """A fleet on this machine: broker, cloud and robots, and trouble for them.

    It needs no network and no account. Begin with `shallop bench up`, and use the other commands from another terminal
    while it runs.
    """


@bench.command(epilog=parameters.example("shallop bench status"))
@bench_door.directory_option
@click.option(
    "-o",
    "--output",
    "format_",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How the answer is printed.",
)
def status(directory: Path | None, format_: str) -> None:
    """Show what runs where, and what the cloud knows of the robots."""
    output.show(bench_door.ask(directory, {"do": "status"}), output.Format(format_), _show)


# No -h here: click would find it in an amount such as -3h.
@bench.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog=parameters.example("shallop bench fault amr-1 amr-2 offline 30s"),
)
@click.argument("what", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[ROBOT]... FAULT [AMOUNT]")
@click.option("--percent", type=click.FloatRange(0, 100, min_open=True), metavar="P", help="So many of them, by lot.")
@bench_door.directory_option
def fault(what: tuple[str, ...], percent: float | None, directory: Path | None) -> None:
    """Let something happen to some robots.

    \b
    offline 30s     its link is cut, and comes back by itself
    power-cut 2s    it loses its power, and gets it back
    disk-full 30s   nothing new can be written below its configuration root
    corrupt-state   its state database is lost
    slow 200ms      each message takes so much longer, until heal
    clock -50y      its wall clock is so far off, until heal
    duplicate       each message comes twice, until heal
    reorder         messages overtake each other, until heal
    heal            all of that is over

    \b
    A tenth of the fleet loses its power for five seconds:
      shallop bench fault --percent 10 power-cut 5s
    """
    robots, wanted = _split(what)
    if bool(robots) == (percent is not None):
        raise click.UsageError("name robots, or say how many with --percent: one of the two")
    whom: Json = {"robots": robots} if robots else {"percent": percent}
    answer = bench_door.ask(directory, {"do": "fault", **whom, "fault": wanted})
    names = [words.clean(name) for name in answer["robots"]]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    click.echo(f"{', '.join(names[:8])}{more}: {wanted}")
    for line in answer["said"]:
        click.echo(words.clean(line))


@bench.command(epilog=parameters.example("shallop bench down"))
@bench_door.directory_option
def down(directory: Path | None) -> None:
    """End a bench: every process, in order. Its directory stays, with data and logs."""
    with bench_door.errors_as_exits():
        from shallop_cloud.bench.fleet import asking

        where = bench_door.found(directory)
        asking.ask(where, {"do": "down"})
        asking.await_end(where, DOWN_WITHIN_S)
    click.echo(f"the bench in {where} has ended; its data and logs are still there")


def _split(what: tuple[str, ...]) -> tuple[list[str], str]:
    """The robots, and the fault as it is spelt.

    Raises:
        click.UsageError: the fault is none.
    """
    with bench_door.errors_as_exits():
        from shallop_cloud.bench.faults import Fault, FaultError, Kind

    kinds = set(Kind)
    at = len(what) - 2 if len(what) > 1 and what[-2] in kinds else len(what) - 1
    try:
        Fault.parse(what[at:])
    except FaultError as error:
        raise click.UsageError(str(error)) from None
    return list(what[:at]), " ".join(what[at:])


def _show(known: Json) -> None:
    summary = known["summary"]
    robots = ", ".join(f"{key}: {value}" for key, value in known["robots"].items())
    pairs = [
        ("directory", known["directory"]),
        ("cloud", known["url"]),
        ("token", f"in {known['token_file']}"),
        ("broker", known["broker"]),
        ("release", known["release"]),
        ("robots", robots),
    ]
    if summary is None:
        pairs.append(("known", "the cloud does not answer"))
    else:
        statuses = ", ".join(f"{count} {name}" for name, count in summary["deployments"].items() if count)
        pairs.append(("known", f"{summary['online']} of {summary['devices']} online, {summary['in_sync']} in sync"))
        pairs.append(("deployments", statuses or "none"))
    tables.fields(pairs)
    click.echo()
    rows = [(each["name"], str(each["pid"] or "does not run"), each["log"]) for each in known["processes"]]
    tables.columns(("PROCESS", "PID", "LOG"), rows)


for _command in (bench_up.up, bench_parts.broker, bench_parts.cloud, bench_traffic.record, bench_traffic.replay):
    bench.add_command(_command)
