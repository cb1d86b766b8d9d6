"""What a device believes, as its key list changes."""

from __future__ import annotations

import datetime

import pytest
from shallop_protocol import desired, dsse, echo, errors, keys, trust
from shallop_protocol.keys import KeyState

ROOT = dsse.signer_from_seed(bytes(range(32)))
OLD = dsse.signer_from_seed(bytes([1]) * 32)
NEW = dsse.signer_from_seed(bytes([2]) * 32)
AT = datetime.datetime(2024, 5, 17, tzinfo=datetime.timezone.utc)


def a_list(version: int, *, epoch: int = 1, **states: KeyState) -> keys.KeyList:
    signers = {"old": OLD, "new": NEW}
    named = [keys.SigningKey(key=signers[name].key.text, state=state) for name, state in states.items()]
    return keys.KeyList(version=version, epoch=epoch, issued_at=AT, signing_keys=tuple(named))


FIRST = trust.Trust("dev-1", keys.Roots((ROOT.key,)), a_list(1, old=KeyState.ACTIVE))
BOTH = a_list(2, old=KeyState.ACTIVE, new=KeyState.ACTIVE)
AFTER = a_list(3, old=KeyState.REVOKED, new=KeyState.ACTIVE)


def order(epoch: int, generation: int, *signers: dsse.Signer) -> bytes:
    wanted = desired.Desired(device="dev-1", epoch=epoch, generation=generation, issued_at=AT, deployment=None)
    return desired.seal_desired(wanted, *signers)


def sealed(listed: keys.KeyList, *signers: dsse.Signer) -> bytes:
    return keys.seal_key_list(listed, signers or (ROOT,))


def test_a_device_that_was_away_needs_only_the_newest_list() -> None:
    with pytest.raises(errors.BadSignature):
        FIRST.order(order(1, 7, NEW))
    after = FIRST.renewed(sealed(AFTER))
    assert after.order(order(1, 7, NEW)).generation == 7
    with pytest.raises(errors.BadSignature):
        after.order(order(1, 8, OLD))
    assert after.roots == FIRST.roots


def test_during_a_rotation_either_key_counts() -> None:
    between = FIRST.renewed(sealed(BOTH))
    for signers in ((OLD,), (NEW,), (OLD, NEW)):
        assert between.order(order(1, 7, *signers)).generation == 7
    assert FIRST.order(order(1, 7, OLD, NEW)).generation == 7


def test_what_changes_nothing_gives_itself() -> None:
    assert FIRST.renewed(sealed(FIRST.listed)) is FIRST


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (sealed(BOTH, OLD), errors.BadSignature),
        (sealed(a_list(1, new=KeyState.ACTIVE)), errors.Conflicting),
        (b"", errors.Malformed),
        (order(1, 9, ROOT), errors.Unsupported),
    ],
)
def test_a_list_that_is_none_changes_nothing(data: bytes, error: type[errors.ProtocolError]) -> None:
    with pytest.raises(error):
        FIRST.renewed(data)


def test_a_list_from_the_past_is_refused() -> None:
    with pytest.raises(errors.Outdated):
        FIRST.renewed(sealed(AFTER)).renewed(sealed(BOTH))


def test_an_order_is_of_the_epoch_that_the_roots_say() -> None:
    raised = FIRST.renewed(sealed(a_list(2, epoch=2, old=KeyState.ACTIVE)))
    assert raised.order(order(2, 1, OLD)).epoch == 2
    for known, epoch in ((FIRST, 2), (raised, 1), (raised, 3)):
        with pytest.raises(errors.WrongEpoch, match=f"of epoch {epoch}, key list {known.listed.version} has"):
            known.order(order(epoch, 99, OLD))


def test_a_device_that_lost_its_memory_is_not_given_the_past() -> None:
    enrolled = trust.Trust("dev-1", FIRST.roots, FIRST.listed, floor=(1, 17))
    assert enrolled.order(order(1, 17, OLD)).generation == 17
    with pytest.raises(errors.Outdated, match="order 1/16 is older than 1/17"):
        enrolled.order(order(1, 16, OLD))


def test_echoes_are_believed_by_the_same_keys() -> None:
    heard = echo.Echo(device="dev-1", nonce="0123456789abcdef", epoch=1, generation=7, keys=3)
    assert FIRST.echo(echo.seal_echo(heard, OLD)) == heard
    for refused, error in ((echo.seal_echo(heard, NEW), errors.BadSignature), (order(1, 7, OLD), errors.Unsupported)):
        with pytest.raises(error):
            FIRST.echo(refused)
