"""What every command is told: where the server is, who asks, and how the answer shall look."""

from __future__ import annotations

import dataclasses
import functools
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from shallop_cloud.cli import exits, logins, output, problems

if TYPE_CHECKING:
    from shallop_cloud.cli import client

DEFAULT_URL = "http://127.0.0.1:8080"

Command = Callable[..., None]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Where, who and how. An option goes before the environment, and that before what ``shallop login`` keeps.

    Attributes:
        asked_url: by an option or the environment; None if neither says.
        asked_token: likewise.
    """

    asked_url: str | None = None
    asked_token: str | None = dataclasses.field(default=None, repr=False)
    output: output.Format = output.Format.TABLE

    @property
    def url(self) -> str:
        """Where the server is."""
        return self.asked_url or logins.read().server or DEFAULT_URL

    def checked_url(self) -> str:
        """Where the server is.

        Raises:
            click.UsageError: it cannot be there.
        """
        if not _is_url(self.url):
            raise click.UsageError(f"{self.url!r} is not a server's URL; it looks like {DEFAULT_URL}")
        return self.url.rstrip("/")

    def api(self) -> client.Api:
        """The server.

        Raises:
            click.UsageError: the URL or token cannot be one.
            exits.Failure: there is no token.
        """
        from shallop_cloud.cli import client  # httpx is slow to load, and no --help needs it

        url = self.checked_url()
        token = (self.asked_token or logins.read().tokens.get(logins.normal(url), "")).strip()
        if not token:
            raise exits.Failure(exits.Exit.AUTH, f"no token; {problems.AUTHENTICATE}")
        if not token.isascii() or not token.isprintable():
            raise click.UsageError("the token has characters that no token has; give the content of admin.token")
        return client.Api(url, token)


_url = click.option("--url", metavar="URL", help="The server; else SHALLOP_URL, else that of `shallop login`.")
_token = click.option("--token", metavar="TOKEN", help="Who asks; else SHALLOP_TOKEN, else that of `shallop login`.")
_output = click.option(
    "-o",
    "--output",
    "format_",
    type=click.Choice([each.value for each in output.Format]),
    help="How the answer is printed; name: only ids, one a line.",
)


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def connection(command: Command) -> Command:
    """Gives a command ``--url`` and ``--token``, and passes it the settings first."""

    @_url
    @_token
    @functools.wraps(command)
    def told(*args: Any, url: str | None, token: str | None, **rest: Any) -> None:
        return command(_overridden(url, token, None), *args, **rest)

    return told


def full(command: Command) -> Command:
    """Gives a command ``--url``, ``--token`` and ``-o``, and passes it the settings first."""

    @_output
    @_url
    @_token
    @functools.wraps(command)
    def told(*args: Any, url: str | None, token: str | None, format_: str | None, **rest: Any) -> None:
        return command(_overridden(url, token, format_), *args, **rest)

    return told


def offline(command: Command) -> Command:
    """Gives a command that asks no server ``-o``, and passes it the settings first."""

    @_output
    @functools.wraps(command)
    def told(*args: Any, format_: str | None, **rest: Any) -> None:
        return command(_overridden(None, None, format_), *args, **rest)

    return told


def _overridden(url: str | None, token: str | None, format_: str | None) -> Settings:
    """What was given before the subcommand or by the environment, unless it was given behind the subcommand too."""
    before = click.get_current_context().ensure_object(Settings)
    return Settings(
        asked_url=url or before.asked_url,
        asked_token=token or before.asked_token,
        output=output.Format(format_) if format_ else before.output,
    )
