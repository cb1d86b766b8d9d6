"""Key lists: who may sign them, what they may say, and which may follow which."""

from __future__ import annotations

import datetime
import json

import pydantic
import pytest
import securesystemslib.dsse
import securesystemslib.signer
from cryptography.hazmat.primitives.asymmetric import ed25519
from shallop_protocol import desired, dsse, errors, keys
from shallop_protocol.keys import KeyState

ROOTS = [dsse.signer_from_seed(bytes([100 + number]) * 32) for number in range(3)]
SIGNERS = [dsse.signer_from_seed(bytes([200 + number]) * 32) for number in range(3)]
PINNED = keys.Roots(tuple(root.key for root in ROOTS), threshold=2)
AT = datetime.datetime(2024, 5, 17, tzinfo=datetime.timezone.utc)


def a_list(*states: KeyState, version: int = 1, epoch: int = 1) -> keys.KeyList:
    named = [keys.SigningKey(key=signer.key.text, state=state) for signer, state in zip(SIGNERS, states, strict=False)]
    return keys.KeyList(version=version, epoch=epoch, issued_at=AT, signing_keys=tuple(named))


ONE = a_list(KeyState.ACTIVE)


def test_only_active_keys_count() -> None:
    listed = a_list(KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED)
    assert listed.active == {SIGNERS[0].key.keyid: SIGNERS[0].key}
    assert a_list(KeyState.REVOKED, KeyState.ACTIVE, KeyState.ACTIVE).active == {
        signer.key.keyid: signer.key for signer in SIGNERS[1:]
    }


@pytest.mark.parametrize(
    ("signing_keys", "words"),
    [
        ((), "at least 1"),
        (a_list(KeyState.ACTIVE).signing_keys * 2, "a key stands there twice"),
        (
            (keys.SigningKey(key=SIGNERS[0].key.text, state=KeyState.RETIRED),),
            "0 keys are active; there must be 1 to 2",
        ),
        (
            tuple(keys.SigningKey(key=signer.key.text, state=KeyState.ACTIVE) for signer in SIGNERS),
            "3 keys are active; there must be 1 to 2",
        ),
        (({"key": "AAAA", "state": "active"},), "String should match pattern"),
        (({"key": SIGNERS[0].key.text, "state": "asleep"},), "'active', 'retired' or 'revoked'"),
    ],
)
def test_a_list_that_makes_no_sense_is_none(signing_keys, words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        keys.KeyList(version=1, epoch=1, issued_at=AT, signing_keys=signing_keys)


def test_enough_roots_together_make_a_list() -> None:
    assert keys.open_key_list(keys.seal_key_list(ONE, ROOTS[:2]), PINNED) == ONE
    assert keys.open_key_list(keys.seal_key_list(ONE, [SIGNERS[0], *ROOTS[1:]]), PINNED) == ONE


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (keys.seal_key_list(ONE, ROOTS[:1]), errors.BadSignature),
        (keys.seal_key_list(ONE, SIGNERS), errors.BadSignature),
        (keys.seal_key_list(ONE, [ROOTS[0], *SIGNERS]), errors.BadSignature),
        (dsse.seal(desired.PAYLOAD_TYPE, ONE.to_bytes(), *ROOTS), errors.Unsupported),
        (keys.seal_key_list(ONE.model_copy(update={"v": 2}), ROOTS), errors.Unsupported),
        (keys.seal_key_list(ONE.model_copy(update={"signing_keys": ()}), ROOTS), errors.Malformed),
        (dsse.seal(keys.PAYLOAD_TYPE, b"{}", *ROOTS), errors.Malformed),
        (b"x" * (keys.MAX_BYTES + 1), errors.TooLarge),
    ],
)
def test_nothing_else_is_one(data: bytes, error: type[errors.ProtocolError]) -> None:
    with pytest.raises(error):
        keys.open_key_list(data, PINNED)


def test_another_implementation_reads_and_writes_key_lists() -> None:
    sealed = keys.seal_key_list(ONE, ROOTS[:2])
    theirs = securesystemslib.dsse.Envelope.from_dict(json.loads(sealed))
    known = [their_key(root.key) for root in ROOTS]
    assert set(theirs.verify(known, 2)) == {root.key.keyid for root in ROOTS[:2]}
    made = securesystemslib.dsse.Envelope(ONE.to_bytes(), keys.PAYLOAD_TYPE, {})
    for number in (1, 2):
        private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([100 + number]) * 32)
        made.sign(securesystemslib.signer.CryptoSigner(private, known[number]))
    assert keys.open_key_list(json.dumps(made.to_dict()).encode(), PINNED) == ONE


def their_key(key: dsse.PublicKey) -> securesystemslib.signer.SSlibKey:
    return securesystemslib.signer.SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.raw.hex()})


@pytest.mark.parametrize(
    ("signers", "threshold", "words"),
    [
        ([], 1, "0 root keys"),
        ([ROOTS[0], ROOTS[0]], 1, "each another one"),
        ([dsse.signer_from_seed(bytes([number]) * 32) for number in range(9)], 1, "9 root keys"),
        (ROOTS, 0, "a threshold of 0"),
        (ROOTS, 4, "a threshold of 4 cannot be met by 3"),
    ],
)
def test_roots_that_could_never_sign_are_refused(signers, threshold: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        keys.Roots(tuple(signer.key for signer in signers), threshold)


def test_the_newest_list_wins_and_the_same_one_changes_nothing() -> None:
    second = a_list(KeyState.ACTIVE, KeyState.ACTIVE, version=2)
    keys.check_successor(ONE, second)
    keys.check_successor(ONE, ONE)
    keys.check_successor(ONE, a_list(KeyState.ACTIVE, version=9, epoch=4))
    with pytest.raises(errors.Outdated, match="key list 1 is older than key list 2"):
        keys.check_successor(second, ONE)
    with pytest.raises(errors.Conflicting, match="another key list 2"):
        keys.check_successor(second, a_list(KeyState.ACTIVE, version=2))
    with pytest.raises(errors.Outdated, match="has epoch 1; 2 was reached"):
        keys.check_successor(a_list(KeyState.ACTIVE, epoch=2), second)
