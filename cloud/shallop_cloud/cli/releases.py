"""``shallop release``: make and look at releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import output, parameters, problems, settings, views
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json
    from shallop_cloud.configs import ReleaseDraft


@click.group()
def release() -> None:
    """Releases: immutable sets of config schemas under one version."""


@release.command(epilog=example("shallop release create -f release.yaml"))
@click.option(
    "-f", "--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, help="The manifest."
)
@settings.full
def create(settings: Settings, file: Path) -> None:
    """Make a release from a manifest and the schema files beside and below it.

    It is checked here before anything is sent. The git commit is that of the directory it lies in.
    """
    draft = _draft(file)
    schemas = {path: str(file.parent / path) for each in draft.config_types for path, _ in each.schema.files}
    with settings.api() as api:
        try:
            made = api.post("releases", body=draft.to_json())
        except problems.Problem as problem:
            raise problem.said_of(schemas) from None
    output.show(made, settings.output, views.release)


@release.command("list", epilog=example("shallop release list -o name"))
@parameters.paged
@settings.full
def list_(settings: Settings, paging: Paging) -> None:
    """List releases, newest first."""
    with settings.api() as api:
        page = api.page("releases", paging=paging)
    output.show(page, settings.output, views.releases)


@release.command(epilog=example("shallop release show 1.4.0"))
@click.argument("version", type=parameters.key)
@settings.full
def show(settings: Settings, version: str) -> None:
    """Show a release, by version or id: its config types, and where their files go on the robot."""
    with settings.api() as api:
        found: Json = api.get("releases", version)
    output.show(found, settings.output, views.release)


def _draft(file: Path) -> ReleaseDraft:
    from shallop_cloud import configs  # jsonschema is slow to load

    try:
        return configs.read_release(file)
    except configs.Refused as refused:
        raise problems.invalid(f"{file} is not a release that can be made", refused.findings) from None
