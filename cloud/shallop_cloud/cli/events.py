"""``shallop events``: what happens, as it happens."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from shallop_cloud.cli import output, parameters, problems, settings, views, words
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json

PAUSE = 1.0
"""Seconds before a server that ended the stream is asked again."""


class Event(NamedTuple):
    """Something that happened: the id to go on behind, and the history entry."""

    id: str
    entry: Json


@click.command(epilog=example("shallop events --device amr-07 -o json"))
@click.option("--device", type=parameters.key, metavar="NAME", help="Only what happens to it.")
@click.option("--deployment", type=parameters.key, metavar="DPL", help="Only what happens to it.")
@click.option("--after", type=click.IntRange(min=0), metavar="ID", help="First what happened after that event.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many.")
@settings.full
def events(
    settings: Settings, device: str | None, deployment: str | None, after: int | None, limit: int | None
) -> None:
    """Print what happens, a line each, until it is interrupted. A connection that is lost is made again.

    With -o json each line is an entry of the history, whose id --after takes.
    """
    with settings.api() as api:
        for event in itertools.islice(_followed(api, after, {"device": device, "deployment": deployment}), limit):
            click.echo(_line(event, settings.output))


def _followed(api: Api, after: int | None, filters: dict[str, str | None]) -> Iterator[Event]:
    """Events without end, each once. Who begins now knows the last one that happened, so that none is missed."""
    seen = str(_newest(api) if after is None else after)
    followed = False
    while True:
        try:
            for event in _parsed(api.lines("events", last_seen=seen, **filters)):
                followed = True
                yield event
                seen = event.id
            why = "the server ended the stream"
        except problems.Unreachable as error:
            if not followed:
                raise
            why = str(error)
        except problems.Problem as problem:
            if not problem.passing:
                raise
            why = str(problem)
        followed = True
        click.echo(f"shallop: {why}; asking again", err=True)
        time.sleep(PAUSE)


def _newest(api: Api) -> int:
    page = api.page("history", paging=Paging(1, None, everything=False))
    return max((each["id"] for each in page["data"]), default=0)


def _parsed(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events, of which the server writes each as one line of data, and an id."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line:
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            entry: Any = json.loads(fields["data"])
            yield Event(fields["id"], entry)
        if not line:
            fields = {}


def _line(event: Event, format: output.Format) -> str:  # noqa: A002
    entry = event.entry
    match format:
        case output.Format.NAME:
            return words.clean(event.id)
        case output.Format.TABLE:
            about = [
                entry["device_id"],
                entry["deployment_id"],
                views.change(entry["before"] or {}, entry["after"] or {}),
            ]
            said = [words.stamp(entry["at"]), entry["actor"], entry["action"], *about]
            return words.clean("  ".join(filter(None, said)))
        case output.Format.JSON | output.Format.YAML:
            return output.line(entry)
