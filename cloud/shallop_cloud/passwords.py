"""The MQTT password file, in mosquitto's own format: one file serves mosquitto and the bench broker alike.

One line a user, ``user:$7$iterations$salt$hash``; salt and hash in base64, the hash being PBKDF2 (RFC 8018) with
HMAC-SHA-512. Empty lines and lines that begin with ``#`` are skipped, as mosquitto does.

The iterations are few on purpose. They slow down guessing, and what this file holds are high-entropy tokens that
shallop made, which nobody can guess. The hash only keeps whoever reads the file from logging in, and a fleet that
reconnects at once must not wait for key stretching.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from shallop_cloud import files

ITERATIONS = 101
SALT_BYTES = 12
KEY_BYTES = 64

_USER = re.compile(r"[^\s:#\x00-\x1f\x7f][^\s:\x00-\x1f\x7f]*\Z")


class PasswordFileError(ValueError):
    """A password file, a line of it or an entry for it that is not in the format above."""


def hash_password(password: str) -> str:
    """What stands after the colon for this password, with a fresh random salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = _derive(password, salt, ITERATIONS, KEY_BYTES)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def verify_password(password: str, hashed: str) -> bool:
    """Whether a password is the one that was hashed; takes the same time for every wrong one.

    Raises:
        PasswordFileError: ``hashed`` is not a ``$7$`` hash.
    """
    iterations, salt, key = _parts(hashed)
    return hmac.compare_digest(_derive(password, salt, iterations, len(key)), key)


def parse_passwords(text: str) -> dict[str, str]:
    """The hash of every user.

    Raises:
        PasswordFileError: a line is malformed, or a user stands there twice. The message begins with its number.
    """
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, hashed = line.partition(":")
        try:
            _check(user, hashed)
        except PasswordFileError as error:
            raise PasswordFileError(f"line {number}: {error}") from None
        if user in users:
            raise PasswordFileError(f"line {number}: user {user!r} stands there twice")
        users[user] = hashed
    return users


def read_passwords(path: Path) -> dict[str, str]:
    """The hash of every user in a file.

    Raises:
        PasswordFileError: the file cannot be read or is malformed. The message names it.
    """
    try:
        return parse_passwords(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PasswordFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PasswordFileError(f"{path}: not UTF-8 text") from error
    except PasswordFileError as error:
        raise PasswordFileError(f"{path}: {error}") from error


def write_passwords(path: Path, users: Mapping[str, str]) -> None:
    """Replace the whole file by these users and their hashes, readable by its owner only.

    A reader, and a power cut at any step, sees either the old file or the new one.

    Raises:
        PasswordFileError: a user name or hash cannot stand in the file; nothing was written.
        OSError: the disk refuses.
    """
    for user, hashed in users.items():
        _check(user, hashed)
    files.write(path, "".join(f"{user}:{hashed}\n" for user, hashed in users.items()).encode())


def _check(user: str, hashed: str) -> None:
    if not _USER.match(user):
        raise PasswordFileError(f"{user!r} cannot be a user name: no space, ':' or control character, no '#' in front")
    _parts(hashed)


def _parts(hashed: str) -> tuple[int, bytes, bytes]:
    """Iterations, salt and key of a hash."""
    match hashed.split("$"):
        case ["", "7", iterations, salt, key] if re.fullmatch(r"[1-9][0-9]{0,6}", iterations) and salt and key:
            try:
                return int(iterations), base64.b64decode(salt, validate=True), base64.b64decode(key, validate=True)
            except ValueError:  # what binascii.Error is too; text that is not ASCII is no such error
                raise PasswordFileError("salt or hash is not base64") from None
        case _:
            raise PasswordFileError("expected user:$7$iterations$salt$hash, as mosquitto_passwd writes it")


def _derive(password: str, salt: bytes, iterations: int, size: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, size)
