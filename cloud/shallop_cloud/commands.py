"""Programs of the operator's that the server runs: never for longer than was said, and never with more output."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO

REAP_S = 5.0
"""How long a program that was killed may take to be gone."""
_CHUNK = 65_536


class CommandFailed(Exception):
    """A program did not end well. The message says which, and how."""


def parse(text: str) -> tuple[str, ...]:
    """The words of a command as a shell splits them. No shell is asked: for ``|`` or ``>`` name one.

    Raises:
        ValueError: there is none, or a quotation mark is not closed.
    """
    words = tuple(shlex.split(text))
    if not words:
        raise ValueError("the command is empty")
    return words


def run(
    command: Sequence[str], given: bytes, *, within_s: float, output: int, told: Mapping[str, str] | None = None
) -> bytes:
    """What a program writes on its standard output, given this on its standard input.

    Args:
        within_s: after so many seconds it is killed, with all that it started.
        output: after more bytes than this too.
        told: environment variables beside those that the server has.

    Raises:
        CommandFailed: it cannot be started, did not end in time, wrote too much, or ended with another code than 0.
    """
    name = command[0]
    try:
        started = subprocess.Popen(  # noqa: S603  the operator named it
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **(told or {})},
        )
    except OSError as error:
        raise CommandFailed(f"{name} cannot be started: {error.strerror}") from None
    try:
        said, complaint = _converse(started, given, time.monotonic() + within_s, output)
    except CommandFailed as error:
        raise CommandFailed(f"{name} {error}") from None
    except TimeoutError:
        raise CommandFailed(f"{name} did not end within {within_s:g} s") from None
    finally:
        _end(started)
    if started.returncode != 0:
        words = " ".join(complaint.decode(errors="replace").split())[:300]
        how = f"code {started.returncode}" if started.returncode > 0 else f"signal {-started.returncode}"
        raise CommandFailed(f"{name} ended with {how}{words and ': ' + words}")
    return said


def _converse(started: subprocess.Popen[bytes], given: bytes, until: float, output: int) -> tuple[bytes, bytes]:
    """Writes and reads until both outputs are closed and the program has ended. Raises TimeoutError, CommandFailed."""
    assert started.stdin is not None
    assert started.stdout is not None
    assert started.stderr is not None
    said: dict[IO[bytes], bytearray] = {started.stdout: bytearray(), started.stderr: bytearray()}
    waiting = memoryview(given)
    with selectors.DefaultSelector() as selector:
        for stream in said:
            selector.register(stream, selectors.EVENT_READ)
        os.set_blocking(started.stdin.fileno(), False)
        selector.register(started.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            for key, _ in selector.select(_left(until)):
                if key.fileobj is started.stdin:
                    waiting = _write(started.stdin, waiting)
                    if not waiting:
                        selector.unregister(started.stdin)
                        started.stdin.close()
                    continue
                stream = started.stdout if key.fileobj is started.stdout else started.stderr
                piece = os.read(stream.fileno(), _CHUNK)
                if not piece:
                    selector.unregister(stream)
                elif stream is started.stdout:
                    said[stream] += piece
                    if len(said[stream]) > output:
                        raise CommandFailed(f"wrote more than {output} bytes")
                else:
                    said[stream] = (said[stream] + piece)[-_CHUNK:]
    try:
        started.wait(_left(until))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return bytes(said[started.stdout]), bytes(said[started.stderr])


def _write(stream: IO[bytes], waiting: memoryview) -> memoryview:
    """What is still to be written. Who does not listen is not told the rest."""
    try:
        return waiting[os.write(stream.fileno(), waiting[:_CHUNK]) :] if waiting else waiting
    except BlockingIOError:
        return waiting
    except BrokenPipeError:
        return waiting[:0]


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _end(started: subprocess.Popen[bytes]) -> None:
    """Kills what is left of a program and of all that it started, and takes note that it ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    for stream in (started.stdin, started.stdout, started.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(REAP_S)
