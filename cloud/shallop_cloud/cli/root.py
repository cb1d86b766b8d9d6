"""The ``shallop`` group. What it holds is loaded when it is asked for, so that help and completion are quick."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import click

from shallop_cloud.cli import exits, groups, output, parameters, settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Lazy(NamedTuple):
    """A command that is not loaded yet."""

    module: str
    name: str
    help: str


COMMANDS: Mapping[str, Lazy] = {
    "serve": Lazy("serve", "serve", "Run the cloud: API, database and link to the broker."),
    "init": Lazy("init", "init", "Make an example project: a release, its schemas and configs."),
    "validate": Lazy("validate", "validate", "Check manifests, schemas and configs without a server."),
    "release": Lazy("releases", "release", "Releases: immutable sets of config schemas."),
    "device": Lazy("devices", "device", "Devices: the robots, and what was last heard of them."),
    "deploy": Lazy("deploy", "deploy", "Send config files to a device, or stage them."),
    "deployment": Lazy("deployments", "deployment", "Deployments: what is sent to devices, and what comes of it."),
    "staging": Lazy("staging", "staging", "What is prepared for a release, and not ordered yet."),
    "diff": Lazy("diff", "diff", "What changes between deployments, devices or files."),
    "rollback": Lazy("rollback", "rollback", "Back to what a device had in force before."),
    "why": Lazy("why", "why", "Why a device does not run what it shall, and what would help."),
    "audit": Lazy("audit", "audit", "Who did what, and proof that nobody changed the record of it."),
    "export": Lazy("export", "export", "Write all that the server knows into a SQLite file."),
    "events": Lazy("events", "events", "What happens, as it happens."),
    "token": Lazy("tokens", "token", "Tokens: who may ask the server for what."),
    "key": Lazy("keys", "key", "Keys: whose orders robots obey, and new ones for old."),
    "login": Lazy("login", "login", "Keep a server's URL and a token for all commands."),
    "logout": Lazy("login", "logout", "Forget the token of a server."),
    "whoami": Lazy("login", "whoami", "Whose token is used, and what it may do."),
    "bundle": Lazy("carried", "bundle", "A device's newest order as a file, to be carried there."),
    "report": Lazy("carried", "report", "Take a robot's report that was carried here."),
    "config": Lazy("config", "config", "Config instances: the files of deployments."),
    "broker": Lazy("broker", "broker", "MQTT brokers: configure one, check one, run the bench's."),
    "bench": Lazy("bench", "bench", "A fleet on this machine: broker, cloud, robots and trouble."),
    "demo": Lazy("demo", "demo", "See it work: broker, cloud and robots on this machine."),
    "simulate": Lazy("simulate", "simulate", "Run a fleet in virtual time, with everything going wrong."),
    "copy-database": Lazy("copying", "copy_database", "Copy a server's SQLite database into a PostgreSQL."),
    "completion": Lazy("completion", "completion", "Print the completion script of a shell."),
}
"""In the order in which they are shown. Modules are those of this package."""


class LazyGroup(groups.Group):
    """A group whose commands are imported only to be run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if (lazy := COMMANDS.get(cmd_name)) is None:
            return None
        try:
            module = _load(f"{__package__}.{lazy.module}")
        except ModuleNotFoundError as error:
            words = f"`shallop {cmd_name}` needs the Python module {error.name}, which is not installed; "
            raise exits.Failure(exits.Exit.FAILED, words + "try: pip install 'shallop-cloud[bench]'") from error
        return getattr(module, lazy.name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, for ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that begin with what was typed, then the options."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=lazy.help) for name, lazy in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


def _load(module: str) -> ModuleType:
    """Imports it. All that it makes stays; looking for garbage in that, now and at the end, takes a third more."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=parameters.example("shallop deploy amr-07 --release 1.4.0 --config nav2=params.yaml --wait"),
)
@click.option("--url", metavar="URL", envvar="SHALLOP_URL",
              help=f"The server (SHALLOP_URL), else that of `shallop login`, else {settings.DEFAULT_URL}.")  # fmt: skip
@click.option("--token", metavar="TOKEN", envvar="SHALLOP_TOKEN", help="Who asks (SHALLOP_TOKEN).")
@click.option("-o", "--output", "format_", type=click.Choice([each.value for each in output.Format]),
              default=output.Format.TABLE.value, show_default=True,
              help="How answers are printed; name: only ids, one a line.")  # fmt: skip
@click.version_option(package_name="shallop-cloud", message="%(prog)s %(version)s")
@click.pass_context
def shallop(ctx: click.Context, url: str | None, token: str | None, format_: str) -> None:
    """Deliver immutable, schema-checked configuration to fleets of robots, and know what became of it.

    The options below may also stand behind any subcommand that uses them.
    """
    ctx.obj = settings.Settings(url, token, output.Format(format_))
