"""etcd: one node, its own defaults, so every write is on its disk before it is answered.

The operator puts the files by transactions of as many keys as etcd takes. Each robot watches its key by gRPC, and
puts another to acknowledge; the operator watches those.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path
from typing import Any

import aetcd
import harness
import httpx

from peer import disk
from peer import robots as thin

DESIRED, DONE = "desired/", "done/"
IN_ONE = 128
"""Keys in one transaction; more, etcd refuses by default."""


@contextlib.contextmanager
def server(where: Path) -> Generator[tuple[int, int]]:
    """A running etcd: its port and process id."""
    port, peers = harness.free_port(), harness.free_port()
    here, others = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    options = {
        "data-dir": str(where / "etcd"),
        "listen-client-urls": here,
        "advertise-client-urls": here,
        "listen-peer-urls": others,
        "initial-advertise-peer-urls": others,
        "initial-cluster": f"default={others}",
    }
    arguments = [harness.find("etcd"), *(f"--{name}={value}" for name, value in options.items())]
    program = harness.Program("etcd", arguments, where / "etcd.log")
    with harness.running(program, lambda: httpx.get(f"{here}/health").json()["health"] == "true"):
        yield port, program.pid


@contextlib.asynccontextmanager
async def robots(roster: thin.Roster) -> AsyncGenerator[None]:
    """Robots that hear, while the block lasts."""
    async with _client(roster.port) as client:
        watches = [await client.watch(f"{DESIRED}{name}".encode()) for name in roster.names]
        tasks = [
            asyncio.create_task(_robot(client, watch, name, roster.directory / name))
            for watch, name in zip(watches, roster.names, strict=True)
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _robot(client: aetcd.Client, watch: Any, name: str, directory: Path) -> None:
    async for event in watch:
        data = event.kv.value
        disk.write(directory, thin.FILE, data)
        await client.put(f"{DONE}{name}".encode(), data.partition(b"\n")[0])


class Operator:
    """Changes the file of every robot."""

    def __init__(self, port: int, names: Sequence[str]) -> None:
        self._port = port
        self._names = names

    async def run(self, contents: Sequence[bytes]) -> list[list[float]]:
        """For each content, the seconds until each robot's word was there, from just before the first call."""
        async with _client(self._port) as client:
            watch = aiter(await client.watch_prefix(DONE.encode()))
            return [await self._change(client, watch, content) for content in contents]

    async def _change(self, client: aetcd.Client, watch: Any, content: bytes) -> list[float]:
        began = time.perf_counter()
        puts = [client.transactions.put(f"{DESIRED}{name}".encode(), content) for name in self._names]
        parts = [puts[start : start + IN_ONE] for start in range(0, len(puts), IN_ONE)]
        calls = asyncio.gather(*(client.transaction(compare=[], success=part, failure=[]) for part in parts))
        line, seen = content.partition(b"\n")[0], dict[bytes, float]()
        async with asyncio.timeout(harness.WITHIN_S):
            while len(seen) < len(self._names):
                event = await anext(watch)
                if event.kv.value == line:
                    seen.setdefault(event.kv.key, time.perf_counter() - began)
            await calls
        return list(seen.values())


@contextlib.asynccontextmanager
async def _client(port: int) -> AsyncGenerator[aetcd.Client]:
    client = aetcd.Client(host="127.0.0.1", port=port)
    await client.connect()
    try:
        yield client
    finally:
        await client.close()
