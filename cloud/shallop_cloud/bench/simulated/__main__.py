"""``python -m shallop_cloud.bench.simulated ROSTER.json --control SOCKET``: simulated robots, until they are told to
stop, get a signal, or whoever started them is gone."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import resource
import signal
import stat
import sys
from pathlib import Path

from shallop_cloud.bench.simulated import control
from shallop_cloud.bench.simulated.fleet import Fleet
from shallop_cloud.bench.simulated.roster import Roster, RosterError


def main() -> int:
    """Runs the robots of a roster; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shallop_cloud.bench.simulated", description=__doc__)
    parser.add_argument("roster", type=Path, help="who they are: a JSON file")
    parser.add_argument("--control", type=Path, required=True, help="the Unix socket to listen on; made here")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_run(Roster.read(arguments.roster), arguments.control))
    except (RosterError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _run(roster: Roster, path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection each; the usual soft limit is 1,024
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        loop.add_reader(0, _look_at_stdin, loop, stop)
    fleet = Fleet(roster, loop, random.Random())  # noqa: S311  jitter, not secrets
    gc.freeze()  # robots live for ever: without this, every full collection walks them again
    async with control.listening(path, fleet, stop):
        fleet.start()
        await stop.wait()
        await fleet.stop()


def _look_at_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        loop.remove_reader(0)
        stop.set()


if __name__ == "__main__":
    sys.exit(main())
