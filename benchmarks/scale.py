"""Whether the API answers as fast for 100,000 devices as for 1,000: each question, and each act, on both.

Two stores are filled, one for each size; then every request is made many times to the API in this process, in turn on
the small store and the large one. Quoted are the medians and the ratio of the two.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import harness
import httpx
import scale_store
import structlog
from fastapi.testclient import TestClient
from shallop_cloud.testing import ashore

Engine = Literal["sqlite", "postgresql"]
REQUESTS_AT_LEAST, SECONDS_AT_MOST = 5, 3.0
"""So often each request is made at least; and no longer than so, beyond that."""


@dataclasses.dataclass(frozen=True)
class Store:
    """One filled store, and its API."""

    client: TestClient
    filled: scale_store.Filled
    keys: Iterator[int]

    def list(self, path: str, **parameters: Any) -> httpx.Response:
        """A page of a list."""
        return self.client.get(path, params=parameters)


Ask = Callable[[Store], httpx.Response]

COUNT_ALL = {"summary"}
"""Requests whose work is the whole fleet's; they are measured, and are not what has to stay fast."""


def questions(store: Store) -> dict[str, Ask]:
    """Every request, by what a person would call it. Each takes things that this store has."""
    filled = store.filled
    name = filled.names[len(filled.names) // 2]
    device = store.client.get(f"/v1/devices/{name}").json()
    waiting = iter(filled.staged)
    lately = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=12)).isoformat()

    def devices(**parameters: Any) -> Ask:
        return lambda on: on.list("/v1/devices", **parameters)

    def deployments(**parameters: Any) -> Ask:
        return lambda on: on.list("/v1/deployments", **parameters)

    def get(path: str) -> Ask:
        return lambda on: on.client.get(path)

    def make(**more: Any) -> Ask:
        configs = [{"config_type": "motion", "content": "speed: 1\n"}]

        def ask(on: Store) -> httpx.Response:
            target = filled.names[next(on.keys) * 7 % len(filled.names)]
            body = {"device": target, "release": filled.release, "configs": configs, **more}
            return on.client.post("/v1/deployments", json=body)

        return ask

    return {
        "devices": devices(),
        "devices, label common": devices(label="model=model-1"),
        "devices, label of a site": devices(label="site=site-07"),
        "devices, label rare": devices(label="pilot=yes"),
        "devices, two labels": devices(label=["model=model-1", "pilot=yes"]),
        "devices, online": devices(connectivity="online"),
        "devices, offline": devices(connectivity="offline"),
        "devices, silent": devices(connectivity="silent"),
        "devices, never heard": devices(connectivity="never"),
        "devices, in sync": devices(in_sync="true"),
        "devices, not in sync": devices(in_sync="false"),
        "devices, archived": devices(archived="true"),
        "deployments": deployments(),
        "deployments, archived": deployments(status="archived"),
        "deployments, deployed": deployments(status="deployed"),
        "deployments, failed": deployments(status="failed"),
        "deployments, drifted": deployments(status="drifted"),
        "deployments, retrying": deployments(status="retrying"),
        "deployments, retrying or drifted": deployments(status=["retrying", "drifted"]),
        "deployments, archived or retrying": deployments(status=["archived", "retrying"]),
        "deployments of a release": deployments(release="1.3.0"),
        "deployments of a release, common status": deployments(release="1.3.0", status="archived"),
        "deployments of a release, rare status": deployments(release="1.9.0", status="retrying"),
        "deployments, label common": deployments(label="model=model-1"),
        "deployments, label of a site": deployments(label="site=site-07"),
        "deployments, label rare": deployments(label="pilot=yes"),
        "deployments of a device": deployments(device=name),
        "deployments since": deployments(since=lately),
        "device by name": get(f"/v1/devices/{name}"),
        "device by id": get(f"/v1/devices/{device['id']}"),
        "device by prefix": get(f"/v1/devices/{device['id'][:16]}"),
        "device, unknown name": get("/v1/devices/amr-00050x"),
        "why": get(f"/v1/devices/{name}/why"),
        "deployment by id": get(f"/v1/deployments/{device['current']}"),
        "deployment by prefix": get(f"/v1/deployments/{device['current'][:16]}"),
        "deployment, unknown": get("/v1/deployments/DPL-0000000000000000"),
        "review": get(f"/v1/deployments/{filled.staged[-1]}/review"),
        "history of a device": get(f"/v1/devices/{filled.names[0]}/history"),
        "audit": get("/v1/history"),
        "audit of an actor": get("/v1/history?actor=device"),
        "summary": get("/v1/summary"),
        "releases": get("/v1/releases"),
        "order what is staged": lambda on: on.client.post(f"/v1/deployments/{next(waiting)}:deploy", json={}),
        "make and order": make(),
        "make and stage": make(staged=True),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--devices", type=int, nargs=2, default=[1_000, 100_000], help="default: 1000 100000")
    parser.add_argument("--repeat", type=int, default=40, help="of each request (default: 40)")
    parser.add_argument("--only", default="", help="only requests whose name contains this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if min(chosen.devices) < 100 or chosen.repeat < 1:
        parser.error("--devices are at least 100, and --repeat at least 1")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the API runs in this process
    load_before = round(os.getloadavg()[0], 2)
    measured = measure(chosen.engine, chosen)
    worst = max(
        (case for case in measured["cases"] if case["request"] not in COUNT_ALL), key=lambda case: case["ratio"]
    )
    result = {
        "engine": chosen.engine,
        "devices": chosen.devices,
        "deployments": [number * scale_store.EACH for number in chosen.devices],
        "repeat": chosen.repeat,
        "worst_ratio": worst["ratio"],
        "worst": worst["request"],
        **measured,
        "load_before": load_before,
    }
    harness.emit("scale", result, chosen.json)
    return 0


def measure(engine: Engine, chosen: argparse.Namespace) -> dict[str, Any]:
    """Every request on both sizes of one engine."""
    with contextlib.ExitStack() as stack:
        places = stack.enter_context(_places(engine))
        stores, seconds = [], []
        for number in chosen.devices:
            began = time.monotonic()
            stores.append(stack.enter_context(_store(next(places), number)))
            seconds.append(round(time.monotonic() - began, 1))
            harness.progress(f"{engine}: {number} devices filled in {seconds[-1]} s")
        asked = [questions(store) for store in stores]
        cases = [
            _case(name, [(each[name], store) for each, store in zip(asked, stores, strict=True)], chosen.repeat)
            for name in asked[0]
            if chosen.only in name
        ]
        entries = [store.filled.entries for store in stores]
        return {"fill_seconds": seconds, "history_entries": entries, "cases": cases}


def _case(name: str, both: Sequence[tuple[Ask, Store]], repeat: int) -> dict[str, Any]:
    """The medians on the small store and the large one, which take turns."""
    times: list[list[float]] = [[] for _ in both]
    statuses: set[int] = set()
    until = time.monotonic() + SECONDS_AT_MOST
    for turn in itertools.count():
        for (ask, store), taken in zip(both, times, strict=True):
            began = time.perf_counter()
            answer = ask(store)
            taken.append((time.perf_counter() - began) * 1_000)
            statuses.add(answer.status_code)
        if turn + 1 >= repeat or (turn + 1 >= REQUESTS_AT_LEAST and time.monotonic() > until):
            break
    wanted = {404} if "unknown" in name else {200, 201}
    if not statuses <= wanted:
        raise harness.BenchmarkError(f"{name} was answered with {sorted(statuses)}, not {sorted(wanted)}")
    small, large = (harness.percentile(taken[1:] or taken, 50) for taken in times)
    case = {"request": name, "small_ms": round(small, 2), "large_ms": round(large, 2), "ratio": round(large / small, 2)}
    harness.progress(f"  {name:<42} {small:8.2f} ms {large:8.2f} ms {large / small:6.2f}")
    return case


@contextlib.contextmanager
def _places(engine: Engine) -> Generator[Iterator[tuple[Path, str | None]]]:
    """Directories for stores, each with the address of its database if that is not in it."""
    with tempfile.TemporaryDirectory(prefix="shallop-scale-") as root, contextlib.ExitStack() as stack:
        server = stack.enter_context(_postgres()) if engine == "postgresql" else None

        def places() -> Iterator[tuple[Path, str | None]]:
            for number in itertools.count():
                directory = Path(root) / str(number)
                directory.mkdir()
                yield directory, server.create() if server else None

        yield places()


@contextlib.contextmanager
def _postgres() -> Generator[Any]:
    """The PostgreSQL server that the tests use as well, with memory for its pages."""
    sys.path.append(str(harness.REPOSITORY / "tests"))
    import postgres_world

    server = postgres_world.Server(shared_buffers="1GB")  # what a database for a fleet of this size would have
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def _store(place: tuple[Path, str | None], number: int) -> Generator[Store]:
    directory, url = place
    with ashore.shore(directory, **({"url": url} if url else {})) as made:
        filled = scale_store.fill(made.shore.database, number)
        scale_store.settle(made.shore.database)
        with TestClient(made.app) as client:
            client.headers["Authorization"] = f"Bearer {ashore.TOKEN}"
            yield Store(client, filled, itertools.count(1))


if __name__ == "__main__":
    sys.exit(main())
