"""An answer on stdout, in the form that was asked for."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from shallop_protocol import terminal

from shallop_cloud.cli import words

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json


class Format(enum.Enum):
    """The forms. JSON and YAML show what the API gave, field by field."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


Ids = Callable[["Json"], Iterable[str]]


def ids(value: Json) -> list[str]:
    """The id of an object, or those of a page; what has none, such as a refused item, is left out."""
    return [each["id"] for each in value.get("data", [value]) if each["id"] is not None]


def show(value: Json, format: Format, table: Callable[[Json], None], name: Ids = ids) -> None:  # noqa: A002
    """Prints an object or page of the API. ``table`` prints it for people, ``name`` gives the ids that it is about."""
    match format:
        case Format.TABLE:
            table(value)
        case Format.JSON:
            click.echo(terminal.as_json(value, 2))
        case Format.YAML:
            click.echo(_yaml(value), nl=False)
        case Format.NAME:
            for each in name(value):
                click.echo(words.clean(str(each)))
    if value.get("next_cursor") and format in (Format.TABLE, Format.NAME):
        cursor = words.clean(value["next_cursor"])
        click.echo(f"there is more: --cursor {cursor} shows the next page, --all everything", err=True)


def hint(text: str, format: Format) -> None:  # noqa: A002
    """Says on stderr, to people, what was done or how to go on."""
    if format is Format.TABLE:
        click.echo(words.clean(text), err=True)


def line(value: Json) -> str:
    """An object as one line of JSON, which is YAML too."""
    return terminal.as_json(value)


def _yaml(value: Json) -> str:
    import yaml  # slow to load

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if terminal.UNSAFE.search(text):
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=False)
    return text
