"""``shallop device``: make and look at devices."""

from __future__ import annotations

import click

from shallop_cloud.cli import output, parameters, settings, views
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings

_name = click.argument("name", type=parameters.key)


@click.group()
def device() -> None:
    """Devices: the robots, what they shall run, and what was last heard of them."""


@device.command(epilog=example("shallop device create amr-07 --label site=lyon --label model=amr2"))
@click.argument("name")
@click.option("--label", "pairs", type=parameters.label, multiple=True, metavar="K=V", help="May be repeated.")
@settings.full
def create(settings: Settings, name: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Make a device, and the one-time token that its robot enrols with."""
    body = {"name": name, "labels": parameters.labels(pairs)}
    with settings.api() as api:
        made = api.post("devices", body=body)
    output.show(made, settings.output, lambda device: views.created_device(device, settings.url))


@device.command("list", epilog=example("shallop device list --label site=lyon"))
@click.option("--label", type=parameters.label, metavar="K=V", help="Only devices with this label.")
@parameters.paged
@settings.full
def list_(settings: Settings, label: tuple[str, str] | None, paging: Paging) -> None:
    """List devices by name."""
    with settings.api() as api:
        page = api.page("devices", paging=paging, label="=".join(label) if label else None)
    output.show(page, settings.output, views.devices)


@device.command(epilog=example("shallop device show amr-07"))
@_name
@settings.full
def show(settings: Settings, name: str) -> None:
    """Show a device, by name or id."""
    with settings.api() as api:
        found = api.get("devices", name)
    output.show(found, settings.output, views.device)


@device.command(epilog=example("shallop device history amr-07 --all"))
@_name
@parameters.paged
@settings.full
def history(settings: Settings, name: str, paging: Paging) -> None:
    """Show what happened to a device and its deployments, oldest first."""
    with settings.api() as api:
        page = api.page("devices", name, "history", paging=paging)
    output.show(page, settings.output, views.history)


@device.command("renew-token", epilog=example("shallop device renew-token amr-07"))
@_name
@settings.full
def renew_token(settings: Settings, name: str) -> None:
    """Make a new enrolment token, for a robot that was lost or set up anew. The earlier one is void."""
    with settings.api() as api:
        renewed = api.post("devices", name, act="renew-token", body={})
    output.show(renewed, settings.output, lambda device: views.created_device(device, settings.url))
