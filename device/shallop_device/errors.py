"""What can go wrong on a robot, by consequence: try again later, never try again, or the agent cannot run at all."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from shallop_protocol.messages import Reason


class HeldUp(Exception):
    """Something did not succeed, and the world may heal: it is tried again. ``reason`` is what the report says."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Rejected(Exception):
    """The same bytes can never work on this robot. ``reason`` is what the report says."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


class AgentError(Exception):
    """The command cannot go on. The text is one line for a person; ``exit_code`` is that of the process."""

    exit_code = 1


class NotAuthorized(AgentError):
    """The cloud does not take this token."""

    exit_code = 4


class InUse(AgentError):
    """Another process has the state directory."""


class BadUsage(AgentError):
    """What was asked for makes no sense."""

    exit_code = 2


_CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EMFILE: "too_many_open_files",
    errno.ENFILE: "too_many_open_files",
    errno.ENOENT: "missing",
    errno.EEXIST: "in_the_way",
    errno.ENOTDIR: "in_the_way",
    errno.EISDIR: "in_the_way",
    errno.ENOTEMPTY: "in_the_way",
    errno.ELOOP: "in_the_way",
}
_ADVICE = {
    "disk_full": "free some space",
    "read_only": "mount the file system for writing",
    "permission_denied": "let the agent's user write there",
    "too_many_open_files": "raise the limit of open files",
    "missing": "is its file system mounted?",
    "in_the_way": "something else is there; move it away",
    "io_error": "check the disk",
}
_PRIVATE = re.compile(r"deployments/\.[a-z]+-[0-9a-z]+/?")


def held_up(error: OSError, doing: str) -> HeldUp:
    """An operating system's error as a reason to try again.

    Args:
        doing: the act, as it follows "cannot".
    """
    code = _CODES.get(error.errno or 0, "io_error")
    place = _PRIVATE.sub("", str(error.filename or ""))[:200]
    where = f" ({place})" if place else ""
    words = f"cannot {doing}: {error.strerror or error}{where}; {_ADVICE[code]}"
    return HeldUp(Reason.of(code, words))


def not_enrolled(state_dir: Path) -> AgentError:
    """The error that says what to do first."""
    return AgentError(f"{state_dir} is not enrolled: run shallopd enroll first (shallopd enroll --help)")
