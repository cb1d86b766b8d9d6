"""What an attacker makes of messages."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from shallop_protocol import desired, digests, dsse, ids


def envelope_of(data: bytes) -> dict[str, Any]:
    """The JSON of an envelope."""
    return json.loads(data)


def payload_of(data: bytes) -> bytes:
    """What an envelope holds, unpacked."""
    read = envelope_of(data)
    payload = base64.b64decode(read["payload"])
    return zlib.decompress(payload, wbits=31) if read["payloadType"].endswith("+gzip") else payload


def order_of(data: bytes) -> desired.Desired:
    """The order that an envelope holds, whoever signed it."""
    return desired.Desired.model_validate_json(payload_of(data))


def changed(data: bytes, **fields: Any) -> bytes:
    """An envelope with other fields, as JSON."""
    return json.dumps({**envelope_of(data), **fields}).encode()


def forged(data: bytes, *signers: dsse.Signer, payload_type: str = desired.PAYLOAD_TYPE, **fields: Any) -> bytes:
    """The order of an envelope with other fields, signed anew."""
    order = order_of(data).model_copy(update=fields)
    return dsse.seal(payload_type, order.to_bytes(), *signers)


def manifest(files: Mapping[str, bytes]) -> desired.Manifest:
    """A deployment of these files, complete with all digests."""
    instances = tuple(
        desired.Instance(
            id=ids.make(ids.Prefix.INSTANCE, bytes([number]) * ids.RANDOM_BYTES),
            path=path,
            digest=digests.of_bytes(text),
            size=len(text),
            content=text.decode(),
        )
        for number, (path, text) in enumerate(files.items())
    )
    digest = digests.of_files(each.file for each in instances)
    key = ids.make(ids.Prefix.DEPLOYMENT, digest.encode()[-ids.RANDOM_BYTES :])
    return desired.Manifest(id=key, release="1.0.0", digest=digest, instances=instances)
