"""``shallop bench record`` and ``replay``: what crosses a broker, kept, and said again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from shallop_protocol.topics import DEFAULT_ROOT, Kind, TopicError, Topics

from shallop_cloud.cli import bench_door, parameters, signals

if TYPE_CHECKING:
    from shallop_cloud.link.connection import BrokerUrl, Protocol

Command = Callable[..., None]


def _broker_options(command: Command) -> Command:
    for option in (
        click.option("--topic-root", default=DEFAULT_ROOT, show_default=True, help="The root of all topics."),
        click.option(
            "--broker-protocol",
            type=click.Choice(["3.1.1", "5"]),
            default="3.1.1",
            show_default=True,
            help="Which MQTT the broker of --broker speaks.",
        ),
        click.option(
            "--broker",
            metavar="URL",
            help="Another broker: mqtt://user:password@host:port, with an account that may read and write everything.",
        ),
        bench_door.directory_option,
    ):
        command = option(command)
    return command


@click.command(epilog=parameters.example("shallop bench record traffic.jsonl --seconds 10"))
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=False))
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="How long [default: until Ctrl-C].")
@click.option("--count", type=click.IntRange(min=1), help="Until there are so many.")
@_broker_options
def record(
    file: IO[str],
    seconds: float | None,
    count: int | None,
    directory: Path | None,
    broker: str | None,
    broker_protocol: Protocol,
    topic_root: str,
) -> None:
    """Write all that crosses a broker to FILE, one JSON object a line; - is stdout.

    What the broker has retained comes first. The file holds configuration as it travels: whoever can read it can read
    that.
    """
    topics = _topics(topic_root)
    with signals.stopping() as stop, bench_door.errors_as_exits():
        from shallop_cloud.bench.fleet import recording

        end = time.monotonic() + seconds if seconds else float("inf")

        def goes_on(known: int) -> bool:
            return not stop.is_set() and time.monotonic() < end and (count is None or known < count)

        where, protocol = _which(broker, broker_protocol, directory)
        recorded = recording.record(where, protocol, topics, file, goes_on)
    click.echo(f"{recorded} messages recorded", err=True)


@click.command(epilog=parameters.example("shallop bench replay traffic.jsonl --speed 10 --only desired"))
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="X",
    help="So many times as fast as it was.",
)
@click.option(
    "--only",
    type=click.Choice([Kind.DESIRED.value, Kind.REPORT.value, Kind.PRESENCE.value]),
    multiple=True,
    help="Only messages of this kind; may be given again.",
)
@_broker_options
def replay(
    file: IO[str],
    speed: float,
    only: tuple[str, ...],
    directory: Path | None,
    broker: str | None,
    broker_protocol: Protocol,
    topic_root: str,
) -> None:
    """Publish again what `shallop bench record` wrote to FILE; - is stdin.

    The fleet that it was recorded of stays as it is: every message of it is known to be old.
    """
    topics = _topics(topic_root)
    with signals.stopping() as stop, bench_door.errors_as_exits():
        from shallop_cloud.bench.fleet import recording

        messages = recording.only(recording.read(file), topics, frozenset(map(Kind, only)))
        where, protocol = _which(broker, broker_protocol, directory)
        published = recording.replay(where, protocol, topics, messages, speed, lambda: not stop.is_set())
    click.echo(f"{published} messages published", err=True)


def _topics(root: str) -> Topics:
    try:
        return Topics(root)
    except TopicError as error:
        raise click.UsageError(str(error)) from None


def _which(url: str | None, protocol: Protocol, directory: Path | None) -> tuple[BrokerUrl, Protocol]:
    """The broker that was named, or a running bench's with the cloud's account."""
    from shallop_cloud import errors
    from shallop_cloud.link.connection import BrokerUrl  # slow to load, and no --help needs it

    if url is None:
        account = bench_door.ask(directory, {"do": "account"})
        spoken: Protocol = account.pop("protocol")
        return BrokerUrl(**account), spoken
    if directory:
        raise click.UsageError("name the broker by --broker or by a bench's --directory: one of the two")
    try:
        return BrokerUrl.parse(url), protocol
    except errors.StartupError as error:
        raise click.UsageError(f"--broker: {error}") from None
