"""``shallop key``: whose orders robots obey. Root keys are files of this machine, and no server ever sees them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from shallop_cloud.cli import exits, groups, output, settings, tables, words
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.settings import Settings
from shallop_cloud.cli.tables import Id, state

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json
    from shallop_cloud.cli.successors import Make

Command = TypeVar("Command", bound=Callable[..., object])
_FILE = click.Path(path_type=Path, dir_okay=False)


def _signing(command: Command) -> Command:
    """Adds the options of commands that make a list."""
    decorated = click.option("--to", type=_FILE, metavar="FILE",
                             help="For a list that more roots must sign; else key-list-VERSION.json.")  # fmt: skip
    rooted = click.option("--root", "roots", type=_FILE, multiple=True, required=True, metavar="FILE",
                          help="A root's private key; may be repeated.")  # fmt: skip
    return rooted(decorated(command))


_force = click.option("--force", is_flag=True, help="Though robots in use do not have the present list yet.")


@click.group(cls=groups.Group)
def key() -> None:
    """Keys: a root signs the key list, the listed keys sign orders, and robots obey no other."""


@key.command(epilog=example("shallop key init --data /var/lib/shallop --roots 1 --out roots"))
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="Of the server to be.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="For the root keys.")
@click.option("--roots", type=click.IntRange(1, 8), default=1, show_default=True, help="How many root keys.")
@click.option("--threshold", type=click.IntRange(1, 8), default=1, show_default=True,
              help="So many of them sign a key list together.")  # fmt: skip
@click.option("--passphrase", "asks", is_flag=True, help="Ask for one; or set SHALLOP_ROOT_PASSPHRASE.")
def init(data: Path, out: Path, roots: int, threshold: int, asks: bool) -> None:
    """Make root keys and the first key list, before a server's first start, which takes the list up.

    The root keys are for a place that no server reaches. Without this command, the server makes one by itself.
    """
    from shallop_cloud.cli import first_keys

    passphrase = os.environ.get("SHALLOP_ROOT_PASSPHRASE") or None
    if asks and passphrase is None:
        passphrase = click.prompt("Passphrase of the root keys", hide_input=True, confirmation_prompt=True, err=True)
    made = first_keys.make(data, out, roots, threshold, passphrase)
    for path, keyid in made:
        click.echo(f"made root key {keyid} in {path}")
    click.echo(f"made key list 1 in {data / first_keys.LIST}")
    click.echo(f"\nNow start the server with --data {data}: it takes the list up.", err=True)
    click.echo(f"Take {out} to where no server can read it, and keep a copy elsewhere.", err=True)


@key.command("list", epilog=example("shallop key list"))
@settings.full
def list_(settings: Settings) -> None:
    """Show the key list in force, and how many robots go by it."""
    with settings.api() as api:
        found = api.get("keys")
    output.show(found, settings.output, _keys, lambda keys: [each["id"] for each in keys["keys"]])


@key.command(epilog=example("shallop key rotate --root roots/root-1.key",
                            "shallop key rotate --finish --root roots/root-1.key"))  # fmt: skip
@_signing
@click.option("--finish", is_flag=True, help="Retire the older of the two keys that sign.")
@_force
@settings.full
def rotate(settings: Settings, roots: tuple[Path, ...], to: Path | None, finish: bool, force: bool) -> None:
    """Begin to sign with a new key beside the old one; later, with --finish, end the old one.

    In between robots accept both. Whoever was away all the time needs only the newest list.
    """
    from shallop_protocol import keys

    with settings.api() as api:
        found = api.get("keys")
        active = [each for each in found["keys"] if each["state"] == keys.KeyState.ACTIVE]
        if finish:
            if len(active) < 2:
                said = f"only {active[0]['id']} signs, so no rotation is under way"
                raise exits.Failure(exits.Exit.CONFLICT, f"{said}; begin one: shallop key rotate --root FILE")
            ended = {each["key"]: keys.KeyState.RETIRED for each in active[:-1]}
            _publish(api, settings, (found, lambda present: present.after(ended)), roots, to, force)
            return
        if len(active) == keys.MAX_ACTIVE:
            said = f"{' and '.join(each['id'] for each in active)} sign already, so a rotation is under way"
            raise exits.Failure(exits.Exit.CONFLICT, f"{said}; end it: shallop key rotate --finish --root FILE")
        made = found["unlisted"][0] if found["unlisted"] else api.post("keys", act="generate", body={})
        _publish(api, settings, (found, lambda present: present.after({}, [made["key"]])), roots, to, force)


@key.command(epilog=example("shallop key retire 3f9a --root roots/root-1.key"))
@click.argument("key_id", metavar="KEY")
@_signing
@_force
@settings.full
def retire(settings: Settings, key_id: str, roots: tuple[Path, ...], to: Path | None, force: bool) -> None:
    """End a key in good order: nothing is wrong with it. KEY is its id, or the beginning of it."""
    from shallop_protocol import keys

    with settings.api() as api:
        found = api.get("keys")
        retired = keys.KeyState.RETIRED
        make: Make = lambda present: present.after({present.find(key_id).key: retired})  # noqa: E731
        _publish(api, settings, (found, make), roots, to, force)


@key.command(epilog=example("shallop key revoke 3f9a --root roots/root-1.key"))
@click.argument("key_id", metavar="KEY")
@_signing
@settings.full
def revoke(settings: Settings, key_id: str, roots: tuple[Path, ...], to: Path | None) -> None:
    """End a key that leaked, at once: robots obey nothing that it signed, before or after.

    The epoch rises, so every order is issued anew. If no other key signs, a new one is made.
    """
    from shallop_protocol import keys

    from shallop_cloud.cli import successors

    with settings.api() as api:
        found = api.get("keys")
        ended = successors.Present.of(found).find(key_id)
        others = [each for each in found["keys"] if each["state"] == keys.KeyState.ACTIVE and each["key"] != ended.key]
        added = [] if others else [api.post("keys", act="generate", body={})["key"]]
        make: Make = lambda present: present.after({ended.key: keys.KeyState.REVOKED}, added, epoch=1)  # noqa: E731
        _publish(api, settings, (found, make), roots, to, force=True)


@key.command(epilog=example("shallop key epoch --root roots/root-1.key"))
@_signing
@settings.full
def epoch(settings: Settings, roots: tuple[Path, ...], to: Path | None) -> None:
    """Raise the epoch alone: every order is issued anew, and none from before counts."""
    with settings.api() as api:
        found = api.get("keys")
        _publish(api, settings, (found, lambda present: present.after({}, epoch=1)), roots, to, force=True)


@key.command(epilog=example("shallop key sign key-list-2.json --root roots/root-2.key"))
@click.argument("file", type=_FILE)
@click.option("--root", "roots", type=_FILE, multiple=True, required=True, metavar="FILE",
              help="A root's private key; may be repeated.")  # fmt: skip
def sign(file: Path, roots: tuple[Path, ...]) -> None:
    """Add a root's signature to a key list in a file, and say what it lists. No server is asked."""
    from shallop_protocol import dsse
    from shallop_protocol import keys as protocol
    from shallop_protocol.errors import ProtocolError

    from shallop_cloud.cli import successors

    data, listed, _ = successors.unverified(file)
    for signer in successors.load(roots):
        try:
            data = dsse.add_signature(data, signer, protocol.MAX_BYTES)
        except ProtocolError as error:
            raise exits.Failure(exits.Exit.INVALID, f"{file} cannot be signed: {error.message}") from None
    successors.save(file, data.strip())
    click.echo(successors.words_of(listed))
    click.echo(f"signed by {', '.join(successors.unverified(file)[2])}")


@key.command(epilog=example("shallop key publish key-list-2.json"))
@click.argument("file", type=_FILE)
@_force
@settings.full
def publish(settings: Settings, file: Path, force: bool) -> None:
    """Put a key list of a file in force, once enough roots have signed it."""
    from shallop_cloud.cli import successors

    data, _, _ = successors.unverified(file)
    with settings.api() as api:
        published = api.put("keys", body=data, query={"force": "true" if force else None})
    output.show(published, settings.output, _keys, lambda keys: [each["id"] for each in keys["keys"]])


def _publish(
    api: Api, settings: Settings, change: tuple[Json, Make], roots: tuple[Path, ...], to: Path | None, force: bool
) -> None:
    """Makes the successor of the list that a server shows, signs it, and publishes it if that is enough."""
    from shallop_cloud.cli import successors

    found, make = change
    present = successors.Present.of(found)
    new = make(present)
    signers = successors.load(roots)
    data = successors.signed(present, new, signers, roots)
    output.hint(f"signed {successors.words_of(new)}", settings.output)
    count = len({signer.key.keyid for signer in signers})
    if count < present.roots.threshold:
        path = to or Path(f"key-list-{new.version}.json")
        successors.save(path, data)
        click.echo(f"{path} is signed by {count} of {present.roots.threshold} roots, and is not in force yet.")
        click.echo(f"Have others sign it:  shallop key sign {path} --root FILE")
        click.echo(f"Then put it in force: shallop key publish {path}{' --force' if force else ''}")
        return
    published = api.put("keys", body=data, query={"force": "true" if force else None})
    output.show(published, settings.output, _keys, lambda keys: [each["id"] for each in keys["keys"]])


def _keys(found: Json) -> None:
    going, now = found["devices"], words.now()
    robots = [f"{going['newest']} go by it"]
    robots += [f"{going[word]} {said}" for word, said in _GOING.items() if going[word]]
    tables.fields(
        [
            ("version", str(found["version"])),
            ("epoch", str(found["epoch"])),
            ("issued", words.with_age(found["issued_at"], now)),
            ("roots", ", ".join(each["id"] for each in found["roots"])),
            ("of them sign", str(found["threshold"])),
            ("robots", ", ".join(robots)),
            *([("renewing", f"orders of {found['renewing']} devices")] if found["renewing"] else ()),
        ]
    )
    tables.say()
    rows = [(Id(each["id"]), state(each["state"]), "yes" if each["held"] else "no") for each in found["keys"]]
    rows += [(Id(each["id"]), state("not listed"), "yes") for each in found["unlisted"]]
    tables.columns(("KEY", "STATE", "HELD HERE"), rows)


_GOING = {
    "older": "by an older one",
    "newer": "by a newer one than this server knows",
    "unknown": "have not said",
}
