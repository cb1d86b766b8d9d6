"""The cloud's answer to one question, and everything that is none."""

from __future__ import annotations

import pytest
from shallop_protocol import desired, dsse, echo, errors, strict_json

SIGNER = dsse.signer_from_seed(bytes(32))
TRUSTED = {SIGNER.key.keyid: SIGNER.key}
ECHO = echo.Echo(device="dev-1", nonce="0123456789abcdef", epoch=1, generation=7, keys=3)


def test_an_echo_arrives_as_it_was_sealed() -> None:
    assert echo.open_echo(echo.seal_echo(ECHO, SIGNER), TRUSTED, "dev-1") == ECHO


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (echo.seal_echo(ECHO, dsse.signer_from_seed(bytes(31) + b"x")), errors.BadSignature),
        (echo.seal_echo(ECHO.model_copy(update={"device": "dev-2"}), SIGNER), errors.WrongDevice),
        (dsse.seal(desired.PAYLOAD_TYPE, ECHO.to_bytes(), SIGNER), errors.Unsupported),
        (echo.seal_echo(ECHO.model_copy(update={"v": 2}), SIGNER), errors.Unsupported),
        (echo.seal_echo(ECHO.model_copy(update={"nonce": "no"}), SIGNER), errors.Malformed),
        (dsse.seal(echo.PAYLOAD_TYPE, strict_json.dumps([]), SIGNER), errors.Malformed),
        (b"x" * 9_000, errors.TooLarge),
    ],
)
def test_nothing_else_is_one(data: bytes, error: type[errors.ProtocolError]) -> None:
    with pytest.raises(error):
        echo.open_echo(data, TRUSTED, "dev-1")
