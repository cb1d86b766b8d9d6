"""Runs the hooks of the robot's owner: a command of the device's own settings, never anything that the cloud says.

A hook gets JSON on its standard input, the configuration root as its directory, an environment of four variables, and a
session of its own. What it says on standard output and error is read until it ends, and only the end of it is kept.
A hook that does not end in time is asked to (SIGTERM), and soon after that killed, with all of its process group.
What a hook leaves running in the background when it has ended by itself goes on, and is no longer listened to.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shallop_protocol import terminal
from shallop_protocol.messages import Reason

from shallop_device import errands, inbox

TIMEOUT_S = 30.0
OUTPUT_BYTES = 4096
GRACE_S = 2.0
"""Between SIGTERM and SIGKILL."""
REAP_S = 5.0
"""A process that is not gone so long after SIGKILL hangs in the kernel; nothing waits for it any longer."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PIECE = 65_536
_LAST_PIECES = 32
"""Read after a hook has ended; more than a pipe holds, however much others still write into it."""

_ADVICE = {
    errno.ENOENT: "is it installed, and the interpreter that its first line names?",
    errno.EACCES: "make it executable (chmod +x), and its directory readable for its user",
    errno.ENOEXEC: "a script has to begin with the line #!/bin/sh, or that of another interpreter",
    errno.EPERM: "only an agent that runs as root can run hooks as another user",
}


class Hooks:
    """The hooks of one robot.

    Args:
        commands: program and arguments of each hook that there is; the program is an absolute path.
        timeout_s: seconds within which a hook must end.
        user: as which hooks run; None for the agent's own.
        output_bytes: so much of the end of what a hook says is kept.
        root: the configuration root.
    """

    def __init__(
        self,
        commands: Mapping[errands.HookName, Sequence[str]],
        *,
        timeout_s: float = TIMEOUT_S,
        user: str | None = None,
        output_bytes: int = OUTPUT_BYTES,
        root: Path,
    ) -> None:
        self._commands = commands
        self._timeout = timeout_s
        self._user = user
        self._output_bytes = output_bytes
        self._root = root
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._running = 0
        self._called_off = 0

    def run(self, errand: errands.RunHook) -> inbox.Ended:
        """Runs a hook until it has ended, one way or the other.

        Returns:
            Its exit status, negative if a signal ended it, and the end of its output; or ``trouble``: ``hook_timeout``,
            ``hook_cannot_start``, or ``called_off``.
        """
        name, number = errand.hook, errand.number
        command = self._commands.get(name)
        if not command:
            return _cannot_start(number, f"no hook {name} is set up")
        try:
            process = self._start(command, errand)
        except KeyError:
            return _cannot_start(number, f"cannot start the hook {name}: there is no user {self._user}")
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "look at its settings")
            if str(error.filename) == str(self._root):
                advice = "is the configuration root mounted, and may the hooks' user enter it?"
            words = f"cannot start the hook {name}: {error.strerror} ({error.filename or command[0]}); {advice}"
            return _cannot_start(number, words)
        if process is None:
            return _called_off(number)
        output = _Tail(self._output_bytes)
        try:
            is_in_time = _attend(process, errand.document, output, self._timeout)
        except BaseException:
            _signal(process, signal.SIGKILL)
            raise
        finally:
            with self._lock:
                self._process = None  # its number may name another process as soon as it was waited for
            is_gone = _wait(process)
            _close(process)
        text = output.text()
        if number <= self._called_off:
            return _called_off(number)
        if is_in_time:
            return inbox.Ended(number, process.returncode, text)
        words = f"the hook {name} did not end within {self._timeout:g} s and was killed"
        words += "" if is_gone else ", and still hangs in the kernel; look at what it waits for (ps, dmesg)"
        return inbox.Ended(number, None, text, Reason.of("hook_timeout", words))

    def kill(self, number: int) -> None:
        """Ends an errand and all before it, those that have not begun included; by another thread. The process group of
        the one that runs is killed. Numbers rise, so this never meets a later one."""
        with self._lock:
            self._called_off = max(self._called_off, number)
            if self._process is not None and self._running <= number:
                _signal(self._process, signal.SIGKILL)

    def _start(self, command: Sequence[str], errand: errands.RunHook) -> subprocess.Popen[bytes] | None:
        deployment = json.loads(errand.document)["deployment"]
        environment = {
            "PATH": PATH,
            "SHALLOP_ROOT": str(self._root),
            "SHALLOP_CURRENT": str(self._root / "current"),
            "SHALLOP_DEPLOYMENT": deployment["id"] if deployment else "",
        }
        user, group, groups = _account(self._user)
        with self._lock:
            if errand.number <= self._called_off:
                return None
            self._process = subprocess.Popen(  # noqa: S603  the command is the device's own setting
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd=self._root,
                env=environment,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=groups,
            )
            self._running = errand.number
            return self._process


def _account(name: str | None) -> tuple[int | None, int | None, Sequence[int] | None]:
    """User, group and further groups to run as; nothing where that is who the agent is.

    Raises:
        KeyError: there is no such user.
    """
    if name is None or (account := pwd.getpwnam(name)).pw_uid == os.geteuid():
        return None, None, None
    return account.pw_uid, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


class _Tail:
    """The end of what a hook says."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, piece: bytes) -> None:
        self._kept += piece
        if len(self._kept) > self._limit + _PIECE:
            del self._kept[: -self._limit]

    def text(self) -> str:
        return printable(bytes(self._kept[-self._limit :]))


def printable(said: bytes) -> str:
    """What a program said, as text for people: no colours, nothing that a terminal would obey, no invisible signs."""
    return terminal.lines(said.decode(errors="replace")).strip()


def _attend(process: subprocess.Popen[bytes], document: bytes, output: _Tail, timeout: float) -> bool:
    """Writes what a hook is told, and reads what it says, until it has ended. False if it had to be made to; then its
    process group was killed. Its own number is still taken, because it was not waited for."""
    ending = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            talk = _Talk(process, selector, document, output)
            selector.register(ending, selectors.EVENT_READ)
            if talk.until_ended(ending, timeout):
                return True
            _signal(process, signal.SIGTERM)
            talk.until_ended(ending, GRACE_S)
            _signal(process, signal.SIGKILL)
            return False
    finally:
        os.close(ending)


class _Talk:
    """Standard input and output of a hook, neither of which it has to use."""

    def __init__(
        self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector, document: bytes, output: _Tail
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._selector = selector
        self._in, self._out = process.stdin, process.stdout
        self._left = memoryview(document)
        self._output = output
        for stream, event in ((self._in, selectors.EVENT_WRITE), (self._out, selectors.EVENT_READ)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, event)

    def until_ended(self, ending: int, seconds: float) -> bool:
        """Goes on until the process has ended; False if that takes longer."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            ready = {key.fileobj for key, _ in self._selector.select(left)}
            if self._in in ready:
                self._write()
            if self._out in ready:
                self._read()
            if ending in ready:
                for _ in range(_LAST_PIECES):
                    if not self._read():
                        break
                return True
        return False

    def _write(self) -> None:
        try:
            self._left = self._left[os.write(self._in.fileno(), self._left[:_PIECE]) :]
        except BlockingIOError:
            return
        except OSError:  # it closed its end: it does not want to know
            self._left = self._left[:0]
        if not self._left:
            self._selector.unregister(self._in)
            with contextlib.suppress(OSError):
                self._in.close()

    def _read(self) -> bool:
        """Whether there was something."""
        if self._out.closed:
            return False
        try:
            piece = os.read(self._out.fileno(), _PIECE)
        except BlockingIOError:
            return False
        if piece:
            self._output.add(piece)
            return True
        self._selector.unregister(self._out)
        self._out.close()
        return False


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To its whole process group, which is a session of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """False if even SIGKILL did not help."""
    try:
        process.wait(REAP_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _cannot_start(number: int, words: str) -> inbox.Ended:
    return inbox.Ended(number, None, trouble=Reason.of("hook_cannot_start", words))


def _called_off(number: int) -> inbox.Ended:
    return inbox.Ended(number, None, trouble=Reason.of("called_off", "the hook was called off"))
