"""A robot under torture: its agent as a process, its machine that is tampered with, and who reads its disk."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
from pathlib import Path

from shallop_cloud.bench.robots import Robot
from system_world import Process
from torture import reading
from torture.history import Log

TESTS = Path(__file__).resolve().parent.parent
_MAIN = (
    f"import sys; sys.path.insert(0, {str(TESTS)!r}); from torture import robot_main; robot_main.main(*sys.argv[1:])"
)
_LIMIT = resource.RLIMIT_FSIZE
READ_EVERY_S = 0.01
_HEARTBEAT = ("--heartbeat", "900")
_BACKOFF = ("--retry-first", "0.2", "--retry-cap", "2")


class TorturedRobot:
    """One robot. ``open`` it before anything else, and ``close`` it."""

    def __init__(self, name: str, directory: Path, log: Log) -> None:
        self.name = name
        self.robot = Robot(name, directory)
        self.wire_id = ""
        self._log = log
        self._control = directory / "control.json"
        self._witness = f"shallop-witness-{os.getpid()}-{id(self)}"
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._listen, self._read)]
        arguments = [str(self.robot.state), str(self._control), self._witness, *_HEARTBEAT, *_BACKOFF]
        self.process = Process([sys.executable, "-c", _MAIN, *arguments], self.robot.log, directory)

    def open(self) -> None:
        """Begins to read its disk."""
        self.robot.directory.mkdir(parents=True, exist_ok=True)
        self.control()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self._witness}")
        self._socket.settimeout(0.2)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the agent, and after it the reading."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    @property
    def trees(self) -> list[str]:
        """What lies beside each other on its disk."""
        deployments = self.robot.root / "deployments"
        return sorted(path.name for path in deployments.iterdir()) if deployments.is_dir() else []

    def control(self, *, clock: float = 0.0, cut_after: int | None = None) -> None:
        """What is wrong with its machine from now on: nothing else than this."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(json.dumps({"clock": clock, "cut_after": cut_after}))
        fresh.replace(self._control)

    def fill_disk(self, *, is_full: bool) -> None:
        """No file of the agent's can grow any more, its database's included; or they can again."""
        pid = self.pid
        if pid is not None:
            _, hard = resource.prlimit(pid, _LIMIT)
            resource.prlimit(pid, _LIMIT, (0 if is_full else hard, hard))

    @property
    def pid(self) -> int | None:
        """Of the agent, while it runs."""
        running = self.process._process
        return running.pid if running is not None and running.poll() is None else None

    def send(self, number: signal.Signals) -> None:
        """A signal to the agent, if it runs."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    def _listen(self) -> None:
        """Writes down what the witness says."""
        while True:
            try:
                said = json.loads(self._socket.recv(65_536))
            except TimeoutError:
                if self._stopping.is_set():
                    return
                continue
            self._write(reading.Look(**{**said, "marks": tuple(said["marks"])}))

    def _read(self) -> None:
        """Reads all the time, and writes down what differs from what was read before."""
        last: tuple[object, ...] = ()
        while not self._stopping.wait(READ_EVERY_S):
            found = reading.look(self.robot.root)
            if found is not None and (found.tree, found.digest, found.marks) != last:
                last = (found.tree, found.digest, found.marks)
                self._write(found)

    def _write(self, found: reading.Look) -> None:
        self._log.write(
            "disk",
            device=self.name,
            begin=self._log.moment(found.begin),
            end=self._log.moment(found.end),
            tree=found.tree,
            digest=found.digest,
            marks=list(found.marks),
        )
