"""``shallop login``, ``logout`` and ``whoami``: which server, and who asks."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import exits, logins, output, settings, tables, words
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.settings import Settings

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json

_server = click.argument("server", metavar="[URL]", required=False)


@click.command(epilog=example("shallop login https://shallop.example.com"))
@_server
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin, and ask nobody.")
@settings.connection
def login(settings: Settings, server: str | None, token_stdin: bool) -> None:
    """Keep a server's URL and a token for all commands to come.

    The token is asked for without showing it, and checked. An option or the environment goes before what is kept.
    """
    wanted = dataclasses.replace(settings, asked_url=server) if server else settings
    url = wanted.checked_url()
    token = _token(url, token_stdin) if token_stdin or not settings.asked_token else settings.asked_token
    with dataclasses.replace(wanted, asked_token=token).api() as api:
        holder = api.get("whoami")
    logins.write(logins.read().with_token(url, token))
    name = words.clean(f"{holder['name']} ({holder['role']})")
    click.echo(f"logged in to {url} as {name}; it is kept in {logins.path()}")


@click.command(epilog=example("shallop logout"))
@_server
@settings.connection
def logout(settings: Settings, server: str | None) -> None:
    """Forget the token of a server. It stays valid: `shallop token revoke` ends it."""
    url = server or settings.url
    kept = logins.read()
    if logins.normal(url) not in kept.tokens:
        raise exits.Failure(exits.Exit.NOT_FOUND, f"no token is kept for {url}")
    logins.write(kept.without(url))
    click.echo(f"logged out of {url}")


@click.command(epilog=example("shallop whoami"))
@settings.full
def whoami(settings: Settings) -> None:
    """Show whose token is used, and what it may do."""
    with settings.api() as api:
        holder = api.get("whoami")
    output.show(holder, settings.output, lambda holder: _holder(holder, settings.url))


def _token(url: str, token_stdin: bool) -> str:
    if token_stdin:
        return sys.stdin.readline().strip()
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the token on; give --token-stdin, and the token there")
    return click.prompt(f"Token for {url}", hide_input=True, err=True).strip()


def _holder(holder: Json, url: str) -> None:
    tables.fields(
        [
            ("name", holder["name"]),
            ("role", holder["role"]),
            ("token", holder["id"]),
            ("expires", words.until(holder["expires_at"], words.now()) or "never"),
            ("server", url),
        ]
    )
