"""The robots' ear for whoever runs the bench: one JSON object a line over a Unix socket, one line in answer.

::

    {"do": "state"}                                                    how many are where
    {"do": "robot", "name": "amr-1"}                                   one robot's disk and memory
    {"do": "fault", "robots": ["amr-1"], "fault": "slow 200ms"}
    {"do": "reject", "robots": ["amr-1"], "containing": "max_speed: 12.5"}
    {"do": "connected_at"}                                             monotonic moments
    {"do": "stop"}

The answer is ``{"ok": …}`` or ``{"error": "in words"}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from shallop_cloud.bench import faults
from shallop_cloud.bench.simulated import doors, views
from shallop_cloud.bench.simulated.fleet import Fleet, UnknownRobot

MAX_LINE_BYTES = 16 << 20
"""Room for the names of very many robots."""


class _Request(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class _Plain(_Request):
    do: Literal["state", "connected_at", "stop"]


class _Robot(_Request):
    do: Literal["robot"]
    name: str


class _Fault(_Request):
    do: Literal["fault"]
    robots: tuple[str, ...]
    fault: str


class _Reject(_Request):
    do: Literal["reject"]
    robots: tuple[str, ...]
    containing: str | None


_REQUEST: pydantic.TypeAdapter[_Plain | _Robot | _Fault | _Reject] = pydantic.TypeAdapter(
    Annotated[_Plain | _Robot | _Fault | _Reject, pydantic.Field(discriminator="do")]
)


@contextlib.asynccontextmanager
async def listening(path: Path, fleet: Fleet, stop: asyncio.Event) -> AsyncGenerator[None]:
    """Answers at a socket while the block lasts, and sets ``stop`` when it is told to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # who asks is gone, or the line is too long
            while line := await reader.readline():
                writer.write(json.dumps(_answer(line, fleet, stop)).encode() + b"\n")
                await writer.drain()
        writer.close()

    with doors.short(path) as address:
        server = await asyncio.start_unix_server(serve, address, limit=MAX_LINE_BYTES)
    try:
        yield
    finally:
        server.close()


def _answer(line: bytes, fleet: Fleet, stop: asyncio.Event) -> dict[str, Any]:
    try:
        return {"ok": _do(line, fleet, stop)}
    except pydantic.ValidationError as error:
        return {"error": f"not a request: {error.errors(include_url=False)[0]['msg']}"}
    except (faults.FaultError, UnknownRobot) as error:
        return {"error": str(error)}


def _do(line: bytes, fleet: Fleet, stop: asyncio.Event) -> Any:  # Any: each request has its own answer, as JSON
    match _REQUEST.validate_json(line):
        case _Plain(do="state"):
            return views.STATE.dump_python(fleet.state(), mode="json")
        case _Plain(do="connected_at"):
            return fleet.connected_at()
        case _Plain():
            stop.set()
            return None
        case _Robot(name=name):
            return views.ROBOT.dump_python(fleet.view(name), mode="json")
        case _Fault(robots=robots, fault=words):
            return fleet.fault(robots, faults.Fault.parse(words.split()))
        case _Reject(robots=robots, containing=containing):
            return fleet.reject(robots, containing)
