"""A program of the bench ends when its supervisor does, however that ends: it holds one end of a pipe as its stdin.

(PR_SET_PDEATHSIG is not used: it would end the program with the thread that started it.)
"""

from __future__ import annotations

import os
import signal
import threading


def hold() -> None:
    """Sends this process a SIGTERM when its stdin ends; returns at once."""
    threading.Thread(target=_wait, name="leash", daemon=True).start()


def _wait() -> None:
    while os.read(0, 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
