"""Does errands in a thread of its own, one after another, so that the agent's thread never waits for them."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Protocol

from shallop_protocol.messages import Reason

from shallop_device import errands, errors, inbox

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 8.0
"""Longer than a process takes that has to be killed."""


class RunsHooks(Protocol):
    """Who runs hooks: ``hooks.Hooks``."""

    def run(self, errand: errands.RunHook) -> inbox.Ended:
        """Runs one until it has ended."""
        ...

    def kill(self, number: int) -> None:
        """Ends the errand of this number and all before it, also if it has not begun yet; by another thread."""
        ...


class FetchesContents(Protocol):
    """Who fetches contents: ``fetch.Fetcher``."""

    def run(self, errand: errands.FetchContents) -> inbox.Ended:
        """Fetches until all of them are here, or it cannot go on."""
        ...

    def stop(self) -> None:
        """Ends what ``run`` does; by another thread."""
        ...


class Runner:
    """The errands of one agent. Its thread begins with the first errand, so a robot that has none has no thread.

    Args:
        items: where their ends go.
        hooks: who runs hooks; ``fetcher`` likewise fetches contents. None: that cannot be done here.
    """

    def __init__(
        self, items: inbox.Inbox, hooks: RunsHooks | None = None, fetcher: FetchesContents | None = None
    ) -> None:
        self._inbox = items
        self._hooks = hooks
        self._fetcher = fetcher
        self._todo: queue.SimpleQueue[errands.Errand | None] = queue.SimpleQueue()
        self._open: errands.Errand | None = None
        self._thread: threading.Thread | None = None

    def begin(self, errand: errands.Errand) -> None:
        """As the port says."""
        doer = self._hooks if isinstance(errand, errands.RunHook) else self._fetcher
        if doer is None:
            what = "run hooks" if isinstance(errand, errands.RunHook) else "fetch contents"
            raise errors.HeldUp(Reason.of("not_set_up", f"this agent was not set up to {what}"))
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="errands", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise errors.HeldUp(Reason.of("no_thread", f"cannot begin a thread for errands: {error}")) from error
            self._thread = thread
        if self._fetcher is not None:
            self._fetcher.stop()  # one that was called off a moment before it began
        self._open = errand
        self._todo.put(errand)

    def call_off(self) -> None:
        """As the port says."""
        errand, self._open = self._open, None
        if isinstance(errand, errands.RunHook) and self._hooks is not None:
            self._hooks.kill(errand.number)
        elif errand is not None and self._fetcher is not None:
            self._fetcher.stop()

    def close(self) -> None:
        """Calls off what is under way, and ends the thread."""
        self.call_off()
        if self._thread is not None:
            self._todo.put(None)
            self._thread.join(CLOSE_TIMEOUT_S)
            self._thread = None

    def _work(self) -> None:
        while (errand := self._todo.get()) is not None:
            try:
                ended = self._do(errand)
            except Exception as error:  # who waits for this errand must hear of its end
                logger.exception("an errand brought out a defect of the agent")
                words = f"the agent failed: {type(error).__name__}; report this as a defect of shallopd"
                ended = inbox.Ended(errand.number, None, trouble=Reason.of("internal_error", words))
            self._inbox.put(ended)

    def _do(self, errand: errands.Errand) -> inbox.Ended:
        if isinstance(errand, errands.RunHook):
            assert self._hooks is not None
            return self._hooks.run(errand)
        assert self._fetcher is not None
        if errand is not self._open:
            return inbox.Ended(errand.number, None, trouble=Reason.of("called_off", "the fetch was called off"))
        return self._fetcher.run(errand)
