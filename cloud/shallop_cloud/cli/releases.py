"""``shallop release``: make and look at releases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import groups, output, parameters, problems, settings, views
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json
    from shallop_cloud.configs import ReleaseDraft


@click.group(cls=groups.Group)
def release() -> None:
    """Releases: immutable sets of config schemas under one version."""


@release.command(
    epilog=example(
        "shallop release create -f release.yaml\n  shallop release create --version 1.5.0 schemas/*.schema.json"
    )
)
@click.option(
    "-f", "--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The manifest: release.yaml."
)
@click.option("--version", metavar="VERSION", help="The release's version, where there is no manifest.")
@click.argument("schemas", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1)
@settings.full
def create(settings: Settings, file: Path | None, version: str | None, schemas: tuple[Path, ...]) -> None:
    """Make a release from a manifest and the schema files beside and below it.

    Or from SCHEMAS alone, which say by x-shallop-config-type, x-shallop-path and x-shallop-format what a manifest
    would. It is checked here before anything is sent. The git commit is that of the directory it lies in.
    """
    if file is not None and not schemas and version is None:
        draft, root = _draft(file), file.parent
    elif file is None and schemas and version is not None:
        draft, root = _draft_of_schemas(version, schemas)
    else:
        raise click.UsageError("give a manifest (-f release.yaml), or a --version and schema files")
    named = {path: str(root / path) for each in draft.config_types for path, _ in each.schema.files}
    with settings.api() as api:
        try:
            made = api.post("releases", body=draft.to_json())
        except problems.Problem as problem:
            raise problem.said_of(named) from None
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


def _draft_of_schemas(version: str, schemas: Sequence[Path]) -> tuple[ReleaseDraft, Path]:
    """The release, and the directory that its schema files are named from."""
    from shallop_cloud import configs
    from shallop_cloud.configs.release_files import Directory

    try:
        return configs.read_release_of_schemas(version, schemas), Directory.around(schemas).path
    except configs.Refused as refused:
        raise problems.invalid("these schemas are not a release that can be made", refused.findings) from None
