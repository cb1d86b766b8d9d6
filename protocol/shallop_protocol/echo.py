"""The cloud's answer to a report that asked for one: proof of a round trip, signed, so that no broker can give it.

The nonce makes each echo good for one question; epoch and generation say what the cloud's newest order is, ``keys``
which its newest key list. So a broker that holds one of them back is found out.
"""

from __future__ import annotations

from collections.abc import Mapping

import pydantic

from shallop_protocol import dsse, errors, messages

PAYLOAD_TYPE = "application/vnd.shallop.echo+json"


class Echo(messages.Message):
    """A report with this nonce reached the cloud, whose newest order for the device is this one."""

    device: messages.WireId
    nonce: messages.Nonce
    epoch: messages.Count
    generation: messages.Count
    keys: messages.Count = pydantic.Field(default=0, description="The version of the newest key list.")


def seal_echo(echo: Echo, *signers: dsse.Signer) -> bytes:
    """The signed envelope of an echo."""
    return dsse.seal(PAYLOAD_TYPE, echo.to_bytes(), *signers)


def open_echo(data: bytes, trusted: Mapping[str, dsse.PublicKey], device: str) -> Echo:
    """The echo for ``device`` that an envelope holds.

    Raises:
        errors.BadSignature: no trusted key signed it.
        errors.WrongDevice: signed, but for another device.
        errors.Unsupported: signed, but not an echo, or of a version that this software does not know.
        errors.ProtocolError: anything else.
    """
    payload_type, payload = dsse.open_envelope(data, trusted, messages.MAX_SMALL_BYTES)
    if payload_type != PAYLOAD_TYPE:
        raise errors.Unsupported(f"payload type {payload_type[:100]!r}")
    echo = messages.parse(Echo, payload, messages.MAX_SMALL_BYTES)
    if echo.device != device:
        raise errors.WrongDevice(f"the echo is for {echo.device}, this is {device}")
    return echo
