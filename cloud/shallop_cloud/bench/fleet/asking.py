"""Asks a running bench through its door; ``control`` is the other side."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shallop_cloud.bench.fleet import directories
from shallop_cloud.bench.fleet.errors import BenchError, NotRunning, Refused
from shallop_cloud.bench.simulated import doors

SOCKET = "bench.sock"
ANSWER_WITHIN_S = 180.0
LOOK_EVERY_S = 0.05

Json = dict[str, Any]
"""A JSON object as it came."""


def ask(directory: Path, request: Mapping[str, object]) -> Any:
    """What the bench of a directory answers. (Any: each kind of request has its own answer.)

    Raises:
        NotRunning: none runs there.
        Refused: it did nothing, because that makes no sense.
        BenchError: it could not do it.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door, doors.short(directory / SOCKET) as address:
            door.settimeout(ANSWER_WITHIN_S)
            door.connect(address)
            door.sendall(json.dumps(request).encode() + b"\n")
            with door.makefile("rb") as answers:
                line = answers.readline()
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise NotRunning(f"no bench runs in {directory}; start one with `shallop bench up`") from None
    except OSError as error:
        raise BenchError(f"the bench in {directory} does not answer: {error}") from None
    if not line:
        raise BenchError(f"the bench in {directory} ended without an answer")
    answer: Json = json.loads(line)
    if "error" in answer:
        raise (Refused if answer.get("refused") else BenchError)(answer["error"])
    return answer["ok"]


def await_end(directory: Path, within: float) -> None:
    """Waits until the bench of a directory has ended.

    Raises:
        BenchError: it has not, within so many seconds.
    """
    end = time.monotonic() + within
    while directories.is_held(directory):
        if time.monotonic() > end:
            raise BenchError(f"the bench in {directory} has not ended after {within:g} s; its logs are there")
        time.sleep(LOOK_EVERY_S)
