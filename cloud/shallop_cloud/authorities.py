"""Who signs robots' client certificates: nobody, a small authority of this server's, or a program of the operator's.

Of a certificate request nothing is believed but its public key, and that only after its signature was checked: the
names in a certificate are the cloud's. RFC 2986 (requests), RFC 5280 (certificates and revocation lists).
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cryptography.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import oid
from shallop_protocol import digests

from shallop_cloud import commands, errors, files
from shallop_cloud.store import certificates
from shallop_cloud.store.database import Database

MAX_REQUEST = 8_192
"""Bytes of a certificate request in PEM; one for RSA with 4,096 bits has about 1,700."""
MAX_CHAIN = 16_384
"""Bytes of a chain in PEM. With the broker's authorities and the key list it fits into what a robot takes."""
MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 4_096
DAYS = 3_650
COMMAND_WITHIN_S = 20.0
AT_ONCE = 8
"""Signing programs that run at the same time; who comes while so many run waits, for as long as one may take."""

_AUTHORITY_LASTS = datetime.timedelta(days=36_500)
_LIST_LASTS = datetime.timedelta(days=365)
LIST_AGE = datetime.timedelta(days=7)
"""After so long the revocation list is issued anew though nothing changed, so that none that a broker has expires."""
_SLACK = datetime.timedelta(days=1)
"""A certificate counts from so long before it was made: clocks differ."""

_URN = "urn:shallop:"

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A certificate request whose signature was right.

    Attributes:
        pem: as it was sent.
        key: the public key that it is for.
    """

    pem: str
    key: PublicKey

    @property
    def key_digest(self) -> str:
        """SHA-256 of the key."""
        return key_digest(self.key)


@dataclasses.dataclass(frozen=True, slots=True)
class Signed:
    """A certificate that was made; ``serial`` in lower-case hex, ``chain`` in PEM."""

    serial: str
    chain: str
    issued_at: datetime.datetime
    expires_at: datetime.datetime


class Authority(Protocol):
    """Who signs."""

    @property
    def signs(self) -> bool:
        """Whether there is anyone who does."""
        ...

    def sign(self, request: Request, wire: str, at: datetime.datetime) -> Signed:
        """A certificate for the device of this wire id.

        Raises:
            errors.Problem: 503 ``certificate_unavailable``; nothing was made, and the same may be asked again.
        """
        ...

    def write_list(self, revoked: Sequence[certificates.Revoked], at: datetime.datetime) -> bool:
        """Brings the revocation list to these certificates, if the authority has one. Gives whether it was written:
        it is not if it says so already and is not old.
        """
        ...


class Nobody:
    """No certificates: a robot has its MQTT password."""

    signs = False

    def sign(self, request: Request, wire: str, at: datetime.datetime) -> Signed:  # noqa: ARG002
        """Never called, because ``signs`` is false."""
        raise AssertionError("nobody signs certificates here")

    def write_list(self, revoked: Sequence[certificates.Revoked], at: datetime.datetime) -> bool:  # noqa: ARG002
        """There is none."""
        return False


NOBODY = Nobody()


class BuiltIn:
    """An authority in a directory: ``ca.key``, for its owner alone, ``ca.crt``, and ``crl.pem``, the revocation list.

    Args:
        days: how long a robot's certificate counts.
    """

    signs = True

    def __init__(
        self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, days: int
    ) -> None:
        self.directory = directory
        self.certificate = certificate
        self._key = key
        self._lasts = datetime.timedelta(days=days)
        self._lock = threading.Lock()

    @classmethod
    def at(cls, directory: Path, database: Database, days: int = DAYS) -> BuiltIn:
        """The authority of this fleet, made with its first server. The database has its certificate.

        Raises:
            errors.StartupError: its key is not in the directory, or is another's.
        """
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / "ca.key"
        with database.write() as connection:
            database.take_turns(connection)
            recorded = certificates.authority(connection)
            if recorded is not None and not path.exists():
                raise errors.StartupError(f"{path} is not there, and robots have certificates signed by it", _COPY)
            key = _read_key(path)
            if recorded is None:
                recorded = _self_signed(key, datetime.datetime.now(datetime.UTC))
                certificates.record_authority(connection, recorded)
            certificate = x509.load_pem_x509_certificate(recorded.encode())
            if certificate.public_key() != key.public_key():
                raise errors.StartupError(f"{path} is not the key that robots have certificates of", _COPY)
        shown = directory / "ca.crt"
        if not shown.exists() or shown.read_text() != recorded:
            files.write(shown, recorded.encode())
        return cls(directory, certificate, key, days)

    def sign(self, request: Request, wire: str, at: datetime.datetime) -> Signed:
        """As the port says; never raises."""
        until = min(at + self._lasts, self.certificate.not_valid_after_utc)
        name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, wire)])
        serial = x509.random_serial_number()
        made = (
            x509.CertificateBuilder(self.certificate.subject, name, request.key, serial, at - _SLACK, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{_URN}{wire}")]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.key), critical=False)
            .add_extension(_issuer(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Signed(f"{serial:x}", _pem(made), at, until)

    def write_list(self, revoked: Sequence[certificates.Revoked], at: datetime.datetime) -> bool:
        """As the port says."""
        path = self.directory / "crl.pem"
        wanted = {int(each.serial, 16) for each in revoked}
        with self._lock:
            if path.exists():
                known = x509.load_pem_x509_crl(path.read_bytes())
                is_same = {each.serial_number for each in known} == wanted
                if is_same and at - known.last_update_utc < LIST_AGE and known.issuer == self.certificate.subject:
                    return False
            builder = x509.CertificateRevocationListBuilder(self.certificate.subject, at - _SLACK, at + _LIST_LASTS)
            builder = builder.add_extension(_issuer(self._key), critical=False)
            builder = builder.add_extension(x509.CRLNumber(int(at.timestamp() * 1_000)), critical=False)
            for each in revoked:
                entry = x509.RevokedCertificateBuilder(int(each.serial, 16), each.revoked_at).build()
                builder = builder.add_revoked_certificate(entry)
            files.write(path, _pem(builder.sign(self._key, hashes.SHA256())).encode())
        return True


class Command:
    """An authority elsewhere, asked by a program: the request on its standard input, the chain on its standard output.

    The environment variable ``SHALLOP_DEVICE`` tells it the device's wire id, which must be the common name.
    """

    signs = True

    def __init__(self, command: Sequence[str], within_s: float = COMMAND_WITHIN_S) -> None:
        self._command = tuple(command)
        self._within_s = within_s
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def sign(self, request: Request, wire: str, at: datetime.datetime) -> Signed:
        """As the port says. What the program gives is a certificate of the request's key and the device, or refused."""
        if not self._places.acquire(timeout=self._within_s):
            raise _unavailable("the signing command is busy")
        try:
            given = request.pem.encode()
            told = {"SHALLOP_DEVICE": wire}
            chain = commands.run(self._command, given, within_s=self._within_s, output=MAX_CHAIN, told=told)
            return _checked(chain, request, wire, at)
        except commands.CommandFailed as error:
            raise _unavailable(str(error)) from None
        finally:
            self._places.release()

    def write_list(self, revoked: Sequence[certificates.Revoked], at: datetime.datetime) -> bool:  # noqa: ARG002
        """It is the other authority's."""
        return False


def read_request(text: str) -> Request:
    """A certificate request of a robot.

    Raises:
        errors.Invalid: ``csr_invalid``: it is none, is too long, its signature is not right, or its key is of another
            kind than P-256 or RSA with 2,048 to 4,096 bits.
    """
    if len(text) > MAX_REQUEST:
        raise _invalid(f"it has {len(text)} characters; at most {MAX_REQUEST} are taken")
    try:
        request = x509.load_pem_x509_csr(text.encode())
        key = request.public_key()
        is_right = request.is_signature_valid
    except (ValueError, TypeError, cryptography.exceptions.UnsupportedAlgorithm):
        raise _invalid("it is no PKCS #10 request in PEM that can be read") from None
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise _invalid(f"its RSA key has {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are taken")
    elif not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _invalid("its key is of another kind than ECDSA P-256 or RSA")
    if not is_right:
        raise _invalid("its signature is not by its own key")
    return Request(text, key)


def key_digest(key: PublicKey) -> str:
    """SHA-256 of a public key: of its SubjectPublicKeyInfo in DER."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return digests.of_bytes(encoded)


def _checked(chain: bytes, request: Request, wire: str, at: datetime.datetime) -> Signed:
    """What the signing command gave, if it is a certificate of the request's key and this device, and counts now. A
    command that copies the request's names would let a robot choose whose certificate it gets.
    """
    try:
        found = x509.load_pem_x509_certificates(chain)
        is_its, names = found[0].public_key() == request.key, _names(found[0])
    except (ValueError, cryptography.exceptions.UnsupportedAlgorithm):
        raise _unavailable("the signing command gave no certificate in PEM") from None
    if not is_its:
        raise _unavailable("the signing command gave a certificate of another key")
    if names not in ({wire}, {wire, f"{_URN}{wire}"}):
        words = f"the signing command gave a certificate of {', '.join(sorted(names))[:200] or 'nobody'}"
        raise _unavailable(f"{words}; its common name must be {wire}, as SHALLOP_DEVICE says")
    first = found[0]
    if not first.not_valid_before_utc <= at < first.not_valid_after_utc:
        raise _unavailable("the signing command gave a certificate that does not count now")
    return Signed(f"{first.serial_number:x}", "".join(map(_pem, found)), at, first.not_valid_after_utc)


def _names(certificate: x509.Certificate) -> set[str]:
    """Whose certificate it is: its common names, and the alternative names that a broker may go by."""
    names = {str(each.value) for each in certificate.subject.get_attributes_for_oid(oid.NameOID.COMMON_NAME)}
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return names | {str(each.value) for each in others}


def _invalid(words: str) -> errors.Invalid:
    hint = "send one made with a key of ECDSA P-256, as shallopd does, or leave it out"
    return errors.Invalid("csr_invalid", f"the certificate request cannot be taken: {words}; {hint}")


def _unavailable(words: str) -> errors.Problem:
    more = "the enrolment stands; ask again with the same token and secret"
    return errors.Problem(503, "certificate_unavailable", f"no certificate could be made ({words}); {more}")


_COPY = "copy ca/ca.key from the data directory of the first server, or start without --client-certificates builtin"


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(files.secret(path, _new_key).encode(), None)
    except (ValueError, TypeError, cryptography.exceptions.UnsupportedAlgorithm):
        raise errors.StartupError(f"{path} is no private key in PEM", _COPY) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise errors.StartupError(f"{path} is a key of another kind than ECDSA", _COPY)
    return key


def _new_key() -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode().strip()


def _self_signed(key: ec.EllipticCurvePrivateKey, at: datetime.datetime) -> str:
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, f"shallop {key_digest(public)[-8:]}")])
    serial, until = x509.random_serial_number(), at + _AUTHORITY_LASTS
    made = (
        x509.CertificateBuilder(name, name, public, serial, at - _SLACK, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(made)


def _issuer(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(made: x509.Certificate | x509.CertificateRevocationList) -> str:
    return made.public_bytes(serialization.Encoding.PEM).decode()
