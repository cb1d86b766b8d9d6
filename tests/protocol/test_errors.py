"""Errors: what people and programs read of them."""

from __future__ import annotations

from shallop_protocol import errors


def test_each_error_has_a_short_code_and_keeps_its_words() -> None:
    kinds = [errors.ProtocolError, *errors.ProtocolError.__subclasses__()]
    assert {kind: (kind("why").code, kind("why").message, str(kind("why"))) for kind in kinds} == {
        errors.ProtocolError: ("malformed", "why", "why"),
        errors.TooLarge: ("too_large", "why", "why"),
        errors.Malformed: ("malformed", "why", "why"),
        errors.Unsupported: ("unsupported", "why", "why"),
        errors.BadSignature: ("bad_signature", "why", "why"),
        errors.WrongDevice: ("wrong_device", "why", "why"),
        errors.Outdated: ("outdated", "why", "why"),
        errors.WrongEpoch: ("wrong_epoch", "why", "why"),
        errors.Conflicting: ("conflicting", "why", "why"),
    }
