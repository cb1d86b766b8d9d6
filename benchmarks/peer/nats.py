"""NATS JetStream's key-value store: one node, buckets on disk, its own defaults.

By those it answers a write before it is synced: it syncs every two minutes. The operator puts the files, many at a
time. Each robot watches its key, and puts another in a second bucket to acknowledge; the operator watches that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path
from typing import Any

import harness
import nats
from nats.js.api import KeyValueConfig, StorageType

from peer import disk
from peer import robots as thin

DESIRED, DONE = "desired", "done"
AT_ONCE = 256
"""Puts that are on their way at a time."""


@contextlib.contextmanager
def server(where: Path) -> Generator[tuple[int, int]]:
    """A running nats-server: its port and process id."""
    port = harness.free_port()
    settings = where / "nats.conf"
    settings.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{where / "jetstream"}" }}\n')
    program = harness.Program("nats-server", [harness.find("nats-server"), "-c", str(settings)], where / "nats.log")
    with harness.running(program, lambda: harness.answers(port)):
        asyncio.run(_make_buckets(port))
        yield port, program.pid


async def _make_buckets(port: int) -> None:
    async with _stream(port) as stream:
        for bucket in (DESIRED, DONE):
            await stream.create_key_value(config=KeyValueConfig(bucket, history=1, storage=StorageType.FILE))


@contextlib.asynccontextmanager
async def robots(roster: thin.Roster) -> AsyncGenerator[None]:
    """Robots that hear, while the block lasts."""
    async with _stream(roster.port) as stream:
        desired, done = await stream.key_value(DESIRED), await stream.key_value(DONE)
        watches = [await desired.watch(name) for name in roster.names]
        tasks = [
            asyncio.create_task(_robot(done, watch, name, roster.directory / name))
            for watch, name in zip(watches, roster.names, strict=True)
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _robot(done: Any, watch: Any, name: str, directory: Path) -> None:
    async for entry in watch:
        if entry is not None:  # None: there was nothing before
            disk.write(directory, thin.FILE, entry.value)
            await done.put(name, entry.value.partition(b"\n")[0])


class Operator:
    """Changes the file of every robot."""

    def __init__(self, port: int, names: Sequence[str]) -> None:
        self._port = port
        self._names = names

    async def run(self, contents: Sequence[bytes]) -> list[list[float]]:
        """For each content, the seconds until each robot's word was there, from just before the first call."""
        async with _stream(self._port) as stream:
            desired, done = await stream.key_value(DESIRED), await stream.key_value(DONE)
            watch = aiter(await done.watchall())
            return [await self._change(desired, watch, content) for content in contents]

    async def _change(self, desired: Any, watch: Any, content: bytes) -> list[float]:
        began = time.perf_counter()
        room = asyncio.Semaphore(AT_ONCE)

        async def put(name: str) -> None:
            async with room:
                await desired.put(name, content)

        calls = asyncio.gather(*(put(name) for name in self._names))
        line, seen = content.partition(b"\n")[0], dict[str, float]()
        async with asyncio.timeout(harness.WITHIN_S):
            while len(seen) < len(self._names):
                entry = await anext(watch)
                if entry is not None and entry.value == line:
                    seen.setdefault(entry.key, time.perf_counter() - began)
            await calls
        return list(seen.values())


@contextlib.asynccontextmanager
async def _stream(port: int) -> AsyncGenerator[Any]:
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    try:
        yield client.jetstream(timeout=harness.WITHIN_S)
    finally:
        await client.close()
