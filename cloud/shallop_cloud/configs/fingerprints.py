"""Fingerprints of values, by which large documents are compared in linear time, however often an alias is used."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from shallop_cloud.configs import values


class Fingerprints:
    """Gives equal values equal fingerprints, and others different ones.

    A value is looked at once: what a document holds in several places by alias is one object. So the documents must
    outlive this.
    """

    def __init__(self, *, exact: bool = False) -> None:
        """``exact``: 1 and 1.0 differ. Else they are equal, as JSON Schema has it; 1 and true never are."""
        self._exact = exact
        self._known: dict[int, bytes] = {}

    def of(self, value: Any) -> bytes:
        """The fingerprint of a value of a document."""
        if not isinstance(value, (dict, list, str)):
            return (repr(value) if self._exact else values.identity(value)).encode()
        if (known := self._known.get(id(cast("object", value)))) is None:
            known = self._known[id(cast("object", value))] = hashlib.sha256(self._content(value)).digest()
        return known

    def _content(self, value: Any) -> bytes:
        if isinstance(value, str):
            return b"text " + value.encode(errors="surrogatepass")
        if isinstance(value, list):
            return b"list " + b"".join(_framed(self.of(each)) for each in cast("list[Any]", value))
        table = cast("dict[str, Any]", value)
        return b"object " + b"".join(sorted(_framed(self.of(key)) + _framed(self.of(table[key])) for key in table))


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(2, "big") + part
