"""The ``shallop`` command: arguments in, one exit code out. What failed is said on stderr, never on stdout."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from shallop_cloud.cli import exits, root
from shallop_cloud.cli.exits import Exit

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code, one of `exits.Exit`. Without ``arguments``, those of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(root.shallop.main(arguments, prog_name="shallop", standalone_mode=False) or Exit.OK)
    except click.exceptions.NoArgsIsHelpError as no_arguments:
        no_arguments.show()
        return Exit.USAGE
    except click.UsageError as error:
        click.echo(f"shallop: {error.format_message()}", err=True)
        if error.ctx is not None:
            click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
        return error.exit_code
    except exits.Failure as failure:
        click.echo(f"shallop: {failure}", err=True)
        return failure.exit
    except click.ClickException as error:
        click.echo(f"shallop: {error.format_message()}", err=True)
        return error.exit_code
    except click.Abort:
        click.echo("shallop: interrupted", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough; Python must not fail again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
