"""``shallop deploy``: config files from here to devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from shallop_cloud.cli import bulk, offers, output, parameters, problems, settings, sources, views, wait, words
from shallop_cloud.cli.parameters import Config, Expectation, example
from shallop_cloud.cli.settings import Settings


@click.command(
    epilog=example(
        "shallop deploy amr-07 --release 1.4.0 --config nav2=params.yaml --wait",
        "shallop deploy --label site=lyon --release 1.4.0 --config map=a.yaml",
    ),
)
@click.argument("names", type=parameters.key, nargs=-1, metavar="[NAME]...", shell_complete=offers.devices)
@parameters.selecting
@click.option(
    "--release",
    type=parameters.key,
    required=True,
    metavar="VERSION",
    help="What the configs belong to.",
    shell_complete=offers.releases,
)
@click.option(
    "--config",
    "configs",
    type=parameters.config,
    multiple=True,
    metavar="TYPE[/SLOT]=FILE",
    help="A config file, sent byte for byte; - is stdin. Once for each config type.",
)
@click.option("--description", default="", metavar="TEXT", help="Why, for those who read it later.")
@click.option("--staged", is_flag=True, help="Only prepare it; `shallop deployment deploy` orders it.")
@parameters.confirming
@parameters.expecting
@parameters.waiting
@settings.full
def deploy(
    settings: Settings,
    names: tuple[str, ...],
    labels: Mapping[str, str],
    release: str,
    configs: tuple[Config, ...],
    description: str,
    staged: bool,
    confirm_s: int | None,
    expected_current: Expectation | None,
    wait_for: float | None,
) -> None:
    """Send config files to devices, by name or id or by their labels, or stage them.

    They are judged against the schemas of the release first; nothing is sent to a robot if one is not valid. What
    is in force now stays in force until the robot has confirmed the new deployment. With several devices each is by
    itself: what one of them is refused for keeps the others from nothing.
    """
    parameters.no_wait_for_staged(staged, wait_for)
    if bool(names) == bool(labels):
        raise click.UsageError("name the devices, or choose them with --label: one of the two")
    one = names[0] if len(names) == 1 else None
    if expected_current is not None and one is None:
        raise click.UsageError("--expected-current is about one device: name just that one")
    body: dict[str, Any] = {
        "release": release,
        "description": description,
        "staged": staged,
        **parameters.confirmed(confirm_s),
        **parameters.expected(expected_current),
    }
    sources.check_once(configs)
    with settings.api() as api:
        try:
            body["configs"] = sources.bodies(api, configs)
            if one is None:
                chosen = {"devices": names} if names else {"labels": labels}
                answer = api.post("deployments", act="batch", body={**body, **chosen})
            else:
                answer = api.post("deployments", body={**body, "device": one})
        except problems.Problem as problem:
            raise problem.said_of(sources.names(configs)) from None
        if one is None:
            bulk.finish(api, answer, "staged" if staged else "ordered", settings.output, wait_for)
        elif wait_for is not None:
            wait.finish(api, answer, wait_for, settings.output)
        else:
            output.show(answer, settings.output, views.deployment)
            if staged:
                short = words.short(answer["id"])
                output.hint(f"to order it: shallop deployment deploy {short} --wait", settings.output)
