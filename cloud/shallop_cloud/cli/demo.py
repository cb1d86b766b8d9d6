"""``shallop demo``: the whole way on one machine, in a minute."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import structlog

from shallop_cloud import errors

if TYPE_CHECKING:
    from rich.live import Live

    from shallop_cloud.bench import demo as bench_demo


@click.command()
@click.option("--robots", type=click.IntRange(1, 20), default=3, show_default=True, help="How many robots.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to put everything [default: a new one in the temporary directory].",
)
@click.option("--keep", is_flag=True, help="Leave it running at the end, until Ctrl-C.")
def demo(robots: int, directory: Path | None, keep: bool) -> None:
    """Show the whole way on this machine: broker, cloud and robots.

    A release is made; configuration is validated, signed, published, applied and acknowledged; one value changes; a
    bad config is refused; a robot goes offline and catches up. Exits with 0 only if all of that truly happened.

    \b
    To go on with it from another terminal:
      shallop demo --keep
    """
    try:
        from shallop_cloud.bench import demo as bench_demo
        from shallop_cloud.bench.robots import RobotError
    except ImportError as error:
        words = f"the bench is not installed ({error}); pip install 'shallop-cloud[bench]'"
        raise click.ClickException(words) from None
    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise click.UsageError(f"{directory} is not empty; name a new directory")
    where = directory or Path(tempfile.mkdtemp(prefix="shallop-demo-"))
    _log_to_file(where)
    began = time.monotonic()
    try:
        with _screen(sys.stdout.isatty()) as screen:
            bench_demo.run(where.absolute(), robots, screen, lambda fleet: _end(fleet, screen, began, keep))
    except (bench_demo.DemoError, RobotError, errors.StartupError) as error:
        raise click.ClickException(f"the demo failed: {error}") from None


def _end(fleet: bench_demo.Fleet, screen: bench_demo.Screen, began: float, keep: bool) -> None:
    screen.say(f"\nAll of it happened, in {time.monotonic() - began:.0f} s. The files are where robots read them:")
    for robot in fleet.robots.values():
        for path in robot.files():
            screen.say(f"  {robot.root / 'current' / path}")
    screen.say("Beside them are each agent's log and the cloud's data; delete the directory when you have seen enough.")
    if keep:
        screen.say("\nIt keeps running. From another terminal:")
        screen.say(f"  export SHALLOP_URL={fleet.running.url}")
        screen.say(f"  export SHALLOP_TOKEN=$(cat {fleet.running.token_file})")
        screen.say("  shallop device list")
        screen.say("Ctrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                screen.show(fleet.rows())
                time.sleep(1)


def _log_to_file(directory: Path) -> None:
    """The server's log goes beside its data, out of the way of the table."""
    directory.mkdir(parents=True, exist_ok=True)
    log = (directory / "cloud.log").open("a", encoding="utf-8", buffering=1)
    logging.basicConfig(stream=log, level=logging.WARNING)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(log),
    )


@contextlib.contextmanager
def _screen(terminal: bool) -> Generator[bench_demo.Screen]:
    if not terminal:
        yield _Lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(no_color="NO_COLOR" in os.environ), refresh_per_second=8) as live:
        yield _Terminal(live)


class _Lines:
    """Plain lines, for logs and pipes."""

    def say(self, text: str) -> None:
        """One line."""
        click.echo(text)

    def show(self, rows: Sequence[bench_demo.Row]) -> None:
        """What changes is not shown line by line; the steps tell it."""


class _Terminal:
    """A live table, with what was said above it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def say(self, text: str) -> None:
        """Above the table."""
        self._live.console.print(text, markup=False, highlight=False)

    def show(self, rows: Sequence[bench_demo.Row]) -> None:
        """Draws the table anew."""
        from rich.table import Table

        table = Table("robot", "link", "deployment", "status", "previous", "its status", "max_speed on its disk")
        for row in rows:
            link = "[green]online[/]" if row.online else "[yellow]offline[/]"
            colour = _COLOURS.get(row.status, "white")
            cells = (row.robot, link, row.deployment, f"[{colour}]{row.status}[/]", row.previous, row.previous_status)
            table.add_row(*cells, row.max_speed)
        self._live.update(table)


_COLOURS = {"deployed": "green", "queued": "yellow", "retrying": "yellow", "failed": "red", "archived": "dim"}
