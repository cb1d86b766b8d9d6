"""``shallop deployment``: look at deployments, and decide about them."""

from __future__ import annotations

import click
from shallop_protocol.statuses import Activity, Error

from shallop_cloud.cli import output, parameters, settings, views, wait
from shallop_cloud.cli.parameters import Expectation, Paging, example
from shallop_cloud.cli.settings import Settings

STATUSES = [*(each.value for each in Activity), Error.RETRYING.value, Error.FAILED.value]

_deployment = click.argument("key", type=parameters.key, metavar="DPL")


@click.group()
def deployment() -> None:
    """Deployments: what was sent to a device, and what became of it.

    DPL is a deployment's id or the beginning of it, such as DPL-7K3QF.
    """


@deployment.command("list", epilog=example("shallop deployment list --device amr-07 --status failed"))
@click.option("--device", type=parameters.key, metavar="NAME", help="Only those of this device.")
@click.option("--release", type=parameters.key, metavar="VERSION", help="Only those of this release.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those whose status is this now.")
@parameters.paged
@settings.full
def list_(settings: Settings, device: str | None, release: str | None, status: str | None, paging: Paging) -> None:
    """List deployments, newest first."""
    with settings.api() as api:
        page = api.page("deployments", paging=paging, device=device, release=release, status=status)
    output.show(page, settings.output, views.deployments)


@deployment.command(epilog=example("shallop deployment show DPL-7K3QF"))
@_deployment
@settings.full
def show(settings: Settings, key: str) -> None:
    """Show a deployment, what became of it, and its config instances."""
    with settings.api() as api:
        found = api.get("deployments", key)
    output.show(found, settings.output, views.deployment)


@deployment.command(epilog=example("shallop deployment archive DPL-7K3QF"))
@_deployment
@settings.full
def archive(settings: Settings, key: str) -> None:
    """Withdraw a deployment for ever. If it is in force, the robot is ordered to take everything off."""
    with settings.api() as api:
        archived = api.post("deployments", key, act="archive", body={})
    output.show(archived, settings.output, views.deployment)


@deployment.command(epilog=example("shallop deployment deploy DPL-7K3QF --wait --timeout 60"))
@_deployment
@parameters.waiting
@settings.full
def deploy(settings: Settings, key: str, wait_for: float | None) -> None:
    """Order a staged deployment."""
    with settings.api() as api:
        ordered = api.post("deployments", key, act="deploy", body={})
        if wait_for is None:
            output.show(ordered, settings.output, views.deployment)
        else:
            wait.finish(api, ordered, wait_for, settings.output)


@deployment.command(epilog=example("shallop deployment restage DPL-7K3QF --reviewed DPL-M2W8R"))
@_deployment
@click.option(
    "--reviewed",
    type=parameters.expectation,
    metavar="DPL|none",
    help="What it was reviewed against; refuse (6) if the device is ordered to run something else by now.",
)
@settings.full
def restage(settings: Settings, key: str, reviewed: Expectation | None) -> None:
    """Declare a drifted deployment reviewed, so that it can be ordered again."""
    with settings.api() as api:
        restaged = api.post("deployments", key, act="restage", body=parameters.expected(reviewed))
    output.show(restaged, settings.output, views.deployment)


@deployment.command(epilog=example("shallop deployment history DPL-7K3QF"))
@_deployment
@parameters.paged
@settings.full
def history(settings: Settings, key: str, paging: Paging) -> None:
    """Show what happened to a deployment, oldest first."""
    with settings.api() as api:
        page = api.page("deployments", key, "history", paging=paging)
    output.show(page, settings.output, views.history)
