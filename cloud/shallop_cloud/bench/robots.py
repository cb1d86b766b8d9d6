"""Real robots' agents on this machine: one ``shallopd`` process each, with directories of its own."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

_SHALLOPD = [sys.executable, "-c", "import sys; from shallop_device.cli import main; sys.exit(main())"]
STOP_WITHIN_S = 10


class RobotError(Exception):
    """A robot's agent did not do what it was asked to; the message has its last words."""


@dataclasses.dataclass
class Robot:
    """One robot: its agent's state, the root of its configuration, and the process while there is one."""

    name: str
    directory: Path
    _process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        """The agent's state directory."""
        return self.directory / "state"

    @property
    def root(self) -> Path:
        """Where its configuration is; robot software reads ``current`` below it."""
        return self.directory / "config"

    @property
    def log(self) -> Path:
        """What the agent wrote to stderr."""
        return self.directory / "agent.log"

    @property
    def command(self) -> list[str]:
        """The program that is its agent."""
        return [*_SHALLOPD, "run", "--state", str(self.state)]

    @property
    def stdin(self) -> int:
        """What its agent has as stdin."""
        return subprocess.DEVNULL

    @property
    def is_running(self) -> bool:
        """Whether the agent's process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The agent's process id."""
        return self._process.pid if self._process else None

    def enrol(self, url: str, token: str) -> None:
        """Enrols with a one-time token.

        Raises:
            RobotError: the server refused it, or cannot be reached.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        where = ["--state", str(self.state), "--root", str(self.root)]
        done = subprocess.run(  # noqa: S603  our own program
            [*_SHALLOPD, "enroll", "--server", url, "--token", token, *where],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RobotError(f"{self.name} could not enrol: {done.stderr.strip() or done.stdout.strip()}")

    def start(self) -> None:
        """Starts the agent and returns at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                self.command,
                stdin=self.stdin,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Asks the agent to end, as a service manager would."""
        self._end(kill=False)

    def kill(self) -> None:
        """Ends the agent as a loss of power would, as far as a process can."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()

    def files(self) -> dict[str, bytes]:
        """What robot software reads now: bytes by relative path; empty if nothing is in force."""
        current = self.root / "current"
        if not current.exists():
            return {}
        tree = current.resolve()
        return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}
