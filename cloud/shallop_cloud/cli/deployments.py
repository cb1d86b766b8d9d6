"""``shallop deployment``: look at deployments, and decide about them."""

from __future__ import annotations

from collections.abc import Mapping

import click
from shallop_protocol.statuses import Activity, Error

from shallop_cloud.cli import bulk, groups, offers, output, parameters, patch, review, settings, views, wait, words
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings

STATUSES = [*(each.value for each in Activity), Error.RETRYING.value, Error.FAILED.value]

_deployment = click.argument("key", type=parameters.key, metavar="DPL", shell_complete=offers.deployments())


@click.group(cls=groups.Group)
def deployment() -> None:
    """Deployments: what was sent to a device, and what became of it.

    DPL is a deployment's id or the beginning of it, such as DPL-7K3QF.
    """


@deployment.command("list", epilog=example("shallop deployment list --device amr-07 --status failed --since 2h"))
@click.option("--device", type=parameters.key, metavar="NAME", help="Only those of it.", shell_complete=offers.devices)
@click.option(
    "--release", type=parameters.key, metavar="VERSION", help="Only those of it.", shell_complete=offers.releases
)
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; may be repeated.")
@click.option("--since", type=parameters.since, metavar="AGE|TIME", help="Only those made since, such as 2h or 7d.")
@parameters.selecting
@parameters.paged
@settings.full
def list_(
    settings: Settings,
    device: str | None,
    release: str | None,
    status: tuple[str, ...],
    since: str | None,
    labels: Mapping[str, str],
    paging: Paging,
) -> None:
    """List deployments, newest first."""
    with settings.api() as api:
        page = api.page(
            "deployments",
            paging=paging,
            device=device,
            release=release,
            status=status,
            since=since,
            label=parameters.queried(labels),
        )
    output.show(page, settings.output, views.deployments)


@deployment.command(epilog=example("shallop deployment show DPL-7K3QF"))
@_deployment
@settings.full
def show(settings: Settings, key: str) -> None:
    """Show a deployment, what became of it, and its config instances."""
    with settings.api() as api:
        found = api.get("deployments", key)
    output.show(found, settings.output, views.deployment)


deployment.add_command(review.review)


@deployment.command(epilog=example("shallop deployment deploy DPL-7K3QF --wait --timeout 60"))
@click.argument(
    "keys", type=parameters.key, nargs=-1, required=True, metavar="DPL...", shell_complete=offers.deployments("staged")
)
@parameters.waiting
@settings.full
def deploy(settings: Settings, keys: tuple[str, ...], wait_for: float | None) -> None:
    """Order staged deployments. With several, each is by itself."""
    with settings.api() as api:
        first, *others = keys
        if others:
            answer = api.post("deployments", act="deploy", body={"deployments": keys})
            bulk.finish(api, answer, "ordered", settings.output, wait_for)
            return
        ordered = api.post("deployments", first, act="deploy", body={})
        if wait_for is None:
            output.show(ordered, settings.output, views.deployment)
        else:
            wait.finish(api, ordered, wait_for, settings.output)


@deployment.command(epilog=example("shallop deployment archive DPL-7K3QF"))
@click.argument(
    "keys", type=parameters.key, nargs=-1, required=True, metavar="DPL...", shell_complete=offers.deployments()
)
@settings.full
def archive(settings: Settings, keys: tuple[str, ...]) -> None:
    """Withdraw deployments for ever. If one is in force, its robot is ordered to take everything off."""
    with settings.api() as api:
        first, *others = keys
        if others:
            answer = api.post("deployments", act="archive", body={"deployments": keys})
            bulk.finish(api, answer, "archived", settings.output)
            return
        archived = api.post("deployments", first, act="archive", body={})
    output.show(archived, settings.output, views.deployment)
    if archived["deployed_at"]:
        back = f"shallop rollback {archived['device_name']} --to {words.short(archived['id'])}"
        output.hint(f"withdrawn; to have its content again: {back}", settings.output)
    else:
        output.hint("withdrawn; its files stay, see shallop config cat --help", settings.output)


deployment.add_command(review.restage)
deployment.add_command(review.merge)
deployment.add_command(patch.patch)


@deployment.command(epilog=example("shallop deployment history DPL-7K3QF"))
@_deployment
@parameters.paged
@settings.full
def history(settings: Settings, key: str, paging: Paging) -> None:
    """Show what happened to a deployment, oldest first."""
    with settings.api() as api:
        page = api.page("deployments", key, "history", paging=paging)
    output.show(page, settings.output, views.history)
