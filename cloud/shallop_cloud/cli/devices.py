"""``shallop device``: make, look at, rename, label and put away devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import groups, offers, output, parameters, settings, views
from shallop_cloud.cli.parameters import Paging, Term, example
from shallop_cloud.cli.settings import Settings

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json

CONNECTIVITY = ["online", "silent", "offline", "never"]

_name = click.argument("name", type=parameters.key, shell_complete=offers.devices)


@click.group(cls=groups.Group)
def device() -> None:
    """Devices: the robots, what they shall run, and what was last heard of them."""


@device.command(epilog=example("shallop device create amr-07 --label site=lyon --label model=amr2"))
@click.argument("name")
@click.option("--label", "pairs", type=parameters.label, multiple=True, metavar="K=V", help="May be repeated.")
@parameters.confirming
@settings.full
def create(settings: Settings, name: str, pairs: tuple[tuple[str, str], ...], confirm_s: int | None) -> None:
    """Make a device, and the one-time token that its robot enrols with."""
    body = {"name": name, "labels": parameters.labels(pairs), **parameters.confirmed(confirm_s)}
    with settings.api() as api:
        made = api.post("devices", body=body)
    output.show(made, settings.output, lambda device: views.created_device(device, settings.url))


@device.command("list", epilog=example("shallop device list --label site=lyon --connectivity offline"))
@parameters.selecting
@click.option(
    "--connectivity",
    type=click.Choice(CONNECTIVITY),
    help="Only those; silent: connected, but not heard for two and a half hours; never: not enrolled yet.",
)
@click.option("--in-sync/--not-in-sync", default=None, help="Only those that have (not) answered the newest order.")
@click.option("--lagging/--not-lagging", default=None, help="Only those that orders do not (or do) get through to.")
@click.option(
    "--archived",
    type=click.Choice(["false", "true", "any"]),
    default="false",
    show_default=True,
    help="Whether archived devices are shown.",
)
@parameters.paged
@settings.full
def list_(
    settings: Settings,
    labels: Mapping[str, str],
    connectivity: str | None,
    in_sync: bool | None,
    lagging: bool | None,
    archived: str,
    paging: Paging,
) -> None:
    """List devices by name."""
    with settings.api() as api:
        page = api.page(
            "devices",
            paging=paging,
            label=parameters.queried(labels),
            connectivity=connectivity,
            in_sync=None if in_sync is None else str(in_sync).lower(),
            lagging=None if lagging is None else str(lagging).lower(),
            archived=None if archived == "false" else archived,
        )
    output.show(page, settings.output, views.devices)


@device.command(epilog=example("shallop device show amr-07"))
@_name
@settings.full
def show(settings: Settings, name: str) -> None:
    """Show a device, by name or id."""
    with settings.api() as api:
        found = api.get("devices", name)
    output.show(found, settings.output, views.device)


@device.command(epilog=example("shallop device label amr-07 site=lyon old-"))
@_name
@click.argument("changes", type=parameters.label_change, nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@settings.full
def label(settings: Settings, name: str, changes: tuple[tuple[str, str | None], ...]) -> None:
    """Give a device labels, and with KEY- take them from it. The others stay."""

    def relabelled(device: Json) -> dict[str, dict[str, str]]:
        labels = {**device["labels"], **dict(changes)}
        return {"labels": {key: value for key, value in labels.items() if value is not None}}

    with settings.api() as api:
        changed = api.change("devices", name, by=relabelled)
    output.show(changed, settings.output, views.device)


@device.command("set", epilog=example("shallop device set amr-07 --confirm-within 2m"))
@_name
@click.option(
    "--confirm-within",
    "term",
    type=parameters.term_or_none,
    required=True,
    metavar="TIME|none",
    help="Its robot undoes a deployment unless the cloud answers within so long, such as 2m.",
)
@settings.full
def set_(settings: Settings, name: str, term: Term) -> None:
    """Set how a device takes deployments.

    It counts for deployments that say nothing of it themselves, and from the next order on.
    """
    with settings.api() as api:
        changed = api.change("devices", name, by=lambda _: {"confirm_s": term.seconds})
    output.show(changed, settings.output, views.device)


@device.command(epilog=example("shallop device rename amr-07 amr-7b"))
@_name
@click.argument("new", metavar="NEW")
@settings.full
def rename(settings: Settings, name: str, new: str) -> None:
    """Give a device another name. Its id and everything about it stay."""
    former: list[str] = []

    def renamed(device: Json) -> dict[str, str]:
        former.append(device["name"])
        return {"name": new}

    with settings.api() as api:
        device = api.change("devices", name, by=renamed)
    output.show(device, settings.output, views.device)
    output.hint(f"it was {former[0]}; to undo: shallop device rename {device['name']} {former[0]}", settings.output)


@device.command(epilog=example("shallop device archive amr-07"))
@_name
@settings.full
def archive(settings: Settings, name: str) -> None:
    """Put a device away that is out of service.

    No list shows it, and nothing can be deployed to it. What waits for it is archived, and its enrolment token is void.
    What its robot runs, it goes on running, and it can still connect: to keep it out, revoke it.
    """
    with settings.api() as api:
        archived = api.post("devices", name, act="archive", body={})
    output.show(archived, settings.output, views.device)
    output.hint(f"put away; to undo: shallop device restore {archived['name']}", settings.output)


@device.command(epilog=example("shallop device restore amr-07"))
@_name
@settings.full
def restore(settings: Settings, name: str) -> None:
    """Bring an archived device back."""
    with settings.api() as api:
        restored = api.post("devices", name, act="restore", body={})
    output.show(restored, settings.output, views.device)


@device.command(epilog=example("shallop device history amr-07 --all"))
@_name
@parameters.paged
@settings.full
def history(settings: Settings, name: str, paging: Paging) -> None:
    """Show what happened to a device, oldest first."""
    with settings.api() as api:
        page = api.page("devices", name, "history", paging=paging)
    output.show(page, settings.output, views.history)


@device.command("renew-token", epilog=example("shallop device renew-token amr-07"))
@_name
@settings.full
def renew_token(settings: Settings, name: str) -> None:
    """Make a new enrolment token; the earlier one is void.

    For a robot that was lost, set up anew or revoked. Until it is used, the robot that is enrolled stays so.
    """
    with settings.api() as api:
        renewed = api.post("devices", name, act="renew-token", body={})
    output.show(renewed, settings.output, lambda device: views.created_device(device, settings.url))


@device.command(epilog=example("shallop device revoke amr-07"))
@_name
@settings.full
def revoke(settings: Settings, name: str) -> None:
    """Take every credential from a device, for a robot that was stolen or sold.

    Its token, MQTT password and certificate are void, and the broker forgets what it keeps of it. What it says is
    passed over until it is enrolled anew. What its robot runs, it goes on running.
    """
    with settings.api() as api:
        revoked = api.post("devices", name, act="revoke", body={})
    output.show(revoked, settings.output, views.device)
    output.hint(f"to enrol it anew: shallop device renew-token {revoked['name']}", settings.output)
