"""Sees at once when somebody changes what is in sight: inotify(7) on the tree, on ``deployments/`` and on the root.

What it puts into the inbox only says that it is worth while to look; the digests decide. So a change that the kernel
does not tell of (too many watches, a network file system) is found later, when the files are read back anyway, and what
the agent changed itself costs a look. Trees are written under names that are not watched.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import inotify_simple  # pyright: ignore[reportMissingTypeStubs]

from shallop_device import applier, inbox

QUIET_S = 0.5
"""After the last change; what somebody does in several steps is looked at once."""
LONGEST_S = 2.0
"""After the first change, however many follow."""
LONGEST_PAUSE_S = 60.0
"""Between two looks at a tree that is written to again and again. Files are read back, and healed, each time."""
ARM_AGAIN_S = 300.0
"""After which it is tried again to watch all of it."""

_NAMES = (
    inotify_simple.flags.CREATE
    | inotify_simple.flags.DELETE
    | inotify_simple.flags.MOVED_FROM
    | inotify_simple.flags.MOVED_TO
    | inotify_simple.flags.ONLYDIR
    | inotify_simple.flags.DONT_FOLLOW
)
_CONTENTS = _NAMES | inotify_simple.flags.MODIFY | inotify_simple.flags.ATTRIB | inotify_simple.flags.CLOSE_WRITE

logger = logging.getLogger(__name__)


class _Event(NamedTuple):
    wd: int
    mask: int
    cookie: int
    name: str


class _Kernel(Protocol):
    """inotify_simple.INotify, with types."""

    def fileno(self) -> int: ...
    def add_watch(self, path: Path, mask: int) -> int: ...
    def rm_watch(self, wd: int) -> None: ...
    def read(self, timeout: int) -> Sequence[_Event]: ...
    def close(self) -> None: ...


_open = cast("Callable[[], _Kernel]", inotify_simple.INotify)


class Watch:
    """Watches one configuration root in a thread of its own, from ``start`` to ``close``.

    Args:
        items: where ``inbox.Touched`` goes.
        quiet_s: after the last change, it goes there; ``longest_s`` after the first one at the latest.
    """

    def __init__(
        self, root: Path, items: inbox.Inbox, *, quiet_s: float = QUIET_S, longest_s: float = LONGEST_S
    ) -> None:
        self._root = root
        self._inbox = items
        self._quiet = quiet_s
        self._longest = longest_s
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begins. Where the kernel cannot, that is logged, and it is as if nothing ever changed."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        if self._thread.ident is not None:
            os.eventfd_write(self._end, 1)
            self._thread.join()
        os.close(self._end)

    def _run(self) -> None:
        try:
            kernel = _open()
        except OSError as error:
            _warn(error, "inotify")
            return
        try:
            self._attend(kernel)
        except Exception:
            logger.exception("the watch broke on a defect; changes are found when the files are read back")
        finally:
            kernel.close()

    def _attend(self, kernel: _Kernel) -> None:
        watches = _Watches(kernel, self._root)
        touches = _Touches(self._quiet, self._longest)
        poll = select.poll()
        poll.register(kernel.fileno(), select.POLLIN)
        poll.register(self._end, select.POLLIN)
        while True:
            watches.arm()
            due_in = touches.due_in(time.monotonic())
            timeout = due_in if due_in is not None else None if watches.is_whole else ARM_AGAIN_S
            ready = {descriptor for descriptor, _ in poll.poll(None if timeout is None else timeout * 1000 + 1)}
            if self._end in ready:
                return
            if kernel.fileno() in ready:
                for event in kernel.read(0):
                    is_inside = watches.take(event)
                    if is_inside is not None:
                        touches.add(time.monotonic(), is_inside=is_inside)
            is_inside = touches.take(time.monotonic())
            if is_inside is not None:
                self._inbox.put(inbox.Touched(is_inside))


class _Watches:
    """What the kernel was asked to tell of."""

    def __init__(self, kernel: _Kernel, root: Path) -> None:
        self._kernel = kernel
        self._root = root
        self._outer: dict[int, Path] = {}
        self._inner: set[int] = set()
        self._tree: Path | None = None
        self._has_warned = False
        self.is_whole = False
        """Whether all is watched that is there."""

    def arm(self) -> None:
        """Watches root, ``deployments/`` and the tree that is in sight, as far as it does not yet."""
        self.is_whole = True
        for directory in (self._root, self._root / applier.DEPLOYMENTS):
            if directory not in self._outer.values():
                wd = self._add(directory, _NAMES)
                if wd is not None:
                    self._outer[wd] = directory
        tree = self._in_sight()
        while tree != self._tree:
            for wd in self._inner:
                self._remove(wd)
            self._inner, self._tree = set(), tree
            for directory in _directories(tree) if tree else ():
                wd = self._add(directory, _CONTENTS)
                if wd is not None:
                    self._inner.add(wd)
            tree = self._in_sight()  # it may have changed meanwhile, unseen

    def take(self, event: _Event) -> bool | None:
        """Whether something changed inside of the tree in sight; None if it is nothing to look at."""
        if event.mask & inotify_simple.flags.Q_OVERFLOW:
            return True
        if event.mask & inotify_simple.flags.IGNORED:
            self._outer.pop(event.wd, None)
            self._inner.discard(event.wd)
            return None
        if event.wd in self._inner:
            return True
        is_ours = event.name.startswith(".")  # applier: trees that are being written or deleted, and links
        return False if event.wd in self._outer and not is_ours else None

    def _in_sight(self) -> Path | None:
        try:
            parent, _, name = os.readlink(self._root / applier.CURRENT).rpartition("/")  # noqa: PTH115  no Path: it tidies
        except OSError:
            return None
        return self._root / parent / name if parent == applier.DEPLOYMENTS and name else None

    def _add(self, directory: Path, mask: int) -> int | None:
        try:
            return self._kernel.add_watch(directory, mask)
        except FileNotFoundError:  # it may come to be, or is gone again
            self.is_whole = self.is_whole and directory != self._root
        except OSError as error:
            self.is_whole = False
            if not self._has_warned:
                self._has_warned = True
                _warn(error, str(directory))
        return None

    def _remove(self, wd: int) -> None:
        try:
            self._kernel.rm_watch(wd)
        except OSError as error:  # its directory is gone, and the watch with it
            logger.debug("no watch %d any more: %s", wd, error)


class _Touches:
    """Gathers changes until it is time to look."""

    def __init__(self, quiet: float, longest: float) -> None:
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self._last = 0.0
        self._is_inside = False
        self._looked_at: float | None = None
        self._pause = 0.0

    def add(self, now: float, *, is_inside: bool) -> None:
        """Something changed."""
        self._first = now if self._first is None else self._first
        self._last = now
        self._is_inside |= is_inside

    def due_in(self, now: float) -> float | None:
        """Seconds until it is time to look; None if nothing changed."""
        if self._first is None:
            return None
        due = min(self._first + self._longest, self._last + self._quiet)
        if self._looked_at is not None:
            due = max(due, self._looked_at + self._pause)
        return max(0.0, due - now)

    def take(self, now: float) -> bool | None:
        """Whether to look inside of the tree, if it is time; None if not. The more often, the later."""
        due_in = self.due_in(now)
        if due_in is None or due_in > 0:
            return None
        is_inside, self._first, self._is_inside = self._is_inside, None, False
        if is_inside:
            is_again = self._looked_at is not None and now - self._looked_at < 2 * LONGEST_PAUSE_S
            self._pause = min(max(2 * self._pause, self._longest), LONGEST_PAUSE_S) if is_again else 0.0
            self._looked_at = now
        return is_inside


def _directories(tree: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(tree):
        yield Path(directory)


def _warn(error: OSError, what: str) -> None:
    advice = "raise fs.inotify.max_user_watches and max_user_instances (sysctl) if there are too many"
    logger.warning(
        "cannot watch %s: %s; changes are found when the files are read back; %s", what, error.strerror, advice
    )
