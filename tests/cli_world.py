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
        "revoked_at": None,
        "lagging": None,
        "key_list": 0,
        "token_expires_at": None,
        "current": None,
        "fallback": None,
        "generation": 0,
        "confirm_s": None,
        "in_sync": True,
        "online": True,
        "last_heard_at": before(minutes=3, seconds=5),
        "last_heard_age_s": 185.0,
        "last_known": None,
        "archived_at": None,
    }
    made = {**fields, **changes}
    connectivity = "never" if made["enrolled_at"] is None else "online" if made["online"] else "offline"
    return models.Device(**{"connectivity": connectivity, **made})


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
        "waiting": None,
        "integrity": None,
        "confirm_s": None,
        "patched_from": None,
        "restores": None,
        "base": None,
        "base_generation": 0,
        "last_known_at": None,
        "last_known_age_s": None,
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
    config_schemas: dict[str, models.ConfigSchema] = dataclasses.field(default_factory=dict)
    contents: dict[str, bytes | Refusal] = dataclasses.field(default_factory=dict)
    later: dict[str, list[models.Deployment | Refusal]] = dataclasses.field(default_factory=dict)
    says: dict[str, models.Shown] = dataclasses.field(default_factory=dict)
    """The answers of paths that this server cannot reckon, such as ``deployments/DPL-7K3QF/review``."""
    refuses: Refusal | None = None
    taken: list[models.Taken] = dataclasses.field(default_factory=list)
    """The bodies that were taken, parsed."""
    asked: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The query of the last request; what was given more than once is a list."""
    changed_if: str | None = None
    """The If-Match of the last request."""

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

    def answer(self, method: str, path: str, query: dict[str, Any], body: Any) -> Any:
        """A model, bytes, or a refusal."""
        self.asked = query
        if self.refuses:
            return self.refuses
        path = urllib.parse.unquote(path.removeprefix("/v1/"))
        if body is not None and not self._take(method, path, body):
            return _not_found("route", f"{method} {path}")
        if path in self.says:
            return self.says[path]
        noun, _, rest = path.partition("/")
        noun = noun.partition(":")[0]
        key, _, act = rest.partition(":")
        key, _, part = key.partition("/")
        if noun == "config-instances":
            return self.contents.get(key) or _not_found("config instance", key)
        if noun == "history":
            return _page(self.history, query)
        shelf: dict[str, Any] = getattr(self, noun.replace("-", "_"))
        if method == "GET" and not key:
            return _page([each for each in shelf.values() if _fits(each, query, self.devices)], query)
        if not key:
            return self._make(noun)
        thing = next((each for each in shelf.values() if key in _names(each) or each.id.startswith(key.upper())), None)
        if thing is None:
            return _not_found(noun.rstrip("s"), key)
        if part == "history":
            return _page(self.history, query)
        if method == "PATCH":
            return self._change(thing)
        if act:
            return self._act(thing, act)
        if self.later.get(thing.id):
            return self.later[thing.id].pop(0)
        return thing

    def _take(self, method: str, path: str, body: Any) -> bool:
        noun, _, key = path.partition("/")
        act = path.partition(":")[2]
        kind = TAKES.get((method, noun.partition(":")[0] + ("/" if key else ""), act))
        if kind:
            self.taken.append(kind.model_validate(body))
        return kind is not None

    def _make(self, noun: str) -> models.Shown:
        match taken := self.taken[-1]:
            case models.NewRelease():
                made: models.Shown = release(taken.version, *(each.name for each in taken.config_types))
            case models.NewDevice():
                shown = device(taken.name, labels=taken.labels, enrolled_at=None, online=False, last_heard_at=None)
                made = _with_token(shown)
            case models.NewDeployment():
                ordered = ("staged", "staged") if taken.staged else ("deployed", "queued")
                made = deployment("DPL-NEW0000000000000", *ordered, description=taken.description)
                self.add(made)
            case _:
                raise AssertionError(f"{taken} for {noun}")
        return made

    def _change(self, thing: models.Device) -> models.Device:
        made = thing.model_copy(update=self.taken[-1].model_dump(exclude_unset=True))
        self.add(made)
        return made

    def _act(self, thing: Any, act: str) -> models.Shown:
        match thing, act:
            case models.Device(), "renew-token":
                return _with_token(thing)
            case models.Device(), "archive" | "restore":
                made: Any = thing.model_copy(update={"archived_at": before(seconds=3) if act == "archive" else None})
            case models.Device(), "revoke":
                made = thing.model_copy(update={"revoked_at": before(seconds=3), "online": False})
            case models.Device(), "rollback":
                ordered = ("staged", "staged") if self.taken[-1].staged else ("deployed", "queued")
                restores = self.taken[-1].to or "DPL-EAR1100000000000"
                made = deployment("DPL-NEW0000000000000", *ordered, restores=restores)
            case models.Deployment(), "patch" | "merge":
                staged = act == "merge" or self.taken[-1].staged
                ordered = ("staged", "staged") if staged else ("deployed", "queued")
                made = deployment("DPL-NEW0000000000000", *ordered, patched_from=thing.id)
            case models.Deployment(), _:
                target, activity = {
                    "deploy": ("deployed", "queued"),
                    "archive": ("archived", "archived"),
                    "restage": ("staged", "staged"),
                }[act]
                made = deployment(thing.id, target, activity, deployed_at=thing.deployed_at)
            case _:
                raise AssertionError(f"{act} on {thing}")
        self.add(made)
        return made


TAKES: dict[tuple[str, str, str], type[models.Taken]] = {
    ("POST", "releases", ""): models.NewRelease,
    ("POST", "devices", ""): models.NewDevice,
    ("POST", "deployments", ""): models.NewDeployment,
    ("POST", "deployments", "batch"): models.NewDeployments,
    ("POST", "deployments", "deploy"): models.ManyDeployments,
    ("POST", "deployments", "archive"): models.ManyDeployments,
    ("POST", "deployments/", "deploy"): models.Act,
    ("POST", "deployments/", "archive"): models.Act,
    ("POST", "deployments/", "restage"): models.Restaging,
    ("POST", "deployments/", "patch"): models.Patch,
    ("POST", "deployments/", "merge"): models.Merging,
    ("POST", "releases/", "deploy-staged"): models.Choice,
    ("POST", "releases/", "archive-staged"): models.Choice,
    ("POST", "devices/", "renew-token"): models.Act,
    ("POST", "devices/", "archive"): models.Act,
    ("POST", "devices/", "restore"): models.Act,
    ("POST", "devices/", "revoke"): models.Act,
    ("POST", "devices/", "rollback"): models.Rollback,
    ("PATCH", "devices/", ""): models.DeviceChange,
}
"""What a method, on a kind of thing or (with a slash) on one of them, and an act take."""


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
                world.changed_if = self.headers["If-Match"]
                query = {key: each if each[1:] else each[0] for key, each in urllib.parse.parse_qs(parts.query).items()}
                answer = world.answer(self.command, parts.path, query, body)
            tag = (("ETag", '"seven"'),)
            self._send(answer if isinstance(answer, Refusal) else Refusal(200, _bytes(answer), tag))

        do_POST = do_PATCH = do_GET  # noqa: N815

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


def _fits(thing: Any, query: dict[str, Any], devices: dict[str, models.Device]) -> bool:
    labelled = devices.get(thing.device_id) if isinstance(thing, models.Deployment) else thing
    for each in _several(query, "label"):
        name, _, value = each.partition("=")
        if labelled is None or labelled.labels.get(name) != value:
            return False
    if isinstance(thing, models.Device) and thing.archived_at and query.get("archived", "false") == "false":
        return False
    return all(
        getattr(thing, name) in _several(query, asked)
        for asked, name in (("device", "device_name"), ("release", "release"), ("status", "status"),
                            ("connectivity", "connectivity"))
        if asked in query
    )  # fmt: skip


def _several(query: dict[str, Any], name: str) -> list[str]:
    given = query.get(name, [])
    return given if isinstance(given, list) else [given]


def _names(thing: Any) -> tuple[str, ...]:
    return tuple(getattr(thing, name) for name in ("id", "name", "version") if hasattr(thing, name))


def _with_token(shown: models.Device) -> models.CreatedDevice:
    return models.CreatedDevice(**{**dict(shown), "token_expires_at": EXPIRES}, token="shallop-enrol-s3cret")


def _not_found(what: str, key: str) -> Refusal:
    return refusal(404, f"{what}_not_found", f"there is no {what} {key!r}; list them with: shallop {what} list")


def change(pointer: str, before: Any = None, after: Any = None, line: int = 3, column: int = 14) -> models.Change:
    """A value that changed; None stands for one that is not there."""
    kind = "added" if before is None else "removed" if after is None else "changed"
    old = (None, None) if kind == "added" else (line, column)
    new = (None, None) if kind == "removed" else (line, column)
    return models.Change(
        kind=kind, pointer=pointer, before=before, after=after,
        before_line=old[0], before_column=old[1], after_line=new[0], after_column=new[1],
    )  # fmt: skip


def file_diff(config_type: str, *changes: models.Change, **given: Any) -> models.FileDiff:
    """A YAML file that changed so."""
    fields: dict[str, Any] = {
        "config_type": config_type,
        "slot": "default",
        "path": f"{config_type}.yaml",
        "format": "yaml",
        "kind": "changed",
        "before": models.VersionOfFile(instance="CFG-BEF0REA000000000", digest=DIGEST, size=3),
        "after": models.VersionOfFile(instance="CFG-AFTERA0000000000", digest=DIGEST, size=3),
        "same_meaning": False,
        "changes": list(changes),
        "omitted": 0,
        "text": "",
    }
    return models.FileDiff(**{**fields, **given})
