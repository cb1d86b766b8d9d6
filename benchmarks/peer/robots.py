"""A process of thin robots: ``python -m peer.robots SYSTEM ROSTER.json`` runs those of a roster until it is ended."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness

FILE = "motion-control.yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class Roster:
    """The robots of one process.

    Attributes:
        directory: each robot has a directory of its own below it.
        ready: a file that the process makes once every robot hears.
        more: what the robots of one system need beside this.
    """

    port: int
    names: tuple[str, ...]
    directory: Path
    ready: Path
    more: dict[str, Any]

    def write(self, path: Path) -> None:
        """Puts it into a file."""
        path.write_text(json.dumps(dataclasses.asdict(self), default=str))

    @classmethod
    def read(cls, path: Path) -> Roster:
        """From a file, with the robots' directories made."""
        read = json.loads(path.read_text())
        directory = Path(read["directory"])
        for name in read["names"]:
            (directory / name).mkdir(parents=True, exist_ok=True)
        return cls(read["port"], tuple(read["names"]), directory, Path(read["ready"]), read["more"])


def processes(
    system: str, port: int, names: Sequence[str], where: Path, count: int, more: dict[str, Any]
) -> list[harness.Program]:
    """The processes for these robots, so many, not started yet; ``is_ready`` says when a started one hears."""
    programs: list[harness.Program] = []
    for number in range(count):
        share = tuple(names[number::count])
        if share:
            path = where / f"{system}-{number}.json"
            Roster(port, share, where / "robots", path.with_suffix(".ready"), more).write(path)
            arguments = [sys.executable, "-m", "peer.robots", system, str(path)]
            programs.append(harness.Program(f"robots of {system}", arguments, path.with_suffix(".log"), _PATH))
    return programs


def is_ready(program: harness.Program) -> bool:
    """Whether all robots of a process hear."""
    return program.log.with_suffix(".ready").exists()


_PATH = {"PYTHONPATH": str(Path(__file__).parent.parent)}


async def _run(system: str, roster: Roster) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    module = importlib.import_module(f"peer.{system}")
    async with module.robots(roster):
        roster.ready.touch()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], Roster.read(Path(sys.argv[2]))))
