"""The socket that the door listens on."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from pathlib import Path

from shallop_device import errors

MODE = 0o660
BACKLOG = 64
MAX_PATH_BYTES = 107
"""sun_path of unix(7), with the NUL at its end."""


def listen(path: Path, group: str | None) -> socket.socket:
    """A socket at this path, for its owner and a group. What an agent that died left there is removed.

    Nobody can connect before mode and group are set: until then it does not listen.

    Raises:
        errors.AgentError: that cannot be. The text says what to do.
    """
    gid = None if group is None else _gid(group)
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise errors.AgentError(f"{path} is too long for a socket: at most {MAX_PATH_BYTES} bytes; set [door] path")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _clear(path)
        listener.bind(str(path))
        try:
            if gid is not None:
                os.chown(path, -1, gid)
            path.chmod(MODE)
            listener.listen(BACKLOG)
        except OSError:
            path.unlink()
            raise
    except OSError as error:
        listener.close()
        raise errors.AgentError(f"cannot listen on {path}: {_advice(error, path, group)}") from None
    except errors.AgentError:
        listener.close()
        raise
    return listener


def remove(path: Path) -> None:
    """Takes the socket's name away."""
    with contextlib.suppress(OSError):
        path.unlink()


def _clear(path: Path) -> None:
    """Removes a socket that nobody listens on."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise errors.AgentError(f"cannot listen on {path}: something else is there; move it away, or set [door] path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as probe:
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise errors.AgentError(f"cannot listen on {path}: another process does; set another [door] path")
    path.unlink()


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        words = f"there is no group {group} for the door: groupadd --system {group}, or set another [door] group"
        raise errors.AgentError(words) from None


def _advice(error: OSError, path: Path, group: str | None) -> str:
    if error.errno == errno.ENOENT:
        return f"there is no directory {path.parent}; make it, or set [door] path"
    if error.errno == errno.EPERM and group is not None:
        return f"the agent's user is not in the group {group}: usermod -aG {group} USER"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"the agent's user may not write to {path.parent} ({error.strerror})"
    return error.strerror or str(error)
