"""``shallop rollback``: a device back to what it had in force before."""

from __future__ import annotations

import click

from shallop_cloud.cli import offers, output, parameters, settings, views, wait, words
from shallop_cloud.cli.parameters import Expectation, example
from shallop_cloud.cli.settings import Settings


@click.command(epilog=example("shallop rollback amr-07 --wait"))
@click.argument("name", type=parameters.key, shell_complete=offers.devices)
@click.option(
    "--to",
    type=parameters.key,
    metavar="DPL",
    help="Whose content, of all that were ever in force on the device.",
    shell_complete=offers.deployments(),
)
@click.option("--description", default="", metavar="TEXT", help="Why, for those who read it later.")
@click.option("--staged", is_flag=True, help="Only prepare it; `shallop deployment deploy` orders it.")
@parameters.confirming
@parameters.expecting
@parameters.waiting
@settings.full
def rollback(
    settings: Settings,
    name: str,
    to: str | None,
    description: str,
    staged: bool,
    confirm_s: int | None,
    expected_current: Expectation | None,
    wait_for: float | None,
) -> None:
    """Order again what a device had in force before, as a new deployment with the very same files.

    Without --to it goes back by one: to what was confirmed in force before the present one. Doing so again goes
    further back, never forward to what was just left.
    """
    parameters.no_wait_for_staged(staged, wait_for)
    body = {
        "staged": staged,
        "description": description,
        **parameters.confirmed(confirm_s),
        **parameters.expected(expected_current),
    }
    if to is not None:
        body["to"] = to
    with settings.api() as api:
        made = api.post("devices", name, act="rollback", body=body)
        source = words.short(made["restores"])
        output.hint(f"{words.short(made['id'])} has the files of {source}", settings.output)
        if wait_for is not None:
            wait.finish(api, made, wait_for, settings.output)
        else:
            output.show(made, settings.output, views.deployment)
