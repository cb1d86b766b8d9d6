"""What people carry by hand where no network goes: an order to a robot, and its report back.

A bundle is a plain tar: ``keys.json``, the key list, ``desired.json``, the signed envelope, and
``contents/<hex of the SHA-256>`` for each file that did not fit into it. A report is the bytes that the robot would
have published.
"""

from __future__ import annotations

import dataclasses
import re
import tarfile
from collections.abc import Iterator, Sequence

from shallop_protocol import desired, ids, messages
from shallop_protocol import errors as protocol_errors

from shallop_cloud import errors
from shallop_cloud.link import ingest, orders
from shallop_cloud.services import lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents, devices, history, outgoing, renewals

KEYS = "keys.json"
ORDER = "desired.json"
CONTENTS = "contents/"
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """The newest order of a device, to be carried there.

    Attributes:
        name: of the file, as people see it.
        size: of the whole, in bytes; ``pieces`` makes it.
    """

    shore: Shore
    name: str
    key_list: bytes
    envelope: bytes
    files: Sequence[desired.Instance]

    @property
    def size(self) -> int:
        """Bytes in all."""
        sizes = (len(self.key_list), len(self.envelope), *(each.size for each in self.files))
        return sum(_BLOCK + _padded(size) for size in sizes) + len(_END)

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the tar."""
        yield _header(KEYS, len(self.key_list)) + self.key_list + _padding(len(self.key_list))
        yield _header(ORDER, len(self.envelope)) + self.envelope + _padding(len(self.envelope))
        for each in self.files:
            yield _header(CONTENTS + each.digest.partition(":")[2], each.size)
            yield from contents.stream(self.shore.database, each.digest, 0, each.size)
            yield _padding(each.size)
        yield _END


def bundle(shore: Shore, key: str) -> Bundle:
    """The newest order of a device, signed. It has no term within which the cloud must answer: it may not be able to.

    From now on the order may be out, so the cloud never issues another one of its number.

    Raises:
        errors.NotFound: no such device.
        errors.Conflict: ``device_archived``, ``nothing_ordered``; ``no_signing_key``, on a server that cannot sign.
    """
    shore.keyring.refresh()
    standing = shore.keyring.standing
    if not standing.signers:
        words = (
            "this server has the private half of no key that signs now; ask another server, or copy its signing*.key"
        )
        raise errors.Conflict("no_signing_key", words)
    with shore.database.write() as connection:
        row = lookup.device(connection, key)
        if row["archived_at"] is not None:
            raise errors.Conflict("device_archived", f"{row['name']} is archived; restore it first")
        devices.hold(connection, [row["id"]])
        renewals.raise_many(connection, [row["id"]], standing.listed, devices.Cause("shallop", shore.now()))
        newest = orders.newest(connection, [row["id"]])
        if not newest:
            raise errors.Conflict("nothing_ordered", f"nothing was ever ordered for {row['name']}; deploy something")
        outgoing.mark_published(connection, [row["id"]])
    order = newest[0].model_copy(update={"confirm_s": None})
    envelope, left_out = desired.seal_to_fit(order, *standing.signers, limit=desired.MAX_ENVELOPE_BYTES)
    inside = desired.referring(order, left_out).deployment
    files = {each.digest: each for each in inside.instances if each.content is None} if inside else {}
    name = f"{_UNSAFE.sub('-', row['name'])}-{order.epoch}-{order.generation}.shallop-bundle"
    return Bundle(shore, name, standing.envelope, envelope, list(files.values()))


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """What became of a report that was brought.

    Attributes:
        device: its id.
        news: False if the cloud knew it, or a later one.
    """

    device: str
    news: bool


def bring_report(shore: Shore, key: str, data: bytes, actor: str) -> Brought:
    """Takes the report of a device as if it had come through the broker.

    Raises:
        errors.NotFound: no such device.
        errors.Conflict: ``device_revoked``.
        errors.Invalid: ``report_invalid``, it cannot be read, or is another device's.
    """
    at = shore.now()
    with shore.database.write() as connection:
        row = lookup.device(connection, key)
        device: str = row["id"]
        if row["revoked_at"] is not None:
            words = f"{row['name']} is revoked, and nothing that it says counts until it is enrolled anew"
            raise errors.Conflict("device_revoked", f"{words}: shallop device renew-token {row['name']}")
        try:
            report = messages.parse_report(data, ids.on_wire(device))
        except protocol_errors.ProtocolError as error:
            raise errors.Invalid("report_invalid", f"this is no report of {key}: {error.message}") from None
        devices.hold(connection, [device])
        recorded = ingest.record_reports(connection, [(device, report, data)], at)
        if recorded.changed:
            shown = {"seq": report.seq, "generation": report.generation}
            entry = history.row(
                at=at, actor=actor, action="report_brought", device_id=device, device_time=report.at, after=shown
            )
            history.append(connection, [*recorded.moved, entry])
    if recorded.ordered:
        shore.ordered()
    return Brought(device, recorded.changed)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _padding(size: int) -> bytes:
    return bytes(_padded(size) - size)
