"""``shallop diff``: two sets of configuration side by side, wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import changes, diff_files, exits, offers, output, parameters, settings, tables, words
from shallop_cloud.cli.diff_files import Side
from shallop_cloud.cli.exits import Exit
from shallop_cloud.cli.parameters import Place, example
from shallop_cloud.cli.settings import Settings
from shallop_cloud.cli.tables import Cell

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json


@click.command(
    epilog=example(
        "shallop diff DPL-7K3QF DPL-M2W8R",
        "shallop diff device:amr-07 device:amr-08 --exit-code",
        "shallop diff device:amr-07 motion.yaml --type motion-control",
    ),
)
@click.argument("before", type=diff_files.side, metavar="A", shell_complete=offers.deployments())
@click.argument("after", type=diff_files.side, metavar="B", shell_complete=offers.deployments())
@click.option(
    "--type",
    "place",
    type=parameters.place,
    metavar="TYPE[/SLOT]",
    help="What a file on this machine is; the other side's file of this type stands beside it.",
)
@click.option(
    "--release",
    type=parameters.key,
    metavar="VERSION",
    help="Whose config type it is.  [default: that of the other side]",
    shell_complete=offers.releases,
)
@click.option("--exit-code", is_flag=True, help="End with 3 if anything differs, be it comments or layout only.")
@settings.full
def diff(
    settings: Settings, before: Side, after: Side, place: Place | None, release: str | None, exit_code: bool
) -> None:
    """Show what changes from A to B, value by value.

    A and B are deployments (DPL-...), devices (device:NAME means what it is ordered to run) or files on this machine;
    - is stdin.
    """
    local = [each for each in (before, after) if each.file is not None]
    if local and place is None:
        raise click.UsageError(f"say what {local[0].shown} is: --type TYPE, one of its release's config types")
    if not local and (place is not None or release is not None):
        raise click.UsageError("--type and --release are about files on this machine; neither A nor B is one")
    if [each.file for each in local] == ["-", "-"]:
        raise click.UsageError("stdin (-) can be read for one side only")
    with settings.api() as api:
        if place is None:
            found = api.get("diff", query={"before": before.reference, "after": after.reference})
        else:
            found = diff_files.compared(api, before, after, place, release)
    names = {place.place: (after if after.file else before).shown} if place else {}
    output.show(found, settings.output, lambda diff: _diff(diff, before, after, names), _instances)
    if exit_code and not found["same"]:
        raise exits.Failure(Exit.DIFFERENCES, f"{before.shown} and {after.shown} differ")


def _diff(diff: Json, before: Side, after: Side, names: dict[str, str]) -> None:
    tables.say(Cell("--- ", "red"), _title(diff["before"], before))
    tables.say(Cell("+++ ", "green"), _title(diff["after"], after))
    changes.files(diff["files"], names)
    tables.say()
    tables.say(changes.summary(diff["files"]))


def _title(about: Json, side: Side) -> str:
    if not about["deployment"]:
        return side.shown
    return f"{words.short(about['deployment'])} for {about['device_name']}, release {about['release']}"


def _instances(diff: Json) -> list[str]:
    """The ids of the config instances that differ, the later ones if there are."""
    found = [each["after"] or each["before"] for each in diff["files"] if each["kind"] != "same"]
    return [each["instance"] for each in found if each["instance"]]
