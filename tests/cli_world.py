"""A shallop server in memory, on a port of this machine: what the ``shallop`` command talks to in its tests.

It takes and shows the API's own models, so a request or an answer off the contract fails here. It judges no configs
and talks to no robot: a test says what the server refuses, and how deployments go on.
"""

from __future__ import annotations

import dataclasses
import datetime
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pydantic
from shallop_cloud.api import models

TOKEN = "the-token-of-the-admin"
DIGEST = "sha256:" + 64 * "a"


def before(**ago: float) -> datetime.datetime:
    """The time that was so long ago, such as ``minutes=3``."""
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**ago)


EXPIRES = before(days=-7, minutes=-5)
"""When every token does."""


def device(name: str, **changes: Any) -> models.Device:
    """A device that enrolled and is online."""
    fields: dict[str, Any] = {
        "id": "DEV-" + name.upper().replace("-", "").ljust(16, "0"),
        "name": name,
        "labels": {},
        "created_at": before(days=2, minutes=1),
        "enrolled_at": before(hours=5, minutes=1),
        "token_expires_at": None,
        "current": None,
        "fallback": None,
        "generation": 0,
        "in_sync": True,
        "online": True,
        "last_heard_at": before(minutes=3, seconds=5),
        "last_known": None,
    }
    return models.Device(**{**fields, **changes})


def release(version: str, *types: str) -> models.Release:
    """A release with YAML config types of these names."""
    return models.Release(
        id="REL-" + version.replace(".", "").ljust(16, "0"),
        version=version,
        git_commit=40 * "c",
        created_at=before(hours=1, seconds=5),
        created_by="admin",
        config_types=[
            models.ConfigType(
                name=name,
                format=models.Format.YAML,
                schema_id="SCH-0000000000000001",
                schema_digest=DIGEST,
                slots=[models.Slot(key="default", path=f"{name}.yaml", required=True)],
            )
            for name in types
        ],
    )


def deployment(id_: str, target: str = "deployed", activity: str = "queued", error: str = "none", **changes: Any):
    """A deployment of release 1.4.0 on amr-07, with its statuses."""
    fields: dict[str, Any] = {
        "id": id_,
        "device_id": "DEV-AMR0700000000000",
        "device_name": "amr-07",
        "release": "1.4.0",
        "description": "",
        "digest": DIGEST,
        "target_status": target,
        "activity_status": activity,
        "error_status": error,
        "status": activity if error == "none" else error,
        "reason": None,
        "attempts": 0,
        "patched_from": None,
        "config_instances": [],
        "created_at": before(minutes=3, seconds=5),
        "created_by": "admin",
        "queued_at": None,
        "deployed_at": None,
        "archived_at": None,
    }
    return models.Deployment(**{**fields, **changes})


@dataclasses.dataclass
class World:
    """What the server has, by id. ``later`` is what a deployment looks like, one look after the other."""

    url: str = ""
    releases: dict[str, models.Release] = dataclasses.field(default_factory=dict)
    devices: dict[str, models.Device] = dataclasses.field(default_factory=dict)
    deployments: dict[str, models.Deployment] = dataclasses.field(default_factory=dict)
    history: list[models.HistoryEntry] = dataclasses.field(default_factory=list)
    contents: dict[str, bytes] = dataclasses.field(default_factory=dict)
    later: dict[str, list[models.Deployment | Refusal]] = dataclasses.field(default_factory=dict)
    refuses: Refusal | None = None
    taken: list[models.Taken] = dataclasses.field(default_factory=list)
    """The bodies that were taken, parsed."""
    asked: dict[str, str] = dataclasses.field(default_factory=dict)
    """The query of the last request."""

    def add(self, *things: models.Shown) -> None:
        """Puts things where they belong."""
        for each in things:
            match each:
                case models.Release():
                    self.releases[each.id] = each
                case models.Device():
                    self.devices[each.id] = each
                case models.Deployment():
                    self.deployments[each.id] = each
                case _:
                    raise TypeError(each)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """A model, bytes, or a refusal."""
        self.asked = query
        if self.refuses:
            return self.refuses
        noun, _, rest = path.removeprefix("/v1/").partition("/")
        key, _, act = rest.partition(":")
        key, _, part = key.partition("/")
        key = urllib.parse.unquote(key)
        if noun == "config-instances":
            return self.contents.get(key) or _not_found("config instance", key)
        shelf: dict[str, Any] = getattr(self, noun)
        if method == "GET" and not key:
            found = [each for each in shelf.values() if _fits(each, query)]
            return _page(found, query)
        if not key:
            return self._make(noun, body)
        thing = next((each for each in shelf.values() if key in _names(each) or each.id.startswith(key.upper())), None)
        if thing is None:
            return _not_found(noun.rstrip("s"), key)
        if part == "history":
            return _page(self.history, query)
        if act:
            return self._act(thing, act, body)
        if self.later.get(thing.id):
            return self.later[thing.id].pop(0)
        return thing

    def _make(self, noun: str, body: Any) -> models.Shown:
        if noun == "releases":
            taken = models.NewRelease.model_validate(body)
            made: models.Shown = release(taken.version, *(each.name for each in taken.config_types))
        elif noun == "devices":
            taken = models.NewDevice.model_validate(body)
            shown = device(taken.name, labels=taken.labels, enrolled_at=None, online=False, last_heard_at=None)
            made = _with_token(shown)
        else:
            taken = models.NewDeployment.model_validate(body)
            ordered = ("staged", "staged") if taken.staged else ("deployed", "queued")
            made = deployment("DPL-NEW0000000000000", *ordered, description=taken.description)
            self.add(made)
        self.taken.append(taken)
        return made

    def _act(self, thing: Any, act: str, body: Any) -> models.Shown:
        if act == "renew-token":
            return _with_token(thing)
        self.taken.append(models.Act.model_validate(body))
        target, activity = {
            "deploy": ("deployed", "queued"),
            "archive": ("archived", "archived"),
            "restage": ("staged", "staged"),
        }[act]
        made = deployment(thing.id, target, activity)
        self.add(made)
        return made


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An answer that is not success."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/problem+json"),)


def refusal(status: int, code: str, detail: str, *errors: models.ProblemError) -> Refusal:
    """A problem of the API."""
    problem = models.Problem(
        type="about:blank", title="", status=status, code=code, detail=detail, errors=list(errors), request_id="r"
    )
    return Refusal(status, problem.model_dump_json().encode())


@contextmanager
def serving() -> Iterator[World]:
    """A world that listens while the block lasts."""
    world = World()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Silent."""

        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            size = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(size)) if size else None
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                answer: Any = refusal(401, "token_invalid", "this server knows no such token")
            else:
                answer = world.answer(self.command, parts.path, dict(urllib.parse.parse_qsl(parts.query)), body)
            self._send(answer if isinstance(answer, Refusal) else Refusal(200, _bytes(answer), ()))

        do_POST = do_GET  # noqa: N815

        def _send(self, answer: Refusal) -> None:
            self.send_response(answer.status)
            for name, value in (*answer.headers, ("Content-Length", str(len(answer.body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    world.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _bytes(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else pydantic.BaseModel.model_dump_json(answer).encode()


def _page(found: list[Any], query: dict[str, str]) -> models.Page[Any]:
    start, limit = int(query.get("cursor", 0)), int(query["limit"])
    more = start + limit < len(found)
    return models.Page(data=found[start : start + limit], next_cursor=str(start + limit) if more else None)


def _fits(thing: Any, query: dict[str, str]) -> bool:
    label, _, value = query.get("label", "").partition("=")
    if label and thing.labels.get(label) != value:
        return False
    return all(
        getattr(thing, name) == query[asked]
        for asked, name in (("device", "device_name"), ("release", "release"), ("status", "status"))
        if asked in query
    )


def _names(thing: Any) -> tuple[str, ...]:
    return tuple(getattr(thing, name) for name in ("id", "name", "version") if hasattr(thing, name))


def _with_token(shown: models.Device) -> models.CreatedDevice:
    return models.CreatedDevice(**{**dict(shown), "token_expires_at": EXPIRES}, token="shallop-enrol-s3cret")


def _not_found(what: str, key: str) -> Refusal:
    return refusal(404, f"{what}_not_found", f"there is no {what} {key!r}; list them with: shallop {what} list")
