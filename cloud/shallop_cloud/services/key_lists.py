"""Whose orders count: the key list that robots go by, how many of them have it, and the next one."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from shallop_protocol import dsse, keys
from shallop_protocol import errors as protocol_errors

from shallop_cloud import errors, keyring
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import history, key_lists, renewals

LATELY = datetime.timedelta(hours=24)
"""Who was heard within this time is taken to be in use."""
SHOWN = 10
"""So many robots are named at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """What counts, and who goes by it.

    Attributes:
        standing: the list in force, and its roots.
        held: the ids of all keys whose private halves this server has.
        unlisted: those of them that no list names yet.
        devices: how many enrolled ones in service go by which version; 0 stands for never having said.
        renewing: devices for which something older may lie on the broker still.
    """

    standing: keyring.Standing
    held: frozenset[str]
    unlisted: tuple[dsse.PublicKey, ...]
    devices: Mapping[int, int]
    renewing: int


def show(shore: Shore) -> Shown:
    """What counts now."""
    shore.keyring.refresh()
    standing = shore.keyring.standing
    listed = {each.public.keyid for each in standing.listed.signing_keys}
    held = shore.keyring.held
    with shore.database.read() as connection:
        return Shown(
            standing=standing,
            held=frozenset(held),
            unlisted=tuple(key for keyid, key in held.items() if keyid not in listed),
            devices=renewals.by_version(connection),
            renewing=renewals.count_before(connection, standing.listed),
        )


def generate(shore: Shore, actor: str) -> dsse.PublicKey:
    """Makes a signing key on this server. It signs nothing until a key list names it."""
    made = shore.keyring.generate()
    with shore.database.write() as connection:
        shown = {"id": made.keyid, "key": made.text}
        history.append(connection, [history.row(at=shore.now(), actor=actor, action="key_generated", after=shown)])
    return made


def publish(shore: Shore, envelope: bytes, actor: str, *, force: bool = False) -> Shown:
    """Puts a key list in force. All that is on the broker is brought to it from then on. Twice is as once.

    Args:
        force: although robots that are in use do not have the present list yet, and one of its keys ends.

    Raises:
        errors.Invalid: ``key_list_invalid``, it cannot be read, or too few of the roots signed it.
        errors.Conflict: ``key_list_outdated``, it does not succeed the present one; ``key_list_conflicting``, another
            of its version is in force; ``no_signing_key``, this server could sign nothing under it;
            ``devices_behind``, see ``force``.
    """
    at = shore.now()
    with shore.database.write() as connection:
        recorded = key_lists.find(connection, hold=True)
        assert recorded is not None, "a list is there from the first start on"
        roots = keyring.roots_of(recorded)
        known = keys.open_key_list(recorded.envelope.encode(), roots)
        new = _succeeding(envelope, roots, known)
        if new != known:
            if not any(keyid in shore.keyring.held for keyid in new.active):
                active = ", ".join(new.active)
                words = f"this server has the private half of none of the keys that would sign ({active})"
                hint = (
                    "list one that `shallop key list` marks as held here, or send the list to the server that has one"
                )
                raise errors.Conflict("no_signing_key", f"{words}; {hint}")
            if not force:
                _refuse_for_those_behind(connection, known, new, at)
            key_lists.renew(connection, new.version, new.epoch, envelope.decode(), at)
            row = history.row(at=at, actor=actor, action="keys_changed", before=_summary(known), after=_summary(new))
            history.append(connection, [row])
    shore.keyring.refresh()
    shore.ordered()
    return show(shore)


def _succeeding(envelope: bytes, roots: keys.Roots, known: keys.KeyList) -> keys.KeyList:
    try:
        new = keys.open_key_list(envelope, roots)
        keys.check_successor(known, new)
    except protocol_errors.Outdated as error:
        words = f"{error.message}; look at the present one (shallop key list) and make its successor"
        raise errors.Conflict("key_list_outdated", words) from None
    except protocol_errors.Conflicting as error:
        words = f"{error.message}; look at the present one (shallop key list) and make its successor"
        raise errors.Conflict("key_list_conflicting", words) from None
    except protocol_errors.BadSignature as error:
        need = f"{roots.threshold} of the roots {', '.join(roots.by_id)}"
        raise errors.Invalid("key_list_invalid", f"{error.message}; it must be signed by {need}") from None
    except protocol_errors.ProtocolError as error:
        raise errors.Invalid("key_list_invalid", f"this is no key list: {error.message}") from None
    return new


def _refuse_for_those_behind(
    connection: sa.Connection, known: keys.KeyList, new: keys.KeyList, at: datetime.datetime
) -> None:
    """A key that leaked ends at once. One that only retires waits until robots are seen to follow key lists."""
    after = {each.key: each.state for each in new.signing_keys}
    ended = [each for each in known.signing_keys if each.state is keys.KeyState.ACTIVE]
    ended = [each for each in ended if after.get(each.key) not in (keys.KeyState.ACTIVE, keys.KeyState.REVOKED)]
    if not ended:
        return
    behind = renewals.behind(connection, known.version, at - LATELY, SHOWN + 1)
    if behind:
        names = ", ".join(behind[:SHOWN]) + (" and others" if len(behind) > SHOWN else "")
        words = (
            f"robots that were heard of within {LATELY.days * 24} hours do not have key list {known.version}: {names}"
        )
        hint = "without the key that ends they may obey nobody; wait for them, or force it"
        raise errors.Conflict("devices_behind", f"{words}; {hint}")


def _summary(listed: keys.KeyList) -> dict[str, Any]:
    """What the history says of a list."""
    states = {each.public.keyid: each.state.value for each in listed.signing_keys}
    return {"version": listed.version, "epoch": listed.epoch, "keys": states}
