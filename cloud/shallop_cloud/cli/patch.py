"""``shallop deployment patch``: a new deployment that differs from another in what is said."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import click

from shallop_cloud.cli import output, parameters, problems, settings, sources, views, wait, words
from shallop_cloud.cli.parameters import Config, Expectation, example
from shallop_cloud.cli.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Setting(parameters.Place):
    """A place, a JSON pointer (RFC 6901) into its file, and the value that shall stand there."""

    pointer: str = ""
    value: Any = None


def setting(text: str) -> Setting:
    """``motion-control:/limits/max_speed=1.5``.

    A value that is not JSON is a text. The first ``=`` ends the pointer.
    """
    where, colon, rest = text.partition(":")
    pointer, sign, value = rest.partition("=")
    if not where or not colon or not sign:
        wanted = "TYPE:/POINTER=VALUE, such as motion-control:/limits/max_speed=1.5"
        raise click.BadParameter(f"{text!r} is not {wanted}")
    if not pointer:
        raise click.BadParameter(f"{text!r} points to the whole file: give a new one with --config TYPE=FILE")
    if not pointer.startswith("/"):
        raise click.BadParameter(f"{pointer!r} is not a JSON pointer; it begins with a slash: {where}:/{pointer}=…")
    if (wrong := _ESCAPE.search(pointer)) is not None:
        raise click.BadParameter(f"{pointer!r} has {wrong[0]!r}; in a JSON pointer ~0 stands for ~ and ~1 for /")
    found = parameters.place(where)
    return Setting(found.config_type, found.slot, pointer, _value(value))


_ESCAPE = re.compile("~(?![01]).?")


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(name)


@click.command(epilog=example("shallop deployment patch DPL-7K3QF --set motion:/max_speed=1.5 --wait"))
@click.argument("key", type=parameters.key, metavar="DPL")
@click.option(
    "--set",
    "set_",
    type=setting,
    multiple=True,
    metavar="TYPE[/SLOT]:/POINTER=VALUE",
    help="A value, as JSON or else as text; comments and layout stay. May be repeated.",
)
@click.option(
    "--config",
    "configs",
    type=parameters.config,
    multiple=True,
    metavar="TYPE[/SLOT]=FILE",
    help="A whole file in place of the one before; - is stdin. May be repeated.",
)
@click.option("--description", default="", metavar="TEXT", help="Why, for those who read it later.")
@click.option("--staged", is_flag=True, help="Only prepare it; `shallop deployment deploy` orders it.")
@parameters.confirming
@parameters.expecting
@parameters.waiting
@settings.full
def patch(
    settings: Settings,
    key: str,
    set_: tuple[Setting, ...],
    configs: tuple[Config, ...],
    description: str,
    staged: bool,
    confirm_s: int | None,
    expected_current: Expectation | None,
    wait_for: float | None,
) -> None:
    """Make and order a new deployment from an earlier one.

    It is for the same device, and the earlier one may be in any state. What is not named stays as it is, byte for
    byte. The earlier one is not changed.
    """
    parameters.no_wait_for_staged(staged, wait_for)
    _check(set_, configs)
    values = [{"config_type": e.config_type, "slot": e.slot, "pointer": e.pointer, "value": e.value} for e in set_]
    body: dict[str, Any] = {
        "set": values,
        "description": description,
        "staged": staged,
        **parameters.confirmed(confirm_s),
        **parameters.expected(expected_current),
    }
    with settings.api() as api:
        try:
            body["configs"] = sources.bodies(api, configs)
            made = api.post("deployments", key, act="patch", body=body)
        except problems.Problem as problem:
            raise problem.said_of(sources.names(configs)) from None
        if wait_for is not None:
            wait.finish(api, made, wait_for, settings.output)
            return
    output.show(made, settings.output, views.deployment)
    before = words.short(made["patched_from"])
    output.hint(f"what it changed: shallop diff {before} {words.short(made['id'])}", settings.output)


def _check(set_: tuple[Setting, ...], configs: tuple[Config, ...]) -> None:
    if not set_ and not configs:
        raise click.UsageError("say what shall change: --set TYPE:/POINTER=VALUE or --config TYPE=FILE")
    sources.check_once(configs)
    if both := {each.place for each in set_} & {each.place for each in configs}:
        raise click.UsageError(f"{min(both)!r} is given by --set and by --config: set the value in the file")
    seen: dict[tuple[str, str], object] = {}
    for each in set_:
        if (each.place, each.pointer) in seen and not each.pointer.endswith("/-"):
            raise click.UsageError(f"{each.place}:{each.pointer} is set twice")
        seen[each.place, each.pointer] = each.value
