"""``shallop staging``: the staged deployments of a release, together."""

from __future__ import annotations

from collections.abc import Mapping

import click

from shallop_cloud.cli import bulk, groups, offers, output, parameters, settings, views
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings

_release = click.option(
    "--release",
    type=parameters.key,
    required=True,
    metavar="VERSION",
    help="Whose staging area it is.",
    shell_complete=offers.releases,
)


@click.group(cls=groups.Group)
def staging() -> None:
    """The staging area of a release: what was prepared with --staged and not ordered yet.

    It holds one deployment for each device at most: staging again archives the earlier one.
    """


@staging.command("list", epilog=example("shallop staging list --release 1.4.0"))
@_release
@parameters.selecting
@parameters.paged
@settings.full
def list_(settings: Settings, release: str, labels: Mapping[str, str], paging: Paging) -> None:
    """List staged deployments, and those that drifted and need a review."""
    with settings.api() as api:
        page = api.page(
            "deployments",
            paging=paging,
            release=release,
            status=["staged", "drifted"],
            label=parameters.queried(labels),
        )
    output.show(page, settings.output, views.deployments)


@staging.command(epilog=example("shallop staging deploy --release 1.4.0 --label site=lyon --wait"))
@_release
@parameters.selecting
@parameters.waiting
@settings.full
def deploy(settings: Settings, release: str, labels: Mapping[str, str], wait_for: float | None) -> None:
    """Order every staged deployment of a release whose device has all labels. Drifted ones are refused (6)."""
    with settings.api() as api:
        answer = api.post("releases", release, act="deploy-staged", body={"labels": labels})
        bulk.finish(api, answer, "ordered", settings.output, wait_for)


@staging.command(epilog=example("shallop staging archive --release 1.4.0 --label site=lyon"))
@_release
@parameters.selecting
@settings.full
def archive(settings: Settings, release: str, labels: Mapping[str, str]) -> None:
    """Withdraw every staged or drifted deployment of a release whose device has all labels."""
    with settings.api() as api:
        answer = api.post("releases", release, act="archive-staged", body={"labels": labels})
        bulk.finish(api, answer, "archived", settings.output)
