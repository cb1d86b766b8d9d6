"""What many commands are told: which settings, and which state directory."""

from __future__ import annotations

from pathlib import Path

import click

from shallop_device import settings

CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="SHALLOPD_CONFIG",
    show_envvar=True,
    help=f"The settings, in TOML; {settings.DEFAULT_FILE} if that is there.",
)
STATE = click.option(
    "--state",
    "state_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the agent's own state, which holds a secret; else SHALLOPD_STATE, else that of the settings.",
)
OUTPUT = click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)


def load(config_file: Path | None, state_dir: Path | None, **options: object) -> settings.Loaded:
    """The settings with what the command line says.

    Args:
        options: by section and key with two underscores between them; None for what the command line does not say.

    Raises:
        errors.BadUsage: they cannot be used.
    """
    said = {name.replace("__", "."): value for name, value in options.items()}
    state = state_dir.absolute() if state_dir else None
    return settings.load(config_file, options={"state": state, **said})
