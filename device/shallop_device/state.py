"""The state directory belongs to one agent at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from shallop_device import errors

LOCK = "lock"


@contextlib.contextmanager
def locked(directory: Path) -> Generator[None]:
    """Holds the state directory, which is made (0700) if it is not there. The kernel lets go when the process ends.

    Raises:
        errors.InUse: another process holds it.
        errors.AgentError: it cannot be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.AgentError(f"cannot use the state directory {directory}: {error}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise errors.InUse(
                f"another shallopd uses the state directory {directory}; stop it, or use another --state"
            ) from None
        yield
    finally:
        os.close(lock)
