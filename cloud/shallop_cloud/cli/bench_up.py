"""``shallop bench up``: broker, cloud and robots in one go, until Ctrl-C or until all of them have a configuration."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from shallop_cloud.cli import addresses, bench_door, parameters, progress, signals

if TYPE_CHECKING:
    from shallop_cloud.bench.fleet.bench import Bench, Plan
    from shallop_cloud.link.connection import BrokerUrl, Protocol


@click.command(epilog=parameters.example("shallop bench up --robots 1000 --simulated --once"))
@click.option("--robots", type=click.IntRange(1, 10_000), default=3, show_default=True, help="How many robots.")
@click.option("--simulated", is_flag=True, help="Thousands in one process, instead of a real agent each.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to put everything [default: a new one in the temporary directory].",
)
@click.option("--once", is_flag=True, help="Deploy to all of them, say how long it took, and end.")
@click.option("--keep", is_flag=True, help="With --once: leave it running at the end, until Ctrl-C.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="With --once: how long it may take until all of them have it; ends with 8.",
)
@click.option(
    "--release",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A release manifest [default: the example robot's].",
)
@click.option(
    "--config",
    "configs",
    type=parameters.config,
    multiple=True,
    metavar="TYPE=FILE",
    help="What --once deploys; once for each config type [default: the example robot's].",
)
@click.option("--broker", metavar="URL", help="Another's broker: mqtt://user:password@host:port, mqtts:// for TLS.")
@click.option(
    "--broker-protocol",
    type=click.Choice(["3.1.1", "5"]),
    default="3.1.1",
    show_default=True,
    help="Which MQTT that broker speaks.",
)
@click.option(
    "--connections",
    type=click.Choice(["own", "shared"]),
    default="own",
    show_default=True,
    help="With --simulated: a connection for each robot, or a few under the cloud's account.",
)
@click.option("--listen", type=addresses.Address(), help="Where the API listens [default: a free port].")
@click.option("--broker-listen", type=addresses.Address(), help="Where the broker listens [default: a free port].")
def up(
    robots: int,
    simulated: bool,
    directory: Path | None,
    once: bool,
    keep: bool,
    timeout: float,
    release: Path | None,
    configs: Sequence[parameters.Config],
    broker: str | None,
    broker_protocol: Protocol,
    connections: Literal["own", "shared"],
    listen: tuple[str, int] | None,
    broker_listen: tuple[str, int] | None,
) -> None:
    """Start broker, cloud and robots, and let them run until Ctrl-C.

    Each part is a process of its own; robots are enrolled and a release is made. With --once, a configuration is
    deployed to all of them: ends with 0 when every robot has it, 8 if some have not in time, 9 if it failed on some.

    \b
    The example robot, three times:
      shallop bench up
    Your own release, on twenty real agents:
      shallop bench up --robots 20 --release release.yaml
    """
    if keep and not once:
        raise click.UsageError("--keep belongs to --once; without --once it is left running anyhow")
    if configs and not once:
        raise click.UsageError("--config belongs to --once; otherwise use `shallop deploy`")
    if once and release and not configs:
        raise click.UsageError("say with --config what is to be deployed of that release")
    if connections == "shared" and not simulated:
        raise click.UsageError("--connections belongs to --simulated; a real agent has a connection of its own")
    if broker_protocol != "3.1.1" and not broker:
        raise click.UsageError("--broker-protocol belongs to --broker; the bench's own broker speaks MQTT 3.1.1")
    if broker and broker_listen:
        raise click.UsageError("--broker-listen is for the bench's own broker, and --broker names another's")
    files = _files(configs)
    address = _address_of(broker)
    where = directory or Path(tempfile.gettempdir()) / f"shallop-bench-{secrets.token_hex(4)}"
    with _signals() as taken, bench_door.errors_as_exits():
        from shallop_cloud.bench.fleet import bench, example

        plan = bench.Plan(
            directory=where.absolute(),
            robots=robots,
            simulated=simulated,
            connections=connections,
            release=release or example.RELEASE,
            listen=listen or bench.FREE_PORT,
            broker_listen=broker_listen or bench.FREE_PORT,
            broker=address,
            broker_protocol=broker_protocol,
        )
        with _running(plan, taken.stop) as running:
            if once:
                _deploy(running, files or example.CONFIGS, timeout)
            if not once or keep:
                _explain(running)
                taken.await_stop()
                click.echo("Ending robots, cloud and broker.")


@contextlib.contextmanager
def _running(plan: Plan, stop: threading.Event) -> Generator[Bench]:
    """A bench that others find and can use."""
    from shallop_cloud.bench.fleet import bench, control, directories

    with (
        bench.running(plan, click.echo, random.Random()) as running,  # noqa: S311  whose message is lost is no secret
        control.opened(running, stop),
        directories.registered(plan.directory, directories.register_of(os.environ)),
    ):
        yield running


def _deploy(bench: Bench, files: Mapping[str, Path], timeout: float) -> None:
    began = time.monotonic()
    bench.deploy(files)
    count = bench.plan.robots
    told = -1
    with progress.shown(f"waiting for {count} robots to confirm it") as tell:

        def seen(known: int) -> None:
            nonlocal told
            if known * 10 // count > told:  # a line for each tenth of them
                told = known * 10 // count
                tell(f"{known} of {count} robots have it")

        bench.await_deployed(timeout, seen)
    took = time.monotonic() - began
    click.echo(
        f"All {count} robots have it: {_since_start():.1f} s after the start of this command, "
        f"{took:.1f} s of them from the order to the last report."
    )


def _explain(bench: Bench) -> None:
    count = "1 robot" if bench.plan.robots == 1 else f"{bench.plan.robots} robots, amr-1 to amr-{bench.plan.robots}"
    click.echo(f"It runs: {count}, release {bench.release}. From another terminal:")
    click.echo(f"  export SHALLOP_URL={bench.url}")
    click.echo(f"  export SHALLOP_TOKEN=$(cat {shlex.quote(str(bench.cloud.token_file))})")
    click.echo("  shallop device list")
    click.echo("  shallop bench status")
    click.echo("  shallop bench fault amr-1 offline 30s")
    click.echo("Ctrl-C ends it.")
    sys.stdout.flush()


def _files(configs: Sequence[parameters.Config]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for each in configs:
        if each.config_type in files:
            raise click.UsageError(f"config type {each.config_type!r} is given twice")
        files[each.config_type] = Path(each.file)
    return files


def _address_of(url: str | None) -> BrokerUrl | None:
    if url is None:
        return None
    from shallop_cloud import errors
    from shallop_cloud.link.connection import BrokerUrl  # slow to load, and no --help needs it

    try:
        return BrokerUrl.parse(url)
    except errors.StartupError as error:
        raise click.UsageError(f"--broker: {error}") from None


def _since_start() -> float:
    """Seconds since this process began, by the kernel's own account (proc(5)): loading Python and us counts, too."""
    with Path("/proc/self/stat").open() as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


class _Signals:
    """What SIGTERM and SIGINT do: they interrupt the main thread, but while it waits for ``stop`` they set that."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._waits = False

    def await_stop(self) -> None:
        """Returns when a signal has come, or someone else has set ``stop``."""
        self._waits = True
        self.stop.wait()

    def take(self, _number: int, _frame: object) -> None:
        """The handler. Whoever asks twice does not hurry it: processes would be left behind."""
        if self.stop.is_set():
            return
        self.stop.set()
        if not self._waits:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _signals() -> Generator[_Signals]:
    taken = _Signals()
    with signals.handled(taken.take):
        yield taken
