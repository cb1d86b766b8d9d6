"""``shallop why``: what a device does not run, and what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import offers, output, parameters, settings, tables, views, words
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.settings import Settings
from shallop_cloud.cli.tables import Cell, state

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json


@click.command(epilog=example("shallop why amr-07"))
@click.argument("name", type=parameters.key, shell_complete=offers.devices)
@settings.full
def why(settings: Settings, name: str) -> None:
    """Say why a device does not run what it shall run, what it waits for, and what would help."""
    with settings.api() as api:
        found = api.get("devices", name, "why")
    output.show(found, settings.output, _why, lambda why: [why["device"]["id"]])


def _why(why: Json) -> None:
    now, device, known = words.now(), why["device"], why["known"]
    verdict = why["verdict"].replace("_", " ")
    tables.say(Cell(device["name"], "bold"), ": ", state(verdict))
    tables.say_all(why["text"])
    tables.say()
    heard = words.age(device["last_heard_age_s"])
    desired = words.short(why["desired"])
    tables.fields(
        [
            ("shall run", f"{desired} ({why['desired_status']})" if desired else "nothing"),
            ("last known", _known(known) if known else "never heard"),
            ("link", f"{views.link(device)}{f', last heard {heard}' if heard else ''}"),
        ]
    )
    if why["waits_for"]:
        tables.say()
        tables.say("It waits:")
        for each in why["waits_for"]:
            tables.say("  ", state(each["code"].replace("_", " ")))
            tables.say_all(each["text"], indent=4)
            times = [f"since {words.stamp(each['since'])}, {words.ago(each['since'], now)}"] if each["since"] else []
            if each["next_at"]:
                later = words.instant(each["next_at"]) > now
                if each["code"] in _HELD_BACK:
                    times.append(f"until {words.until(each['next_at'], now)}")
                else:
                    times.append(f"again at {words.until(each['next_at'], now)}" if later else "again about now")
            for line in times:
                tables.say("    ", Cell(line, "dim"))
    if why["commands"]:
        tables.say()
        tables.say("What would help:")
        for command in why["commands"]:
            tables.say(f"  {command}")


_HELD_BACK = ("held", "on_trial")
"""Codes of waits that end by themselves at a time, and are not tried again then."""


def _known(known: Json) -> str:
    current = f"{words.short(known['current'])} ({known['status']})" if known["current"] else "nothing"
    return f"{current}, {words.age(known['age_s'])}"
