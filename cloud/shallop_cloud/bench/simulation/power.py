"""Where something can end between two steps: the plug of a robot, the process of the cloud."""

from __future__ import annotations

from collections.abc import Callable


class Cut(BaseException):
    """It ends here. Not an Exception, so that no handler swallows it. ``then`` says what becomes of the rest."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then


class Power:
    """Ends before the step that it was told to."""

    def __init__(self) -> None:
        self._left = 0
        self._then: Callable[[], None] | None = None

    def cut_after(self, steps: int, then: Callable[[], None]) -> None:
        """Ends it after so many more steps; ``then`` is called when it has ended."""
        self._left = steps
        self._then = then

    def strike(self, then: Callable[[], None]) -> None:
        """Ends it now, between two steps, if that is still to come."""
        if self._then is then:
            self._then = None
            then()

    def hold(self) -> None:
        """Ends nothing any more."""
        self._then = None

    def step(self) -> None:
        """One more step is about to be done.

        Raises:
            Cut: not this one.
        """
        if self._then is None:
            return
        if self._left == 0:
            then, self._then = self._then, None
            raise Cut(then)
        self._left -= 1
