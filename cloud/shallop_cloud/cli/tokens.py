"""``shallop token``: who may ask the server for what."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shallop_cloud import files
from shallop_cloud.cli import exits, groups, output, parameters, settings, tables, words
from shallop_cloud.cli.parameters import Paging, example
from shallop_cloud.cli.settings import Settings
from shallop_cloud.cli.tables import Id, state

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _lifetime(text: str) -> str:
    """The time that is so long from now, as the API takes it."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text)
    if not found:
        raise click.BadParameter(f"{text!r} is no span of time, such as 12h, 30d or 52w")
    span = datetime.timedelta(**{_UNITS[found[2]]: int(found[1])})
    return (words.now() + span).isoformat()


@click.group(cls=groups.Group)
def token() -> None:
    """Tokens: each has a role. A viewer looks, an operator decides what robots run, an admin who may do what."""


@token.command(epilog=example("shallop token create ci --role operator --expires 30d"))
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), required=True, help="What it may do.")
@click.option("--expires", type=_lifetime, metavar="SPAN", help="From now on, such as 12h or 30d; else never.")
@settings.full
def create(settings: Settings, name: str, role: str, expires: str | None) -> None:
    """Make a token. It is shown this once."""
    body = {"name": name, "role": role, **({"expires_at": expires} if expires else {})}
    with settings.api() as api:
        made = api.post("tokens", body=body)
    output.show(made, settings.output, _created)


@token.command("list", epilog=example("shallop token list"))
@parameters.paged
@settings.full
def list_(settings: Settings, paging: Paging) -> None:
    """List tokens, newest first."""
    with settings.api() as api:
        page = api.page("tokens", paging=paging)
    output.show(page, settings.output, _tokens)


@token.command(epilog=example("shallop token revoke ci"))
@click.argument("key", type=parameters.key, metavar="TOKEN")
@settings.full
def revoke(settings: Settings, key: str) -> None:
    """Make a token worthless, at once and for ever. TOKEN is its name or id, never the token itself."""
    with settings.api() as api:
        revoked = api.post("tokens", key, act="revoke", body={})
    output.show(revoked, settings.output, lambda token: _tokens({"data": [token]}))


@token.command(epilog=example("shallop token recover --data /var/lib/shallop"))
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="The server's data directory.")
@click.option("--database", metavar="URL", help="The server's PostgreSQL database.")
def recover(data: Path | None, database: str | None) -> None:
    """Make a new admin token when all are lost, on the machine that has the server's data.

    The server need not run, and may. A token that was made so before is revoked; all others stay as they are.
    """
    if (data is None) == (database is None):
        raise click.UsageError("give either --data DIR or --database URL, as `shallop serve` is given it")
    made = _recovered(data, database)
    click.echo("This admin token is shown this once; make others with it, then revoke it:", err=True)
    click.echo(made)


def _recovered(data: Path | None, address: str | None) -> str:
    from shallop_cloud import errors  # these load the database's libraries, which no --help needs
    from shallop_cloud.services import tokens
    from shallop_cloud.store.database import Database

    if data is not None and not (data / files.DATABASE).is_file():
        raise exits.Failure(exits.Exit.NOT_FOUND, f"{data} has no shallop.db; it is no server's data directory")
    try:
        database = Database.in_directory(data) if data is not None else Database.at(str(address))
    except errors.StartupError as error:
        raise exits.Failure(exits.Exit.FAILED, str(error)) from None
    try:
        return tokens.recover(database).secret
    finally:
        database.close()


def _created(token: Json) -> None:
    tables.fields(
        [
            ("name", token["name"]),
            ("id", token["id"]),
            ("role", token["role"]),
            ("expires", words.until(token["expires_at"], words.now()) or "never"),
            ("token", token["token"]),
        ]
    )
    click.echo("\nThe token is shown this once. To use it: shallop login, or export SHALLOP_TOKEN=…")


def _tokens(page: Json) -> None:
    now = words.now()
    rows = [
        (
            each["name"],
            Id(each["id"]),
            each["role"],
            state(_standing(each, now)),
            words.ago(each["created_at"], now),
            each["created_by"],
            words.until(each["expires_at"], now),
        )
        for each in page["data"]
    ]
    tables.columns(("NAME", "ID", "ROLE", "STATE", "CREATED", "BY", "EXPIRES"), rows)


def _standing(token: Json, now: datetime.datetime) -> str:
    if token["revoked_at"] is not None:
        return "revoked"
    expired = token["expires_at"] is not None and words.instant(token["expires_at"]) <= now
    return "expired" if expired else "valid"
