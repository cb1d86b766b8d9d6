"""All commands as a table of Markdown. ``python -m shallop_cloud.cli.catalogue`` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from shallop_cloud.cli import root

EVERYWHERE = frozenset({"--help", "--output", "--url", "--token"})
"""Options that are told once for all commands."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that can be run, with its path, in the order in which help lists them."""
    context = click.Context(root.shallop, info_name="shallop")
    yield from _below("shallop", root.shallop, context)


def _below(path: str, group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _below(f"{path} {name}", command, context)
        else:
            yield f"{path} {name}", command


def as_markdown() -> str:
    """The table: command, what it does, its own options."""
    lines = ["| command | what it does | options |\n", "| --- | --- | --- |\n"]
    for path, command in commands():
        arguments = [
            each.make_metavar(click.Context(command)) for each in command.params if isinstance(each, click.Argument)
        ]
        usage = " ".join([path, *arguments]).replace("|", "\\|")
        lines.append(f"| `{usage}` | {command.get_short_help_str(limit=1_000)} | {_options(command)} |\n")
    return "".join(lines)


def _options(command: click.Command) -> str:
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    longest = [max(each.opts, key=len) for each in options]
    return " ".join(f"`{name}`" for name in longest if name not in EVERYWHERE)


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
