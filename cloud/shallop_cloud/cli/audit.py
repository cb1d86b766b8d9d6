"""``shallop audit``: who did what, and whether the record of it is whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import exits, groups, offers, output, parameters, settings, tables, views, words
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings
from shallop_cloud.cli.tables import Cell

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json


KEEP = "write the head down elsewhere; given as --head, it proves the next time that nothing up to here was changed"


@click.group(cls=groups.Group)
def audit() -> None:
    """The history of everything: who did what, when, and proof that nobody changed it since."""


@audit.command("list", epilog=example("shallop audit list --actor admin --since 7d"))
@click.option("--device", type=parameters.key, metavar="NAME", help="Only about it.", shell_complete=offers.devices)
@click.option(
    "--deployment", type=parameters.key, metavar="DPL", help="Only about it.", shell_complete=offers.deployments()
)
@click.option("--actor", metavar="NAME", help="Only what this holder of a token did; device: what robots said.")
@click.option("--action", metavar="WORD", help="Only what is called this, such as archived.")
@click.option("--since", type=parameters.since, metavar="AGE|TIME", help="Only what happened since, such as 2h or 7d.")
@parameters.paged
@settings.full
def list_(
    settings: Settings,
    device: str | None,
    deployment: str | None,
    actor: str | None,
    action: str | None,
    since: str | None,
    paging: Paging,
) -> None:
    """List what happened, newest first."""
    with settings.api() as api:
        page = api.page(
            "history",
            paging=paging,
            device=device,
            deployment=deployment,
            actor=actor,
            action=action,
            since=since,
        )
    output.show(page, settings.output, views.audit)


@audit.command(epilog=example("shallop audit verify --head $(cat head.txt)"))
@click.option("--head", metavar="HASH", help="What an earlier run ended with; it must be in the chain still.")
@settings.full
def verify(settings: Settings, head: str | None) -> None:
    """Compute the chain of hashes over the whole history anew. Ends with 3 if it is not whole.

    Each entry is sealed with a hash over itself and the one before it. Whoever changes, removes or inserts an entry
    behind the server's back breaks the chain, unless all later hashes are made anew: then the head differs from the one
    that you wrote down. So keep the head that this prints somewhere else, and give it as --head the next time.
    """
    if head is not None and not re.fullmatch("[0-9a-fA-F]{64}", head.strip()):
        raise click.UsageError(f"{head!r} is not a head: it has 64 hexadecimal digits")
    with settings.api() as api:
        verdict = api.get("history", act="verify", query={"head": head.strip().lower() if head else None})
    output.show(verdict, settings.output, lambda verdict: _verdict(verdict, head), lambda verdict: [verdict["head"]])
    if verdict["whole"]:
        output.hint(KEEP, settings.output)
    else:
        raise exits.Failure(exits.Exit.DIFFERENCES, f"the history is not whole: {verdict['reason']}")


def _verdict(verdict: Json, head: str | None) -> None:
    entries = words.counted(verdict["entries"], "entry", "entries")
    if not verdict["whole"]:
        end = f", then entry {verdict['broken_at']} does not follow" if verdict["broken_at"] else ""
        tables.say(Cell("not whole", "bold red"), f": {entries} hold together{end}")
        return
    since = ", and the head that you gave is among them" if head else ""
    tables.say(Cell("whole", "green"), f": {entries} follow from one another{since}")
    tables.say(f"head: {verdict['head']}")
