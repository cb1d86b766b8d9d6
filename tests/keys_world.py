"""A root and key lists for tests that need somebody's word to go by."""

from __future__ import annotations

import datetime

from shallop_cloud.bench.simulated.roster import Trust
from shallop_protocol import dsse, keys

ROOT = dsse.signer_from_seed(bytes(range(1, 33)))
ROOTS = keys.Roots((ROOT.key,))
AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def a_list(*active: dsse.PublicKey, version: int = 1, epoch: int = 1) -> keys.KeyList:
    """A list of these keys, all active."""
    entries = tuple(keys.SigningKey(key=key.text, state=keys.KeyState.ACTIVE) for key in active)
    return keys.KeyList(version=version, epoch=epoch, issued_at=AT, signing_keys=entries)


def sealed(listed: keys.KeyList) -> bytes:
    """As it travels."""
    return keys.seal_key_list(listed, [ROOT])


def trust(signing: dsse.PublicKey) -> Trust:
    """What a roster has of a cloud that signs with this key."""
    return Trust((ROOT.key.text,), 1, sealed(a_list(signing)).decode())
