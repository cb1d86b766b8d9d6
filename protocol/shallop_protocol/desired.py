"""The desired state: what the cloud signs and a device obeys.

Trust is one function: ``open_desired`` takes bytes and gives a verified order, or an error. Nothing of an
envelope is looked at before a trusted key was seen to have signed it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import pydantic

from shallop_protocol import digests, dsse, errors, ids, messages

PAYLOAD_TYPE = "application/vnd.shallop.desired+json"
PAYLOAD_TYPE_GZIP = "application/vnd.shallop.desired+json+gzip"
DEFAULT_LIMIT = 120_000
"""Bytes of envelope that the cloud publishes by default: what AWS IoT Core carries, with some room."""
MAX_ENVELOPE_BYTES = 1_048_576
"""Bytes of envelope that a device looks at."""
MAX_PAYLOAD_BYTES = 8_388_608
"""Bytes of payload after decompression that a device looks at."""
MAX_INSTANCES = 256
MAX_INLINE_BYTES = 1_048_576
"""Bytes of one file that travels with the order; what is larger goes by reference, however well it compresses."""
MAX_CONTENT_BYTES = 2**30
"""Bytes of one file that travels by reference."""
MAX_CONFIRM_S = 86_400

Mode = Annotated[str, pydantic.Field(pattern=r"^0[0-7]{3}$")]


class Instance(messages.Value):
    """One file: where it goes, what it must be, and its text, or none if the file travels by reference."""

    id: Annotated[str, pydantic.Field(pattern=ids.INSTANCE_PATTERN)]
    slot: Annotated[str, pydantic.Field(min_length=1, max_length=64)] = "default"
    path: Annotated[str, pydantic.Field(min_length=1, max_length=4096)]
    mode: Mode = "0644"
    digest: messages.Digest
    size: Annotated[int, pydantic.Field(ge=0, le=MAX_CONTENT_BYTES)]
    content: str | None = pydantic.Field(
        description="The text of the file; null: fetch the bytes by their digest from the cloud."
    )

    @property
    def data(self) -> bytes | None:
        """The bytes of the file, if they came with the order."""
        return None if self.content is None else self.content.encode()

    @property
    def file(self) -> digests.FileDigest:
        """What the deployment's digest says of this file."""
        return digests.FileDigest(self.path, self.mode, self.size, self.digest)


class Manifest(messages.Value):
    """A deployment with all that is needed to apply it."""

    id: messages.DeploymentId
    release: Annotated[str, pydantic.Field(min_length=1, max_length=128)]
    digest: messages.Digest = pydantic.Field(description="Of the set of files: path, mode, size and digest of each.")
    instances: Annotated[tuple[Instance, ...], pydantic.Field(max_length=MAX_INSTANCES)]


class Desired(messages.Message):
    """What one device shall run. ``deployment: null`` is the explicit order to take everything off.

    ``fallback`` stays on the device beside the deployment: it is what the device returns to if that fails. What
    an order names neither as deployment nor as fallback comes off.
    """

    device: messages.WireId
    epoch: messages.Number
    generation: messages.Number
    issued_at: messages.Time
    deployment: Manifest | None
    fallback: messages.DeploymentId | None = None
    confirm_s: Annotated[int, pydantic.Field(ge=1, le=MAX_CONFIRM_S)] | None = pydantic.Field(
        default=None,
        description="The device undoes the deployment unless the cloud answers within so many seconds of the switch.",
    )

    @property
    def digest(self) -> str:
        """Tells two orders of one generation apart: by what they order, not by how they were written."""
        named = (self.deployment.id, self.deployment.digest) if self.deployment else None
        return order_digest(self.device, self.epoch, self.generation, named, self.fallback)


def order_digest(
    device: str, epoch: int, generation: int, deployment: tuple[str, str] | None, fallback: str | None
) -> str:
    """``Desired.digest`` from its parts: the device's id on the wire, and id and digest of the deployment."""
    named = f"{deployment[0]} {deployment[1]}" if deployment else "-"
    return digests.of_bytes(f"{device} {epoch} {generation} {named} {fallback or '-'}".encode())


def seal_desired(desired: Desired, *signers: dsse.Signer, limit: int = DEFAULT_LIMIT) -> bytes:
    """The envelope of an order, signed by each signer, compressed if it would not fit otherwise.

    Raises:
        errors.TooLarge: more than ``limit`` bytes even when compressed, or more than a device unpacks.
    """
    payload = desired.to_bytes()
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise errors.TooLarge(f"the deployment has {len(payload)} bytes; a device takes at most {MAX_PAYLOAD_BYTES}")
    plain = dsse.seal(PAYLOAD_TYPE, payload, *signers) if len(payload) <= limit else b""
    if plain and len(plain) <= limit:
        return plain
    compressor = zlib.compressobj(wbits=31)
    packed = dsse.seal(PAYLOAD_TYPE_GZIP, compressor.compress(payload) + compressor.flush(), *signers)
    if len(packed) > limit:
        raise errors.TooLarge(
            f"the deployment takes {len(packed)} bytes on the wire, compressed and signed; the limit is {limit}"
        )
    return packed


def referring(desired: Desired, contents: Collection[str]) -> Desired:
    """The order without the contents that have these digests: the device fetches them."""
    if desired.deployment is None or not contents:
        return desired
    instances = tuple(
        each.model_copy(update={"content": None}) if each.digest in contents else each
        for each in desired.deployment.instances
    )
    return desired.model_copy(update={"deployment": desired.deployment.model_copy(update={"instances": instances})})


def seal_to_fit(desired: Desired, *signers: dsse.Signer, limit: int = DEFAULT_LIMIT) -> tuple[bytes, frozenset[str]]:
    """The signed envelope of an order, from which the largest contents are left out until it fits.

    As few as possible are left out, the larger before the smaller; of equal ones, by digest.

    Returns:
        The envelope, and the digests of the contents that were left out; ``referring`` leaves out the same again.

    Raises:
        errors.TooLarge: not even the manifest without any content fits.
    """
    instances = desired.deployment.instances if desired.deployment else ()
    sizes = {each.digest: each.size for each in instances if each.content is not None}
    largest = sorted(sizes, key=lambda digest: (-sizes[digest], digest))
    whole = _sealed(desired, signers, limit)
    if whole is not None:
        return whole, frozenset()
    # Without one content more an envelope is smaller, so the fewest are found by halving.
    too_few, enough = 0, len(largest)
    fitting = seal_desired(referring(desired, largest), *signers, limit=limit)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        sealed = _sealed(referring(desired, largest[:middle]), signers, limit)
        if sealed is None:
            too_few = middle
        else:
            enough, fitting = middle, sealed
    return fitting, frozenset(largest[:enough])


def _sealed(desired: Desired, signers: Sequence[dsse.Signer], limit: int) -> bytes | None:
    try:
        return seal_desired(desired, *signers, limit=limit)
    except errors.TooLarge:
        return None


def open_desired(data: bytes, trusted: Mapping[str, dsse.PublicKey], device: str) -> Desired:
    """The order for ``device`` that an envelope holds.

    Raises:
        errors.BadSignature: no trusted key signed it.
        errors.WrongDevice: signed, but for another device.
        errors.Unsupported: signed, but of a type or version that this software does not know.
        errors.TooLarge: the envelope, or what it unpacks to, is over the limits.
        errors.Malformed: anything else.
    """
    payload_type, payload = dsse.open_envelope(data, trusted, MAX_ENVELOPE_BYTES)
    if payload_type == PAYLOAD_TYPE_GZIP:
        payload = _decompress(payload)
    elif payload_type != PAYLOAD_TYPE:
        raise errors.Unsupported(f"payload type {payload_type[:100]!r}")
    desired = messages.parse(Desired, payload, MAX_PAYLOAD_BYTES)
    if desired.device != device:
        raise errors.WrongDevice(f"the order is for {desired.device}, this is {device}")
    return desired


def _decompress(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        payload = unpacker.decompress(data, MAX_PAYLOAD_BYTES)
    except zlib.error:
        raise errors.Malformed("the payload is not gzip") from None
    if unpacker.unconsumed_tail:
        raise errors.TooLarge(f"the payload unpacks to more than {MAX_PAYLOAD_BYTES} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise errors.Malformed("the gzip payload is cut short, or has more behind it")
    return payload
