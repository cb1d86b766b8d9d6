"""How a command ends: the exit codes, and the one exception that carries them."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from shallop_cloud.cli import words


class Exit(enum.IntEnum):
    """The exit codes of ``shallop``. Scripts decide by them; they change only by addition."""

    OK = 0
    FAILED = 1
    """Anything else: no server, a server in trouble."""
    USAGE = 2
    """The command was not written right; nothing was sent."""
    DIFFERENCES = 3
    """What was compared is not the same."""
    AUTH = 4
    """No token, or one that is not accepted."""
    NOT_FOUND = 5
    CONFLICT = 6
    """The present state forbids it; look again, then decide."""
    INVALID = 7
    """A config, schema, manifest or request is not right, and will not be if it is sent again."""
    TIMED_OUT = 8
    """``--wait`` ended before the outcome was known."""
    DEVICES_FAILED = 9
    """The device could not, or will not, run the deployment."""
    INTERRUPTED = 130
    """Control-C, by the shells' convention."""


_OF_HTTP = {
    400: Exit.INVALID,
    401: Exit.AUTH,
    403: Exit.AUTH,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    412: Exit.CONFLICT,
    413: Exit.INVALID,
    415: Exit.INVALID,
    422: Exit.INVALID,
}


def of_http(status: int) -> Exit:
    """How a command ends that was answered with this HTTP status."""
    return _OF_HTTP.get(status, Exit.FAILED)


class Failure(Exception):
    """A command that cannot do what it was asked to.

    ``detail`` says what, where, why and what to do next; ``lines`` follow it, one for each single thing that is
    wrong. Both may quote devices and servers: what terminals would obey is taken out.

    Attributes:
        exit: how the command ends.
    """

    def __init__(self, exit_: Exit, detail: str, lines: Iterable[str] = ()) -> None:
        super().__init__("\n".join(words.clean(line) for line in (detail, *lines)))
        self.exit = exit_
