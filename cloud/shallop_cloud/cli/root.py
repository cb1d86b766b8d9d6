"""The ``shallop`` group. What it holds is loaded when it is asked for, so that help and completion are quick."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

from shallop_cloud.cli import exits, output, settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Lazy(NamedTuple):
    """A command that is not loaded yet."""

    module: str
    name: str
    help: str


COMMANDS: Mapping[str, Lazy] = {
    "serve": Lazy("serve", "serve", "Run the cloud: API, database and link to the broker."),
    "release": Lazy("releases", "release", "Releases: immutable sets of config schemas."),
    "device": Lazy("devices", "device", "Devices: the robots, and what was last heard of them."),
    "deploy": Lazy("deploy", "deploy", "Send config files to a device, or stage them."),
    "deployment": Lazy("deployments", "deployment", "Deployments: what was sent to a device, and what became of it."),
    "config": Lazy("config", "config", "Config instances: the files of deployments."),
    "broker": Lazy("broker", "broker", "Run the MQTT broker of the bench on its own."),
    "bench": Lazy("bench", "bench", "A fleet on this machine: broker, cloud, robots and trouble."),
    "demo": Lazy("demo", "demo", "See it work: broker, cloud and robots' agents on this machine."),
    "simulate": Lazy("simulate", "simulate", "Run a fleet in virtual time, with everything going wrong."),
    "completion": Lazy("completion", "completion", "Print the completion script of a shell."),
}
"""In the order in which they are shown. Modules are those of this package."""


class LazyGroup(click.Group):
    """A group whose commands are imported only to be run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if (lazy := COMMANDS.get(cmd_name)) is None:
            return None
        try:
            module = importlib.import_module(f"{__package__}.{lazy.module}")
        except ModuleNotFoundError as error:
            words = f"`shallop {cmd_name}` needs the Python module {error.name}, which is not installed; "
            raise exits.Failure(exits.Exit.FAILED, words + "try: pip install 'shallop-cloud[bench]'") from error
        return getattr(module, lazy.name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a suggestion for a name that is none of the table's."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, for ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that begin with what was typed, then the options."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=lazy.help) for name, lazy in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  shallop deploy amr-07 --release 1.4.0 --config motion-control=motion.yaml --wait",
)
@click.option("--url", metavar="URL", envvar="SHALLOP_URL", default=settings.DEFAULT_URL, show_default=True,
              help="The server (SHALLOP_URL).")  # fmt: skip
@click.option("--token", metavar="TOKEN", envvar="SHALLOP_TOKEN", help="Who asks (SHALLOP_TOKEN).")
@click.option("-o", "--output", "format_", type=click.Choice([each.value for each in output.Format]),
              default=output.Format.TABLE.value, show_default=True,
              help="How answers are printed; name: only ids, one a line.")  # fmt: skip
@click.version_option(package_name="shallop-cloud", message="%(prog)s %(version)s")
@click.pass_context
def shallop(ctx: click.Context, url: str, token: str | None, format_: str) -> None:
    """Deliver immutable, schema-checked configuration to fleets of robots, and know what became of it.

    The options below may also stand behind any subcommand that uses them.
    """
    ctx.obj = settings.Settings(url=url, token=token, output=output.Format(format_))
