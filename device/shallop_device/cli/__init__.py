"""The ``shallopd`` command: arguments in, one exit code out. What failed is said on stderr, never on stdout."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click
from shallop_protocol import terminal

from shallop_device import errors
from shallop_device.cli import root

__all__ = ["main"]


def main() -> NoReturn:
    """The entry point: errors become lines on stderr and an exit code; 0 ok, 1 failed, 2 usage, 4 auth."""
    try:
        root.shallopd(auto_envvar_prefix="SHALLOPD", prog_name="shallopd")
    except errors.AgentError as error:
        click.echo(f"shallopd: {terminal.lines(str(error))}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough; Python must not fail again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)
