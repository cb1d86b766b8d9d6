"""Envelopes: against another implementation in both directions, and against the attacks that envelopes invite."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable

import pytest
import securesystemslib.dsse
import securesystemslib.signer
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.exceptions import VerificationError
from shallop_protocol import dsse, errors

TYPE = "application/vnd.shallop.desired+json"
ALICE = dsse.signer_from_seed(bytes(range(32)))
MALLORY = dsse.signer_from_seed(bytes(range(1, 33)))
TRUSTED = {ALICE.key.keyid: ALICE.key}
LIMIT = 100_000

SEALED = dsse.seal(TYPE, b'{"speed":1.5}', ALICE)


def changed(change: Callable[[dict], object]) -> bytes:
    envelope = json.loads(SEALED)
    change(envelope)
    return json.dumps(envelope).encode()


def their_key(key: dsse.PublicKey) -> securesystemslib.signer.SSlibKey:
    return securesystemslib.signer.SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.raw.hex()})


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.binary(max_size=200))
def test_another_implementation_opens_what_is_sealed_here(payload_type: str, payload: bytes) -> None:
    envelope = json.loads(dsse.seal(payload_type, payload, ALICE))
    theirs = securesystemslib.dsse.Envelope.from_dict(envelope)
    assert theirs.pae() == dsse.encode(payload_type, payload)
    assert list(theirs.verify([their_key(ALICE.key)], 1)) == [ALICE.key.keyid]
    with pytest.raises(VerificationError):
        theirs.verify([their_key(MALLORY.key)], 1)


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.binary(max_size=200))
def test_what_another_implementation_seals_is_opened_here(payload_type: str, payload: bytes) -> None:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    signer = securesystemslib.signer.CryptoSigner(private, their_key(ALICE.key))
    theirs = securesystemslib.dsse.Envelope(payload, payload_type, {})
    theirs.sign(signer)
    data = json.dumps(theirs.to_dict()).encode()
    assert dsse.open_envelope(data, TRUSTED, LIMIT) == (payload_type, payload)


def test_the_encoding_is_the_one_of_the_specification() -> None:
    assert dsse.encode("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.encode("ü", b"") == b"DSSEv1 2 \xc3\xbc 0 "


def test_an_envelope_has_three_fields_and_one_signature() -> None:
    signature = ALICE.sign(dsse.encode(TYPE, b"{}"))
    assert json.loads(dsse.seal(TYPE, b"{}", ALICE)) == {
        "payloadType": TYPE,
        "payload": "e30=",
        "signatures": [{"keyid": ALICE.key.keyid, "sig": base64.b64encode(signature).decode()}],
    }


def test_what_was_sealed_is_opened() -> None:
    assert dsse.open_envelope(SEALED, TRUSTED, len(SEALED)) == (TYPE, b'{"speed":1.5}')


def test_unknown_fields_and_signatures_by_others_are_passed_over() -> None:
    other = json.loads(dsse.seal(TYPE, b'{"speed":1.5}', MALLORY))["signatures"][0]
    data = changed(lambda envelope: envelope.update(more=1, signatures=[other, *envelope["signatures"]]))
    assert dsse.open_envelope(data, TRUSTED, LIMIT) == (TYPE, b'{"speed":1.5}')


def test_either_base64_alphabet_is_read() -> None:
    payload = bytes(range(256))
    envelope = json.loads(dsse.seal(TYPE, payload, ALICE))
    assert "+" in envelope["payload"]
    envelope["payload"] = base64.urlsafe_b64encode(payload).decode()
    envelope["signatures"][0]["sig"] = envelope["signatures"][0]["sig"].replace("+", "-").replace("/", "_")
    assert dsse.open_envelope(json.dumps(envelope).encode(), TRUSTED, LIMIT) == (TYPE, payload)


def _flip(envelope: dict) -> None:
    raw = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    raw[5] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(raw).decode()


def _by_mallory_in_the_name_of_alice(envelope: dict) -> None:
    forged = MALLORY.sign(dsse.encode(TYPE, b'{"speed":1.5}'))
    envelope["signatures"] = [{"keyid": ALICE.key.keyid, "sig": base64.b64encode(forged).decode()}]


UNTRUSTED = {
    "no signature": lambda envelope: envelope.update(signatures=[]),
    "an empty signature": lambda envelope: envelope["signatures"][0].update(sig=""),
    "another key id": lambda envelope: envelope["signatures"][0].update(keyid=MALLORY.key.keyid),
    "no key id": lambda envelope: envelope["signatures"][0].update(keyid=""),
    "another key under a trusted id": _by_mallory_in_the_name_of_alice,
    "another payload": lambda envelope: envelope.update(payload=base64.b64encode(b'{"speed":9.5}').decode()),
    "a payload with a byte more": lambda envelope: envelope.update(
        payload=base64.b64encode(b'{"speed":1.5} ').decode()
    ),
    "another payload type": lambda envelope: envelope.update(payloadType=TYPE + "+gzip"),
    "bytes moved from payload to type": lambda envelope: envelope.update(payloadType=TYPE + " 13"),
    "a bit of the signature": _flip,
    "a signature that is too long": lambda envelope: envelope["signatures"][0].update(
        sig=base64.b64encode(bytes(65)).decode()
    ),
}


@pytest.mark.parametrize("attack", UNTRUSTED)
def test_what_no_trusted_key_signed_is_refused(attack: str) -> None:
    with pytest.raises(errors.BadSignature, match="no trusted key signed this"):
        dsse.open_envelope(changed(UNTRUSTED[attack]), TRUSTED, LIMIT)


def test_a_refusal_names_the_keys_that_did_sign() -> None:
    with pytest.raises(errors.BadSignature) as refused:
        dsse.open_envelope(SEALED, {}, LIMIT)
    assert refused.value.message == f"no trusted key signed this (signatures by: {ALICE.key.keyid})"
    with pytest.raises(errors.BadSignature) as refused:
        dsse.open_envelope(changed(UNTRUSTED["no signature"]), TRUSTED, LIMIT)
    assert refused.value.message == "no trusted key signed this (signatures by: nobody)"


BOTH = {signer.key.keyid: signer.key for signer in (ALICE, MALLORY)}


def test_several_sign_one_payload_at_once_or_one_after_the_other() -> None:
    at_once = dsse.seal(TYPE, b"{}", ALICE, MALLORY)
    assert dsse.add_signature(dsse.seal(TYPE, b"{}", ALICE), MALLORY, LIMIT) == at_once
    assert dsse.add_signature(at_once, MALLORY, LIMIT) == at_once
    assert dsse.open_envelope(at_once, BOTH, LIMIT, threshold=2) == (TYPE, b"{}")
    for key in BOTH:
        assert dsse.open_envelope(at_once, {key: BOTH[key]}, LIMIT) == (TYPE, b"{}")
    theirs = securesystemslib.dsse.Envelope.from_dict(json.loads(at_once))
    assert set(theirs.verify([their_key(key) for key in BOTH.values()], 2)) == set(BOTH)


def test_a_threshold_is_met_by_different_keys_alone() -> None:
    own = json.loads(SEALED)["signatures"][0]
    forged = _by_mallory_in_the_name_of_alice
    for signatures in ([own], [own, own], [own, {**own, "keyid": MALLORY.key.keyid}]):
        data = changed(lambda envelope, given=signatures: envelope.update(signatures=given))
        with pytest.raises(errors.BadSignature, match="1 of the trusted keys signed this, and 2 have to"):
            dsse.open_envelope(data, BOTH, LIMIT, threshold=2)
    with pytest.raises(errors.BadSignature, match="no trusted key"):
        dsse.open_envelope(changed(forged), BOTH, LIMIT, threshold=2)


def test_there_is_room_for_eight_signatures() -> None:
    signers = [dsse.signer_from_seed(bytes([number]) * 32) for number in range(9)]
    eight = dsse.seal(TYPE, b"{}", *signers[:8])
    assert dsse.add_signature(eight, signers[7], LIMIT) == eight
    with pytest.raises(errors.TooLarge, match="8 signatures are there already"):
        dsse.add_signature(eight, signers[8], LIMIT)
    with pytest.raises(errors.Malformed):
        dsse.add_signature(b"{}", signers[8], LIMIT)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a DSSE envelope"),
        (b"null", "not a DSSE envelope"),
        (SEALED + b"{}", "not JSON: Extra data"),
        (SEALED[:-1], "not JSON"),
        (SEALED.replace(b'{"payloadType"', b'{"payload":"e30=","payloadType"'), "key 'payload' stands twice"),
        (SEALED.replace(b'"sig"', b'"sig":"","sig"'), "key 'sig' stands twice"),
        (changed(lambda envelope: envelope.pop("payload")), "not a DSSE envelope"),
        (changed(lambda envelope: envelope.pop("signatures")), "not a DSSE envelope"),
        (changed(lambda envelope: envelope.update(payload=1)), "not a DSSE envelope"),
        (changed(lambda envelope: envelope.update(payloadType=None)), "not a DSSE envelope"),
        (changed(lambda envelope: envelope.update(signatures={})), "not a DSSE envelope"),
        (changed(lambda envelope: envelope.update(signatures=["sig"])), "not a DSSE envelope"),
        (changed(lambda envelope: envelope.update(payload="é")), "the payload is not base64"),
        (changed(lambda envelope: envelope.update(payload="e30")), "the payload is not base64"),
        (changed(lambda envelope: envelope.update(payload="e3 0=")), "the payload is not base64"),
        (changed(lambda envelope: envelope["signatures"][0].update(sig="*")), "the signature is not base64"),
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(errors.Malformed, match=re.escape(words)):
        dsse.open_envelope(data, TRUSTED, LIMIT)


def test_size_and_number_of_signatures_are_bounded() -> None:
    with pytest.raises(errors.TooLarge, match=f"{len(SEALED)} bytes, at most {len(SEALED) - 1} are taken"):
        dsse.open_envelope(SEALED, TRUSTED, len(SEALED) - 1)
    eight = changed(lambda envelope: envelope.update(signatures=envelope["signatures"] * 8))
    assert dsse.open_envelope(eight, TRUSTED, LIMIT) == (TYPE, b'{"speed":1.5}')
    nine = changed(lambda envelope: envelope.update(signatures=envelope["signatures"] * 9))
    with pytest.raises(errors.TooLarge, match="9 signatures, at most 8 are looked at"):
        dsse.open_envelope(nine, TRUSTED, LIMIT)


def test_what_is_in_an_envelope_can_be_shown_unverified() -> None:
    forged = dsse.seal(TYPE, b"{}", MALLORY)
    assert dsse.peek(forged, LIMIT) == (TYPE, b"{}", [MALLORY.key.keyid])


@given(st.binary(max_size=80) | st.text(st.sampled_from('{}[]":,payloadTypesignature'), max_size=60).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(errors.ProtocolError):
        dsse.open_envelope(data, TRUSTED, LIMIT)


def test_half_a_surrogate_pair_is_no_text() -> None:
    for broken in (
        changed(lambda envelope: envelope.update(payloadType="\ud800")),
        changed(lambda envelope: envelope["signatures"][0].update(keyid="\ud800")),
    ):
        with pytest.raises(errors.Malformed):
            dsse.open_envelope(broken, TRUSTED, LIMIT)


def test_the_key_id_is_the_beginning_of_the_keys_digest() -> None:
    key = ALICE.key
    assert key.raw.hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert key.keyid == hashlib.sha256(key.raw).hexdigest()[:32]
    assert dsse.PublicKey.from_text(key.text) == key
    assert dsse.PublicKey.from_text(key.text.replace("+", "-").replace("/", "_")) == key


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*", "the public key is not base64"),
        ("", "a public key has 32 bytes, not 0"),
        (base64.b64encode(bytes(33)).decode(), "a public key has 32 bytes, not 33"),
    ],
)
def test_what_is_no_key_is_refused(text: str, words: str) -> None:
    with pytest.raises(errors.Malformed, match=re.escape(words)):
        dsse.PublicKey.from_text(text)


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        dsse.signer_from_seed(bytes(31))


def test_a_key_verifies_what_it_signed_and_nothing_else() -> None:
    signature = ALICE.sign(b"message")
    assert ALICE.key.verifies(b"message", signature)
    assert not ALICE.key.verifies(b"massage", signature)
    assert not MALLORY.key.verifies(b"message", signature)
    assert not ALICE.key.verifies(b"message", b"")
