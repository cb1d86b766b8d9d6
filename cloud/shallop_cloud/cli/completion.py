"""``shallop completion``: what makes a shell complete this command."""

from __future__ import annotations

import click
from click import shell_completion

from shallop_cloud.cli.parameters import example


@click.command(epilog=example('eval "$(shallop completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell, for its start-up file.

    \b
    bash  ~/.bashrc:                   eval "$(shallop completion bash)"
    zsh   ~/.zshrc, after compinit:    eval "$(shallop completion zsh)"
    fish  ~/.config/fish/config.fish:  shallop completion fish | source
    """
    kind = shell_completion.get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "shallop", "_SHALLOP_COMPLETE")
    click.echo(script.source_template % script.source_vars())
