"""The next key list: what becomes of which key, and the roots' signatures under it.

What a server says is not believed because it says so: the present list must be signed by the roots, and the roots whose
files are given must be among them, before they sign a successor.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from shallop_protocol import dsse, keys, messages
from shallop_protocol import errors as protocol_errors

from shallop_cloud import files, root_keys
from shallop_cloud.cli import exits, words

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json

PASSPHRASE = "SHALLOP_ROOT_PASSPHRASE"  # noqa: S105  the name of a variable


@dataclasses.dataclass(frozen=True, slots=True)
class Present:
    """The list in force, and the roots that sign its successor."""

    roots: keys.Roots
    listed: keys.KeyList

    @classmethod
    def of(cls, answer: Json) -> Present:
        """What a server says of it.

        Raises:
            exits.Failure: the roots that it names did not sign the list that it shows.
        """
        try:
            found = tuple(dsse.PublicKey.from_text(each["key"]) for each in answer["roots"])
            roots = keys.Roots(found, answer["threshold"])
            return cls(roots, keys.open_key_list(answer["key_list"].encode(), roots))
        except ValueError as error:
            said = f"the server shows a key list that its own roots did not sign ({error})"
            raise exits.Failure(exits.Exit.INVALID, f"{said}; sign nothing, and look at the server first") from None

    def find(self, key: str) -> keys.SigningKey:
        """The key of the list that has this id, or whose id alone begins so.

        Raises:
            exits.Failure: there is none, or several.
        """
        found = [each for each in self.listed.signing_keys if each.public.keyid.startswith(key.lower())]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(each.public.keyid for each in self.listed.signing_keys)
        said = (
            f"{len(found)} keys of list {self.listed.version} have ids that begin with {key!r}"
            if found
            else (f"key list {self.listed.version} has no key {key!r}")
        )
        raise exits.Failure(exits.Exit.NOT_FOUND, f"{said}; it has {listed}")

    @property
    def active(self) -> list[keys.SigningKey]:
        """The keys that sign, the oldest first."""
        return [each for each in self.listed.signing_keys if each.state is keys.KeyState.ACTIVE]

    def after(self, states: dict[str, keys.KeyState], added: Sequence[str] = (), *, epoch: int = 0) -> keys.KeyList:
        """The successor.

        Args:
            states: what becomes of keys of the list.
            added: keys that sign from then on.
            epoch: by so much it is higher.
        """
        entries = [
            keys.SigningKey(key=each.key, state=states.get(each.key, each.state)) for each in self.listed.signing_keys
        ]
        entries += [keys.SigningKey(key=key, state=keys.KeyState.ACTIVE) for key in added]
        while len(entries) > keys.MAX_KEYS:  # what is not on the list does not count either
            entries.remove(next(each for each in entries if each.state is not keys.KeyState.ACTIVE))
        try:
            return keys.KeyList(
                version=self.listed.version + 1,
                epoch=self.listed.epoch + epoch,
                issued_at=messages.utc(words.now()),
                signing_keys=tuple(entries),
            )
        except ValueError as error:
            reason = str(error).partition("Value error, ")[2].partition(" [")[0] or str(error)
            raise exits.Failure(exits.Exit.CONFLICT, f"this would make no key list: {reason}") from None


def load(paths: Sequence[Path]) -> list[dsse.Signer]:
    """The root keys in these files. A passphrase is asked for, or taken from the environment.

    Raises:
        exits.Failure: one cannot be used.
    """
    return [_load(path) for path in paths]


def _load(path: Path) -> dsse.Signer:
    passphrase = os.environ.get(PASSPHRASE)
    try:
        try:
            return root_keys.load(path, passphrase)
        except root_keys.Locked:
            if not sys.stdin.isatty():
                raise
            return root_keys.load(path, click.prompt(f"Passphrase of {path}", hide_input=True, err=True))
    except root_keys.RootKeyError as error:
        raise exits.Failure(exits.Exit.INVALID, str(error)) from None


def signed(present: Present, new: keys.KeyList, signers: Sequence[dsse.Signer], paths: Sequence[Path]) -> bytes:
    """The envelope of a successor, signed by these roots.

    Raises:
        exits.Failure: one of them is none of the fleet's.
    """
    for signer, path in zip(signers, paths, strict=True):
        if signer.key.keyid not in present.roots.by_id:
            roots = ", ".join(present.roots.by_id)
            said = f"{path} is root key {signer.key.keyid}, which no robot of this fleet pinned"
            raise exits.Failure(exits.Exit.INVALID, f"{said}; its roots are {roots}")
    unique = {signer.key.keyid: signer for signer in signers}
    return keys.seal_key_list(new, list(unique.values()))


def unverified(path: Path) -> tuple[bytes, keys.KeyList, list[str]]:
    """The envelope in a file, the list that it holds, and whose signatures it bears; none of them is verified.

    Raises:
        exits.Failure: it is no key list.
    """
    try:
        data = path.read_bytes()
        payload_type, payload, signers = dsse.peek(data, keys.MAX_BYTES)
        if payload_type != keys.PAYLOAD_TYPE:
            raise protocol_errors.Unsupported(f"its payload type is {payload_type[:100]!r}")
        return data, messages.parse(keys.KeyList, payload, keys.MAX_BYTES), signers
    except OSError as error:
        raise exits.Failure(exits.Exit.INVALID, f"{path} cannot be read: {error.strerror}") from None
    except protocol_errors.ProtocolError as error:
        raise exits.Failure(exits.Exit.INVALID, f"{path} is no key list: {error.message}") from None


def save(path: Path, data: bytes) -> None:
    """Puts an envelope into a file."""
    try:
        files.write(path, data + b"\n")
    except OSError as error:
        raise exits.Failure(exits.Exit.FAILED, f"{path} cannot be written: {error.strerror}") from None


Make = Callable[[Present], keys.KeyList]
"""From the list in force to its successor."""


def words_of(listed: keys.KeyList) -> str:
    """A list in one line."""
    states = ", ".join(f"{each.public.keyid} {each.state.value}" for each in listed.signing_keys)
    return f"key list {listed.version}, epoch {listed.epoch}: {states}"
