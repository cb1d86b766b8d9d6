"""The ``shallopd`` group. A command is loaded when it is asked for: a robot's agent holds no more than it needs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import NamedTuple

import click

from shallop_device import __version__


class Lazy(NamedTuple):
    """A command that is not loaded yet: a module of this package, and its name there."""

    module: str
    name: str
    help: str


COMMANDS: Mapping[str, Lazy] = {
    "enroll": Lazy("enroll", "enroll", "Make this robot known to a cloud."),
    "run": Lazy("run", "run", "Run the agent until SIGTERM or SIGINT."),
    "status": Lazy("status", "status", "Show what the agent last knew, whether or not it runs."),
    "doctor": Lazy("doctor", "doctor", "Look at all that the agent needs, and say what to do."),
    "events": Lazy("door", "events", "Show what happens on this robot."),
    "hold": Lazy("door", "hold", "Let nothing change for a while, or while a command runs."),
    "release": Lazy("door", "release", "End a hold."),
    "ack": Lazy("door", "ack", "Say that a deployment is well, or that it is not."),
    "retry": Lazy("door", "retry", "Have the agent try again now what failed."),
    "apply-bundle": Lazy("bundle", "apply_bundle", "Put into force what was carried here by hand."),
    "report": Lazy("bundle", "report", "Write the newest report, to be carried to the cloud."),
    "config": Lazy("config", "config", "The settings of this robot's agent."),
}
"""In the order in which they are shown."""


class LazyGroup(click.Group):
    """A group whose commands are imported only to be run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if (lazy := COMMANDS.get(cmd_name)) is None:
            return None
        module = importlib.import_module(f"{__package__}.{lazy.module}")
        command: click.Command = getattr(module, lazy.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, for ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="shallopd")
def shallopd() -> None:
    """shallopd puts on this robot what its shallop cloud ordered, and says what became of it.

    Robot software reads ROOT/current/. Enrol once, then keep the agent running.

    Every option can be given by the environment: "shallopd run --log-level" is SHALLOPD_RUN_LOG_LEVEL. What is set once
    and for all belongs into the settings, /etc/shallop/shallopd.toml: see "shallopd config show".
    """
