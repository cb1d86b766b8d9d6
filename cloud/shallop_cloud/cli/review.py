"""``shallop deployment review``, ``merge`` and ``restage``: from drifted to deployed, with open eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import changes, exits, output, parameters, settings, tables, views, words
from shallop_cloud.cli.exits import Exit
from shallop_cloud.cli.parameters import Expectation, example
from shallop_cloud.cli.settings import Settings
from shallop_cloud.cli.tables import Cell, state

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json

_deployment = click.argument("key", type=parameters.key, metavar="DPL")


@click.command(epilog=example("shallop deployment review DPL-7K3QF"))
@_deployment
@settings.full
def review(settings: Settings, key: str) -> None:
    """Show what deploying a staged or drifted one would change.

    It is compared with what the device is ordered to run now, after a list of what was ordered since it was staged.
    """
    with settings.api() as api:
        found = api.get("deployments", key, "review")
    output.show(found, settings.output, _review, lambda review: [review["deployment"]["id"]])


@click.command(epilog=example("shallop deployment restage DPL-7K3QF --reviewed DPL-M2W8R"))
@_deployment
@click.option(
    "--reviewed",
    type=parameters.expectation,
    required=True,
    metavar="DPL|none",
    help="What it was reviewed against; refuse (6) if the device is ordered to run something else by now.",
)
@settings.full
def restage(settings: Settings, key: str, reviewed: Expectation) -> None:
    """Declare a drifted deployment reviewed: it is staged again.

    `shallop deployment review` says what it is held against now; nothing newer can slip past.
    """
    with settings.api() as api:
        restaged = api.post("deployments", key, act="restage", body={"reviewed": reviewed.deployment})
    output.show(restaged, settings.output, views.deployment)
    output.hint(f"to order it: shallop deployment deploy {words.short(restaged['id'])} --wait", settings.output)


@click.command(epilog=example("shallop deployment merge DPL-7K3QF --accept"))
@_deployment
@click.option("--accept", is_flag=True, help="Stage the result, if nothing conflicts; the drifted one is archived.")
@click.option("--description", metavar="TEXT", help="Why, for those who read it later.")
@settings.full
def merge(settings: Settings, key: str, accept: bool, description: str | None) -> None:
    """Bring what was deployed since into a drifted one.

    Values that only one side changed are taken from it; its own comments and layout stay. Without --accept nothing
    happens: the result is shown, and 6 says that it has conflicts. With --accept the very result that is shown is
    staged as a new deployment, unless the device was ordered to run something else in the meantime (6).
    """
    if description is not None and not accept:
        raise click.UsageError("--description belongs to --accept: without it, nothing is made")
    with settings.api() as api:
        proposal = api.get("deployments", key, "merge")
        if not accept or not proposal["clean"] or proposal["findings"]:
            output.show(proposal, settings.output, lambda merge: _merge(merge, key), lambda merge: [merge["staged"]])
            _refuse(proposal, key)
            return
        body = {"reviewed": proposal["current"], **({"description": description} if description else {})}
        made = api.post("deployments", key, act="merge", body=body)
    output.show(made, settings.output, views.deployment)
    output.hint(f"to see it: shallop deployment review {words.short(made['id'])}", settings.output)


def _refuse(proposal: Json, key: str) -> None:
    """Ends the command for what stands in the way of accepting the proposal."""
    if proposal["clean"] and not proposal["findings"]:
        return
    code, what, decide = Exit.INVALID, "the merged files would not be valid", "TYPE:/POINTER"
    if not proposal["clean"]:
        disputed = [(each, conflict) for each in proposal["files"] for conflict in each["conflicts"]]
        code, what = Exit.CONFLICT, words.counted(max(1, len(disputed)), "conflict")
        if disputed and disputed[0][1]["pointer"]:
            decide = f"{views.place(disputed[0][0])}:{disputed[0][1]['pointer']}"
    command = f"shallop deployment patch {key} --set {decide}=VALUE --staged"
    raise exits.Failure(code, f"{what}; nothing was made: stage what you decide on with `{command}`")


def _review(review: Json) -> None:
    deployment = review["deployment"]
    now, short = words.now(), words.short(deployment["id"])
    device = deployment["device_name"]
    tables.say(Cell(short, "bold"), f" for {device}, release {deployment['release']}: ", state(deployment["status"]))
    tables.say(f"staged by {deployment['created_by']} {words.ago(deployment['created_at'], now)}", _because(deployment))
    tables.say()
    if review["since"]:
        tables.say(f"Ordered for {device} since:")
        for each in review["since"]:
            who = f"  {words.short(each['id'])}  by {each['created_by']} {words.ago(each['created_at'], now)}, "
            tables.say(who, state(each["status"]), _because(each))
    else:
        tables.say(f"Nothing else was ordered for {device} since.")
    tables.say()
    current = words.short(review["current"])
    against = f"Beside {current}, which is ordered now" if current else "Nothing is ordered now"
    tables.say(f"{against}: {changes.summary(review['files'])}.")
    changes.files(review["files"])
    tables.say()
    tables.say("Go on with one of:")
    for line in _ways(deployment, review["current"]):
        tables.say(f"  {line}")


def _because(deployment: Json) -> str:
    purpose = views.purpose(deployment)
    return f": {purpose}" if purpose else ""


def _ways(deployment: Json, current: str | None) -> list[str]:
    short, act = words.short(deployment["id"]), "shallop deployment"
    edit = [f"{act} patch {short} --set TYPE:/POINTER=VALUE --staged", f"{act} archive {short}"]
    match deployment["status"]:
        case "drifted":
            reviewed = words.short(current) or "none"
            return [f"{act} restage {short} --reviewed {reviewed}", f"{act} merge {short}", *edit]
        case "staged":
            return [f"{act} deploy {short} --wait", *edit]
        case _:
            return [f"{act} show {short}"]


def _merge(merge: Json, key: str) -> None:
    base = words.short(merge["base"]) or "nothing"
    current = words.short(merge["current"]) or "nothing"
    tables.say(f"{words.short(merge['staged'])} was staged beside {base}; {current} is ordered now.")
    tables.say()
    for each in merge["files"]:
        kind = each["kind"]
        tables.say(state(kind.ljust(9)), f"  {each['path']}  ({views.place(each)})  ", Cell(_MEANING[kind], "dim"))
        for conflict in each["conflicts"]:
            place = f"  ({each['path']}:{conflict['line']}:{conflict['column']})" if conflict["line"] else ""
            tables.say("  ", f"{conflict['pointer'] or 'the whole file'}: {conflict['message']}", Cell(place, "dim"))
            for side in ("base", "current", "staged"):
                tables.say(f"    {side:8} {changes.value(conflict[side])}")
    for finding in merge["findings"]:
        where = f"{finding['source']}:{finding['line']}:{finding['column']} {finding['pointer']}"
        tables.say(Cell("invalid", "bold red"), f"  {where}: {finding['message']}")
    if merge["clean"] and not merge["findings"]:
        tables.say()
        tables.say(f"To stage this result: shallop deployment merge {key} --accept")


_MEANING = {
    "unchanged": "as it is",
    "ours": "as it was staged",
    "theirs": "as it is ordered now",
    "merged": "from both",
    "conflict": "both changed it",
}
