"""What ``shallop login`` keeps: a token for each server, in a file that its owner alone can read."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import tomllib

from shallop_cloud import files
from shallop_cloud.cli import exits


@dataclasses.dataclass(frozen=True, slots=True)
class Logins:
    """Tokens by the URL of their server, and the server that is meant if none is named."""

    tokens: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str], repr=False)
    server: str | None = None

    def with_token(self, url: str, token: str) -> Logins:
        """Logged in there too; that server is meant from now on."""
        return Logins({**self.tokens, normal(url): token}, normal(url))

    def without(self, url: str) -> Logins:
        """Not logged in there any more."""
        left = {key: token for key, token in self.tokens.items() if key != normal(url)}
        return Logins(left, self.server if self.server in left else None)


def normal(url: str) -> str:
    """A server's URL as it is kept."""
    return url.rstrip("/").lower()


def path() -> Path:
    """Where they are kept: ``$XDG_CONFIG_HOME/shallop/credentials.toml``, by default below ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "shallop" / "credentials.toml"


def read() -> Logins:
    """What is kept; nothing if there is no file.

    Raises:
        exits.Failure: the file cannot be read.
    """
    try:
        kept = tomllib.loads(path().read_text())
        tokens = {url: str(each["token"]) for url, each in kept.get("servers", {}).items()}
        return Logins(tokens, kept.get("server"))
    except FileNotFoundError:
        return Logins()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        words = f"cannot read {path()}: {error}; mend it, or remove it and log in again"
        raise exits.Failure(exits.Exit.FAILED, words) from None


def write(logins: Logins) -> None:
    """Keeps them, mode 0600.

    Raises:
        exits.Failure: the file cannot be written.
    """
    lines = ["# Written by `shallop login`. Whoever can read this file can do what its tokens may."]
    if logins.server is not None:
        lines.append(f"server = {_quoted(logins.server)}")
    for url, token in logins.tokens.items():
        lines += ["", f"[servers.{_quoted(url)}]", f"token = {_quoted(token)}"]
    try:
        path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write(path(), "\n".join([*lines, ""]).encode())
    except OSError as error:
        raise exits.Failure(exits.Exit.FAILED, f"cannot write {path()}: {error.strerror}") from None


def _quoted(text: str) -> str:
    """A basic string of TOML; JSON in ASCII has no escape that TOML has not."""
    return json.dumps(text)
