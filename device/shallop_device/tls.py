"""TLS: whom this robot believes, who it says it is, and what went wrong in words for a person."""

from __future__ import annotations

import dataclasses
import os
import ssl
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """Where certificates are. Files are read anew for each connection, so renewed ones need no restart.

    Attributes:
        ca: authorities in PEM, as the enrolment brought them; None for the system's.
        ca_file: authorities in PEM that count instead.
        certificate: this robot's own, in PEM; ``key`` belongs to it.
        own: certificate and key in PEM, as the enrolment brought them; ``certificate`` counts instead.
    """

    ca: str | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    own: str | None = dataclasses.field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """What a connection is made with.

        Raises:
            OSError: a file cannot be read, or is not what it should be. Its text names the file.
        """
        try:
            made = ssl.create_default_context(cafile=self.ca_file, cadata=None if self.ca_file else self.ca)
        except OSError as error:
            raise OSError(f"cannot use the authorities in {self.ca_file or 'the enrolment'}: {error}") from None
        if self.certificate:
            try:
                made.load_cert_chain(self.certificate, self.key)
            except OSError as error:
                words = f"cannot use the client certificate {self.certificate} with the key {self.key}: {error}"
                raise OSError(words) from None
        elif self.own:
            _load(made, self.own)
        return made


def _load(context: ssl.SSLContext, own: str) -> None:
    """From memory: OpenSSL takes a certificate from a file only, and the key shall be in no other file than one."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, own.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except OSError as error:
        raise OSError(f"cannot use the client certificate of the enrolment: {error}") from None
    finally:
        os.close(descriptor)


_CLOCK = "or this robot's clock is wrong"
_VERIFY = {
    9: f"the server's certificate is not valid yet, {_CLOCK}",
    10: f"the server's certificate has expired, {_CLOCK}",
    18: "the server's certificate is signed by itself; [link] ca names the authorities that this robot believes",
    19: "the server's certificate comes from an authority that this robot does not know; [link] ca names those it does",
    20: "the server's certificate comes from an authority that this robot does not know; [link] ca names those it does",
    23: "the server's certificate was revoked",
    62: "the server's certificate is for another host name",
    64: "the server's certificate is for another address",
}
"""By OpenSSL's verification results (X509_V_ERR_…)."""
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the server asks for a client certificate: set [link] client_certificate and client_key",
    "HANDSHAKE_FAILURE": "the server refused the TLS handshake; it may ask for a client certificate",
    "ALERT_UNKNOWN_CA": "the server does not know the authority of this robot's client certificate",
    "CERTIFICATE_EXPIRED": f"this robot's client certificate has expired, {_CLOCK}",
    "CERTIFICATE_REVOKED": "this robot's client certificate was revoked",
    "BAD_CERTIFICATE": "the server refused this robot's client certificate",
    "CERTIFICATE_UNKNOWN": "the server refused this robot's client certificate",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS at this port",
    "handshake operation timed out": "the server did not answer the TLS handshake",
    "UNEXPECTED_EOF": "the server hung up during the TLS handshake; does it speak TLS at this port?",
}
"""By what OpenSSL calls the alert, or a part of it; RFC 8446, section 6."""
_OF_CLIENT = ("CERTIFICATE_REQUIRED", "ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE", "ALERT_BAD_CERTIFICATE")


def words(error: OSError | str) -> str:
    """What went wrong: an error, or what was logged of one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY.get(error.verify_code, f"the server's certificate cannot be believed: {error.verify_message}")
    text = str(error)
    return next((said for mark, said in _ALERTS.items() if mark in text), text)


def is_refusal(error: OSError | str) -> bool:
    """Whether the server did not take this robot's certificate, or misses it: no matter of a few seconds."""
    return any(mark in str(error) for mark in _OF_CLIENT)
