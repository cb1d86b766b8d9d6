"""Robots' client certificates, and the authority that signs them."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import tables


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was given to a device.

    Attributes:
        serial: the serial number, in lower-case hex.
        chain: the certificate, and those that lead from it to the authority, in PEM.
        key_digest: SHA-256 of its public key (SubjectPublicKeyInfo in DER), as ``digests.of_bytes`` writes it.
    """

    serial: str
    device_id: str
    chain: str
    key_digest: str
    issued_at: datetime.datetime
    expires_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is not to be believed any more, though it has not expired."""

    serial: str
    revoked_at: datetime.datetime


def authority(connection: sa.Connection) -> str | None:
    """The certificate, in PEM, of the authority that signs for this fleet."""
    return connection.execute(sa.select(tables.certificate_authority.c.certificate)).scalar()


def record_authority(connection: sa.Connection, certificate: str) -> None:
    """Records the authority of the first server."""
    connection.execute(tables.certificate_authority.insert().values(id=1, certificate=certificate))


def in_force(connection: sa.Connection, device: str) -> Certificate | None:
    """The certificate that a device has."""
    column = tables.certificates.c
    query = sa.select(*(column[field.name] for field in dataclasses.fields(Certificate)))
    row = connection.execute(query.where(column.device_id == device, column.revoked_at.is_(None))).mappings().first()
    return None if row is None else Certificate(**row)


def insert(connection: sa.Connection, certificate: Certificate) -> None:
    """Records a certificate. Raises ``sqlalchemy.exc.IntegrityError`` if its serial number was used, or the device has
    one in force.
    """
    values: dict[str, Any] = dataclasses.asdict(certificate)
    connection.execute(tables.certificates.insert().values(values))


def revoke(connection: sa.Connection, device: str, at: datetime.datetime) -> str | None:
    """Revokes the certificate that a device has; gives its serial number, or None if it has none."""
    known = in_force(connection, device)
    if known is None:
        return None
    column = tables.certificates.c
    connection.execute(tables.certificates.update().where(column.serial == known.serial).values(revoked_at=at))
    return known.serial


def revoked(connection: sa.Connection, at: datetime.datetime) -> list[Revoked]:
    """Those that were revoked and have not expired at a time, by serial number."""
    column = tables.certificates.c
    query = sa.select(column.serial, column.revoked_at).where(column.revoked_at.is_not(None), column.expires_at > at)
    return [Revoked(row.serial, row.revoked_at) for row in connection.execute(query.order_by(column.serial))]
