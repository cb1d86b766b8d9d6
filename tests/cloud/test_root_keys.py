"""Root keys in files."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from shallop_cloud import root_keys


@pytest.mark.parametrize("passphrase", [None, "over the sea"])
def test_what_was_made_is_loaded(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "root.key"
    made = root_keys.make(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = root_keys.load(path, passphrase)
    assert loaded.key == made.key
    assert made.key.verifies(b"bytes", loaded.sign(b"bytes"))


def test_a_passphrase_that_is_not_needed_does_no_harm(tmp_path: Path) -> None:
    made = root_keys.make(tmp_path / "root.key")
    assert root_keys.load(tmp_path / "root.key", "for the other one").key == made.key


def test_a_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    root_keys.make(path, "over the sea")
    assert b"ENCRYPTED" in path.read_bytes()
    with pytest.raises(root_keys.Locked, match="SHALLOP_ROOT_PASSPHRASE"):
        root_keys.load(path)
    with pytest.raises(root_keys.RootKeyError, match="does not open with this passphrase"):
        root_keys.load(path, "under the sea")


def test_what_is_no_root_key(tmp_path: Path) -> None:
    path = tmp_path / "some.key"
    with pytest.raises(root_keys.RootKeyError, match="cannot be read: No such file"):
        root_keys.load(path)
    path.write_text("00" * 32)
    with pytest.raises(root_keys.RootKeyError, match="no private key in PEM"):
        root_keys.load(path)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    other = x25519.X25519PrivateKey.generate()
    path.write_bytes(other.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    with pytest.raises(root_keys.RootKeyError, match="another kind than Ed25519"):
        root_keys.load(path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_reads_it(tmp_path: Path) -> None:
    made = root_keys.make(tmp_path / "root.key")
    command = ["openssl", "pkey", "-in", tmp_path / "root.key", "-pubout", "-outform", "DER"]
    assert subprocess.run(command, check=True, capture_output=True).stdout.endswith(made.key.raw)
