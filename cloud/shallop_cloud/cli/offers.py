"""What a shell is offered to complete: names, versions and ids that the server knows, if it answers at once.

Nobody waits for a completion, and none may print an error into the line that is being typed: no answer is no offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from shallop_cloud.cli import exits, output, settings, words
from shallop_cloud.cli.parameters import Paging

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from shallop_cloud.cli.client import Asked, Json

WITHIN = 0.5
"""Seconds that the server has."""

MOST = 100

Offer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def devices(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of devices."""
    return _fitting(typed, ((each["name"], words.labels(each["labels"])) for each in _asked(ctx, "devices")))


def releases(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Versions, newest first."""
    return _fitting(typed, ((each["version"], "") for each in _asked(ctx, "releases")))


def deployments(*statuses: str) -> Offer:
    """Ids of deployments, newest first; of these statuses only, if any are given."""

    def offered(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        found = _asked(ctx, "deployments", status=statuses)
        return _fitting(typed.upper(), ((each["id"], f"{each['device_name']} {each['status']}") for each in found))

    return offered


def _fitting(typed: str, known: Iterator[tuple[str, str]]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(words.clean(name), help=words.clean(note)) for name, note in known if name.startswith(typed)]


def _asked(ctx: click.Context, *path: str, **filters: Asked) -> Iterator[Json]:
    """A page of the list, or nothing, whatever the reason."""
    given: dict[str, Any] = ctx.find_root().params
    told = settings.Settings(given.get("url"), given.get("token"), output.Format.JSON)
    paging = Paging(MOST, None, everything=False)
    try:
        with told.api() as api:
            yield from api.page(*path, paging=paging, within=WITHIN, **filters)["data"]
    except (exits.Failure, click.ClickException):
        return
