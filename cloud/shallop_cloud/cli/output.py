"""An answer on stdout, in the form that was asked for."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import words

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json


class Format(enum.Enum):
    """The forms. JSON and YAML show what the API gave, field by field."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def show(value: Json, format: Format, table: Callable[[Json], None]) -> None:  # noqa: A002
    """Prints an object or page of the API. ``table`` prints it for people."""
    match format:
        case Format.TABLE:
            table(value)
        case Format.JSON:
            click.echo(_json(value))
        case Format.YAML:
            click.echo(_yaml(value), nl=False)
        case Format.NAME:
            for each in value["data"] if _is_page(value) else [value]:
                click.echo(words.clean(str(each["id"])))
    if _is_page(value) and value["next_cursor"] and format in (Format.TABLE, Format.NAME):
        cursor = words.clean(value["next_cursor"])
        click.echo(f"there is more: --cursor {cursor} shows the next page, --all everything", err=True)


def _is_page(value: Json) -> bool:
    return "next_cursor" in value


def _json(value: Json) -> str:
    """JSON that a terminal cannot be made to obey: what is unsafe can only stand in texts, where it has an escape."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return words.UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _yaml(value: Json) -> str:
    import yaml  # slow to load

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if words.UNSAFE.search(text.replace("\n", "")):
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=False)
    return text
