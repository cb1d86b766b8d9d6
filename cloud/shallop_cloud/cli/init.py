"""``shallop init``: an example project to begin with."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

import click

from shallop_cloud.cli import exits
from shallop_cloud.cli.parameters import example

_RENAMED = {"gitignore": ".gitignore"}
"""Under its own name it would take effect here."""


@click.command(epilog=example("shallop init my-robots"))
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
def init(directory: Path) -> None:
    """Make an example project in DIR, or here: a release, its schemas and configs, and what to do with them.

    Nothing that exists is ever overwritten.
    """
    contents = {directory / name: content for name, content in _files()}
    for path in contents:
        if path.exists() or path.is_symlink():
            words = f"{path} exists already, and nothing was written; choose another directory: shallop init my-robots"
            raise exits.Failure(exits.Exit.CONFLICT, words)
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
        except OSError as error:
            words = f"{path} cannot be written: {error.strerror}; choose another directory, or make this one writable"
            raise exits.Failure(exits.Exit.FAILED, words) from None
        click.echo(f"made {path}")
    click.echo(f"\nCheck it:         shallop validate {directory}")
    click.echo(f"How to go on:     {directory / 'README.md'}")


def _files() -> Iterator[tuple[PurePosixPath, bytes]]:
    """The example's files by their path in it."""
    yield from _below(importlib.resources.files("shallop_cloud.cli") / "project", PurePosixPath())


def _below(directory: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, bytes]]:
    for each in sorted(directory.iterdir(), key=lambda each: (each.is_dir(), each.name)):
        if each.is_dir():
            yield from _below(each, path / each.name)
        else:
            yield path / _RENAMED.get(each.name, each.name), each.read_bytes()
