"""An order that was carried by hand: ``shallop bundle`` wrote it, and it is taken as if it had come through the broker.

A bundle is a plain tar (POSIX.1-1988, ustar) of regular files: ``keys.json``, the key list, ``desired.json``, the
signed envelope, then ``contents/<hex of the SHA-256>`` for each file that did not fit into it. It is read twice:
nothing is kept before all of it was seen to be what the signed order says.
"""

from __future__ import annotations

import dataclasses
import datetime
import tarfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from shallop_protocol import desired, device, digests, keys, trust
from shallop_protocol import errors as protocol_errors

from shallop_device import contents, errors

KEYS = "keys.json"
ORDER = "desired.json"
CONTENTS = "contents/"
MAX_BYTES = 2 * desired.MAX_CONTENT_BYTES
"""Of a whole bundle."""
_BLOCK = tarfile.BLOCKSIZE
_PIECE = 262_144


class BadBundle(errors.AgentError):
    """This file is no bundle for this robot. Nothing was done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """What is in a file that was seen to be whole.

    Attributes:
        key_list: the signed key list that came with it, if it is newer than the robot's.
        places: where in the file each content begins, by digest.
    """

    envelope: bytes
    order: desired.Desired
    places: Mapping[str, int]
    key_list: bytes | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    name: str
    start: int
    size: int


def read(file: BinaryIO, known: trust.Trust, memory: device.Memory, now: datetime.datetime) -> Bundle:
    """The bundle in a file, which can be sought in.

    Args:
        known: whose orders this device obeys.
        memory: what the device knows; the order must be acceptable to it.

    Raises:
        BadBundle: it is damaged, cut short, has what does not belong there, is not signed by a trusted key, is for
            another device, or its order is older than what this device knows.
    """
    members = _members(file)
    first = next(members, None)
    key_list = None
    if first is not None and first.name == KEYS and first.size <= keys.MAX_BYTES:
        listed = _bytes(file, first)
        renewed = _renewed(known, listed)
        known, key_list = renewed, None if renewed is known else listed
        first = next(members, None)
    if first is None or first.name != ORDER or first.size > desired.MAX_ENVELOPE_BYTES:
        raise BadBundle(f"this is no bundle: it does not begin with {KEYS} and {ORDER}")
    envelope = _bytes(file, first)
    try:
        order = known.order(envelope)
    except protocol_errors.ProtocolError as error:
        raise BadBundle(f"the order in the bundle is refused: {error.message}") from None
    _check_news(order, memory, now)
    wanted = {each.digest: each for each in _referred(order)}
    places: dict[str, int] = {}
    for member in members:
        digest = f"sha256:{member.name.removeprefix(CONTENTS)}"
        instance = wanted.get(digest)
        if not member.name.startswith(CONTENTS) or instance is None or digest in places:
            raise BadBundle(f"the bundle has {member.name[:100]!r}, which does not belong there")
        counted = digests.Counted()
        for piece in _pieces(file, member.start, member.size):
            counted.add(piece)
        if (counted.size, counted.digest) != (instance.size, digest):
            raise BadBundle(f"{instance.path} is damaged in the bundle; carry it here again")
        places[digest] = member.start
    missing = [each.path for each in wanted.values() if each.digest not in places]
    if missing:
        raise BadBundle(f"the bundle lacks {', '.join(missing[:3])}; write it again with: shallop bundle")
    return Bundle(envelope, order, places, key_list)


def keep(file: BinaryIO, bundle: Bundle, library: contents.Library) -> None:
    """Puts the contents of a bundle where the order finds them.

    Raises:
        errors.AgentError: the disk does not let it.
    """
    for instance in _referred(bundle.order):
        try:
            if library.has(instance):
                continue
            with library.open_part(instance) as part:
                part.restart()
                for piece in _pieces(file, bundle.places[instance.digest], instance.size):
                    part.add(piece)
                part.finish()
        except contents.WrongBytes as error:
            raise BadBundle(f"the bundle changed while it was read: {error}") from None
        except OSError as error:
            raise errors.AgentError(str(errors.held_up(error, f"keep {instance.path}"))) from None


def _renewed(known: trust.Trust, listed: bytes) -> trust.Trust:
    """With the key list of a bundle; one that is older than the robot's makes no difference."""
    try:
        return known.renewed(listed)
    except protocol_errors.Outdated:
        return known
    except protocol_errors.ProtocolError as error:
        raise BadBundle(f"the key list in the bundle is refused: {error.message}") from None


def _check_news(order: desired.Desired, memory: device.Memory, now: datetime.datetime) -> None:
    received = device.receive(memory, order, now)
    refused = received.memory.refused
    if received.outcome == "refused" and refused is not None:
        raise BadBundle(f"the order in the bundle is refused: {refused.message}")


def _referred(order: desired.Desired) -> list[desired.Instance]:
    if order.deployment is None:
        return []
    return list({each.digest: each for each in order.deployment.instances if each.content is None}.values())


def _members(file: BinaryIO) -> Iterator[_Member]:
    """What is in a tar, one after another; each is a regular file and all there."""
    file.seek(0, 2)
    total = file.tell()
    if total > MAX_BYTES:
        raise BadBundle(f"the bundle has {total} bytes; at most {MAX_BYTES} are taken")
    at = 0
    while True:
        file.seek(at)
        block = file.read(_BLOCK)
        if len(block) == _BLOCK and not any(block):
            if any(any(piece) for piece in _pieces(file, at, total - at)):
                raise BadBundle("the bundle has something behind its end")
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise BadBundle(f"the bundle is damaged, cut short, or none: {error}") from None
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.size < 0:
            raise BadBundle(f"the bundle has {info.name[:100]!r}, which is no regular file")
        start = at + _BLOCK
        at = start + -(-info.size // _BLOCK) * _BLOCK
        if at > total:
            raise BadBundle("the bundle is cut short; carry it here again")
        yield _Member(info.name, start, info.size)


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size > 0 and (piece := file.read(min(_PIECE, size))):
        size -= len(piece)
        yield piece


def _bytes(file: BinaryIO, member: _Member) -> bytes:
    return b"".join(_pieces(file, member.start, member.size))
