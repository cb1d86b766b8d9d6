"""The private halves of root keys: PKCS#8 in PEM, readable by their owner alone, with a passphrase or none."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from shallop_protocol import dsse

from shallop_cloud import files


class RootKeyError(ValueError):
    """A file that is no root key, or does not open. The message says which, and what to do."""


class Locked(RootKeyError):
    """It has a passphrase, and none was given."""


def make(path: Path, passphrase: str | None = None) -> dsse.Signer:
    """Makes a root key and puts it into a file, mode 0600; what was there is replaced."""
    private = ed25519.Ed25519PrivateKey.generate()
    locked = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    files.write(path, pem)
    return dsse.signer_from_seed(private.private_bytes_raw())


def load(path: Path, passphrase: str | None = None) -> dsse.Signer:
    """The root key in a file.

    Raises:
        Locked: it has a passphrase, and ``passphrase`` is None.
        RootKeyError: it cannot be read, is no Ed25519 key in PEM, or the passphrase is another.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RootKeyError(f"{path} cannot be read: {error.strerror}; name the file of a root key") from None
    try:
        private = serialization.load_pem_private_key(data, passphrase.encode() if passphrase else None)
    except TypeError:
        if passphrase is None:
            raise Locked(f"{path} has a passphrase; give it when asked, or in SHALLOP_ROOT_PASSPHRASE") from None
        return load(path)  # a passphrase for the others: this one has none
    except Exception as error:  # noqa: BLE001  what the parser raises depends on where the bytes are wrong
        if b"ENCRYPTED" in data and passphrase:
            raise RootKeyError(f"{path} does not open with this passphrase; try again with the right one") from None
        words = f"{path} is no private key in PEM ({type(error).__name__})"
        raise RootKeyError(f"{words}; name the file of a root key, as `shallop key init` makes it") from None
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise RootKeyError(f"{path} is a private key of another kind than Ed25519; name the file of a root key")
    return dsse.signer_from_seed(private.private_bytes_raw())
