"""What SIGTERM and SIGINT do while a command runs that ends by them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator


@contextlib.contextmanager
def handled(by: Callable[[int, object], None]) -> Generator[None]:
    """Has both handled while the block lasts."""
    former = {number: signal.signal(number, by) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stopping() -> Generator[threading.Event]:
    """An event that both set while the block lasts."""
    stop = threading.Event()
    with handled(lambda _number, _frame: stop.set()):
        yield stop
