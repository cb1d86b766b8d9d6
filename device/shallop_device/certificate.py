"""This robot's own key, and the request with which it asks for a certificate of it. The key never leaves the robot."""

from __future__ import annotations

import cryptography.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

_NAME = "a robot that enrols"
"""Stands in the request where a name belongs; whoever signs puts in another."""


def new_key() -> str:
    """A new private key: ECDSA P-256, PKCS #8 in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


def request(key: str) -> str:
    """The certificate request (PKCS #10, RFC 2986) for a private key, in PEM."""
    name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, _NAME)])
    made = x509.CertificateSigningRequestBuilder(name).sign(_private(key), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def check(own: str) -> None:
    """Passes if a text in PEM begins with a certificate of the private key that it ends with.

    Raises:
        ValueError: it does not.
    """
    try:
        found = x509.load_pem_x509_certificates(own.encode())[0]
        is_its = found.public_key() == _private(own).public_key()
    except (ValueError, cryptography.exceptions.UnsupportedAlgorithm):
        raise ValueError("/mqtt/certificate is no certificate in PEM") from None
    if not is_its:
        raise ValueError("/mqtt/certificate is of another key than this robot's")


def _private(text: str) -> ec.EllipticCurvePrivateKey:
    """The private key at the end of a text in PEM."""
    key = serialization.load_pem_private_key(text[text.rindex(_BEGIN) :].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


_BEGIN = "-----BEGIN PRIVATE KEY-----"
