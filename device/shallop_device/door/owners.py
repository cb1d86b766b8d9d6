"""Processes with whose end a hold ends."""

from __future__ import annotations

import dataclasses
import os
import select

from shallop_device.door import problems


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Owner:
    """A process, held on to so that no other one is ever taken for it (pidfd_open(2))."""

    pid: int
    descriptor: int

    @property
    def has_ended(self) -> bool:
        """Whether it is no more."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        return bool(poller.poll(0))

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.descriptor)


def find(pid: int) -> Owner:
    """The process with this id.

    Raises:
        problems.Problem: there is none, or it cannot be watched.
    """
    try:
        owner = Owner(pid, os.pidfd_open(pid))
    except ProcessLookupError:
        raise _ended(pid) from None
    except OSError as error:  # an old kernel, a filter of system calls, a thread's id
        words = f"process {pid} cannot be watched: {error.strerror}; leave while_pid out, and renew the hold"
        raise problems.Problem(422, "process_not_watched", words) from None
    if owner.has_ended:
        owner.close()
        raise _ended(pid)
    return owner


def _ended(pid: int) -> problems.Problem:
    return problems.Problem(422, "process_not_found", f"there is no process {pid}, or it has ended")
