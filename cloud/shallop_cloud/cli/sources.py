"""Config files on this machine: read byte for byte, and named in what is said about them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shallop_cloud.cli import problems
from shallop_cloud.cli.parameters import Config

STDIN = "-"


def check_once(configs: Sequence[Config]) -> None:
    """Sees to it that each place of a release is given once, and stdin too.

    Raises:
        click.UsageError: it is not so.
    """
    files: dict[str, str] = {}
    for each in configs:
        if each.place in files:
            both = f"{files[each.place]} and {each.file}"
            raise click.UsageError(f"config type {each.place!r} is given twice: {both}")
        if each.file == STDIN and STDIN in files.values():
            raise click.UsageError("stdin (-) can be read for one config only")
        files[each.place] = each.file


def bodies(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """The configs as the API takes them; raises as `check_once` and `content` do."""
    check_once(configs)
    return [
        {"config_type": each.config_type, "slot": each.slot, "content": content(each.file).decode()} for each in configs
    ]


def names(configs: Sequence[Config]) -> dict[str, str]:
    """What people call the file of each place; the API knows it by config type, with or without the slot."""
    told = {f"{each.config_type}/{each.slot}": shown(each.file) for each in configs}
    return {**told, **{each.place: shown(each.file) for each in configs}}


def content(file: str) -> bytes:
    """The bytes of a file of text: newlines and a byte order mark stay as they are.

    Raises:
        click.UsageError: it cannot be read.
        exits.Failure: it is not UTF-8 text.
    """
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot read {file!r}: {getattr(error, 'strerror', None) or error}") from None
    try:
        data.decode()
    except UnicodeDecodeError as error:
        from shallop_cloud.configs import findings

        before = data[: error.start].decode()
        place = findings.position_in(before, len(before))
        found = findings.Finding(f"not UTF-8 text: byte 0x{data[error.start]:02X}", "", *place, shown(file))
        raise problems.invalid(f"{shown(file)} cannot be sent", [found]) from None
    return data


def shown(file: str) -> str:
    """The name of a file, for people."""
    return "<stdin>" if file == STDIN else file
