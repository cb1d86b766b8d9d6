"""Groups of commands that know what a misspelt one was meant to be."""

from __future__ import annotations

import difflib

import click


class Group(click.Group):
    """A group that suggests one of its commands for a name that is none of them, and lists them in their own order."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order in which the commands were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Each with its first sentence, whole, on as many lines as that takes."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(limit=1_000)) for name, each in self.commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the suggestion."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(known)}."
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)
