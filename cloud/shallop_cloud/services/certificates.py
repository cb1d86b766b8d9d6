"""The client certificate of a robot, made when it enrols."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

import sqlalchemy.exc
from shallop_protocol import ids

from shallop_cloud import authorities, errors
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import certificates, devices, history

_WAIT_S = 3 * authorities.COMMAND_WITHIN_S
_TURNS = [threading.Lock() for _ in range(64)]
"""So that a robot that asks many times at once is signed for once; by the device's id, some share one."""


def ensure(shore: Shore, device: str, request: authorities.Request) -> str | None:
    """The certificate chain, in PEM, of a device that has just enrolled, or has asked again; None if nobody signs.

    It is made after the enrolment is committed, and not in its transaction, because whoever signs may take long. What
    goes wrong here is made good by asking again.

    Raises:
        errors.Conflict: ``certificate_of_another_key``.
        errors.Problem: 503 ``certificate_unavailable``; 401 ``token_invalid`` if the device was revoked meanwhile.
    """
    if not shore.authority.signs:
        return None
    with _turn(device):
        known = _known(shore, device, request)
        if known is not None:
            return known
        at = shore.now()
        signed = shore.authority.sign(request, ids.on_wire(device), at)
        certificate = certificates.Certificate(
            signed.serial, device, signed.chain, request.key_digest, signed.issued_at, signed.expires_at
        )
        shown = {"serial": signed.serial, "expires_at": signed.expires_at.isoformat()}
        with contextlib.suppress(sqlalchemy.exc.IntegrityError):  # another server was faster
            with shore.database.write() as connection:
                devices.hold(connection, [device])
                row = devices.find(connection, key=device)
                if row is None or row["revoked_at"] is not None:
                    raise errors.Problem(401, "token_invalid", "this device was revoked meanwhile")
                certificates.insert(connection, certificate)
                entry = history.row(at=at, actor=row["name"], action="device_certified", device_id=device, after=shown)
                history.append(connection, [entry])
            return certificate.chain
        return _known(shore, device, request)


def _known(shore: Shore, device: str, request: authorities.Request) -> str | None:
    with shore.database.read() as connection:
        known = certificates.in_force(connection, device)
    if known is not None and known.key_digest != request.key_digest:
        words = "this enrolment has a certificate of another key; make another token for the device, and enrol with it"
        raise errors.Conflict("certificate_of_another_key", words)
    return None if known is None else known.chain


@contextlib.contextmanager
def _turn(device: str) -> Generator[None]:
    lock = _TURNS[hash(device) % len(_TURNS)]
    if not lock.acquire(timeout=_WAIT_S):
        raise errors.Problem(503, "certificate_unavailable", "certificates are being signed; ask again in a while")
    try:
        yield
    finally:
        lock.release()
