"""Every route of the door: where it is, what it takes, what it gives, and what does it. The one place that knows."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import pydantic
from shallop_protocol import desired, keys, strict_json
from shallop_protocol import errors as protocol_errors

from shallop_device.door import desk, models, problems, stream, trees

MAX_BODY_BYTES = 65_536
JSON = "application/json"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"

Method = Literal["GET", "PUT", "POST", "DELETE"]
M = TypeVar("M", bound=models.Taken)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes:
        params: from the path, decoded.
        headers: their names in lower case.
        heartbeat: seconds after which a stream that has nothing to say says so.
    """

    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer: desk.Peer
    heartbeat: float

    def parse(self, model: type[M]) -> M:
        """The body.

        Raises:
            problems.Problem: it is not JSON, or not what the model says.
        """
        try:
            strict_json.loads(self.body, MAX_BODY_BYTES)
            return model.model_validate_json(self.body, strict=True)
        except protocol_errors.ProtocolError as error:
            raise problems.Problem(400, "json_invalid", error.message) from None
        except pydantic.ValidationError as error:
            raise _invalid(error) from None


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        body: the bytes; None: there are none.
        chunks: instead of ``body``: ``size`` bytes piece by piece, or, where it is None, until the connection ends.
    """

    status: int
    body: bytes | None = None
    media_type: str = JSON
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    chunks: Iterator[bytes] | None = None
    size: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for.

    Attributes:
        path: with ``{name}`` for a segment; ``{path}`` is all that is left.
        says: one line for the document; the words in ``more`` follow it.
        takes: the model of the body.
        gives: the model of each answer that is success; a media type if it is none of JSON; None if it has no body.
        raises: the codes of the problems that are its own, by status.
        query: the parameters that may follow ``?``, and what they are for.
        reads: the headers that it looks at, and what they are for.
        limit: bytes that a body may have.
    """

    method: Method
    path: str
    says: str
    act: Callable[[desk.Desk, Request], Answer]
    gives: Mapping[int, type[pydantic.BaseModel] | str | None]
    takes: type[models.Taken] | None = None
    raises: Mapping[int, Sequence[str]] = dataclasses.field(default_factory=dict[int, Sequence[str]])
    query: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    reads: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    more: str = ""
    limit: int = MAX_BODY_BYTES

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters that a path, as it was sent, has here; None if it is of another route."""
        wanted, given = self.path.split("/"), path.split("/")
        if wanted[-1] == "{path}":
            given = [*given[: len(wanted) - 1], "/".join(given[len(wanted) - 1 :])]
        if len(given) != len(wanted):
            return None
        found: dict[str, str] = {}
        for want, have in zip(wanted, given, strict=True):
            if want.startswith("{"):
                if not have:
                    return None
                found[want[1:-1]] = urllib.parse.unquote(have)
            elif want != have:
                return None
        return found


def _device(at: desk.Desk, _asked: Request) -> Answer:
    return _shown(at.device())


def _deployment(at: desk.Desk, _asked: Request) -> Answer:
    seen, tree, manifest = at.in_sight()
    return _shown(models.Deployment(**dict(seen), files=at.trees.list(tree, manifest)))


def _files(at: desk.Desk, asked: Request) -> Answer:
    tree = at.trees.tree(asked.query.get("deployment"))
    files = at.trees.list(tree, at.manifest)
    return _shown(models.Files(deployment=trees.deployment_of(tree), files=files))


def _file(at: desk.Desk, asked: Request) -> Answer:
    opened = at.trees.open(at.trees.tree(asked.query.get("deployment")), asked.params["path"])
    tag = f'"{opened.digest}"'
    headers = {"ETag": tag, "Shallop-Deployment": opened.deployment}
    if asked.headers.get("if-none-match") in (tag, "*"):
        return Answer(304, headers=headers)
    return Answer(200, media_type=BYTES, headers=headers, chunks=opened.chunks, size=opened.size)


def _status(at: desk.Desk, _asked: Request) -> Answer:
    return _shown(at.status())


def _health(at: desk.Desk, _asked: Request) -> Answer:
    at.check_health()
    return _shown(models.Health())


def _events(at: desk.Desk, asked: Request) -> Answer:
    chunks = stream.follow(at, asked.headers.get("last-event-id"), asked.heartbeat)
    return Answer(200, media_type=EVENTS, headers={"Cache-Control": "no-store"}, chunks=chunks)


def _holds(at: desk.Desk, _asked: Request) -> Answer:
    return _shown(models.Holds(holds=at.status().holds))


def _put_hold(at: desk.Desk, asked: Request) -> Answer:
    wish = asked.parse(models.NewHold)
    hold, is_new = at.hold(_name(asked.params["name"]), wish, asked.peer)
    return _shown(hold, 201 if is_new else 200)


def _delete_hold(at: desk.Desk, asked: Request) -> Answer:
    at.release(_name(asked.params["name"]), asked.peer)
    return Answer(204)


def _retry(at: desk.Desk, asked: Request) -> Answer:
    at.retry(asked.peer)
    return Answer(204)


def _acknowledge(at: desk.Desk, asked: Request) -> Answer:
    return _shown(at.acknowledge(asked.parse(models.Acknowledgement), asked.peer))


def _order(at: desk.Desk, asked: Request) -> Answer:
    return _shown(at.order(asked.body, asked.peer))


def _key_list(at: desk.Desk, asked: Request) -> Answer:
    return _shown(at.key_list(asked.body, asked.peer))


def _openapi(_at: desk.Desk, _asked: Request) -> Answer:
    # Only who asks for the document pays for what makes it.
    from shallop_device.door import document

    return Answer(200, strict_json.dumps(document.make()))


_DEPLOYMENT = {"deployment": "Of this deployment, as long as it is on the robot, and not of the current one."}
_CONDITION = {"If-None-Match": "The ETag of what you have."}
_RESUME = {"Last-Event-ID": "The id of the last event that you have."}
_STREAM = """The first event is a `snapshot`, the whole status, unless `Last-Event-ID` names one of the newest 1,000
events: then all that came after it follows. `report`: the newest report. `deployment`: what is under `current`.
`trial`: the trial that goes on. `hold`: all holds. `event`: something that happened. Each is the whole truth of its
kind but for `event`. A comment comes every 15 seconds if nothing else does."""

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/device", "Who this robot is, and whether it is online.", _device, {200: models.Device}),
    Route(
        "GET",
        "/v1/deployment",
        "The deployment that robot software finds under `current`, with its files.",
        _deployment,
        {200: models.Deployment},
        raises={404: ("nothing_in_force", "deployment_not_found")},
    ),
    Route(
        "GET",
        "/v1/deployment/files",
        "The files of a deployment.",
        _files,
        {200: models.Files},
        query=_DEPLOYMENT,
        raises={404: ("nothing_in_force", "deployment_not_found")},
    ),
    Route(
        "GET",
        "/v1/deployment/files/{path}",
        "The bytes of one file.",
        _file,
        {200: BYTES, 304: None},
        query=_DEPLOYMENT,
        reads=_CONDITION,
        raises={404: ("nothing_in_force", "deployment_not_found", "file_not_found")},
        more="They are of one deployment to the end, which the header `Shallop-Deployment` names. The ETag is their "
        "SHA-256.",
    ),
    Route("GET", "/v1/status", "All that the agent knows.", _status, {200: models.Status}),
    Route("GET", "/v1/health", "Whether the agent works.", _health, {200: models.Health}),
    Route(
        "GET",
        "/v1/events",
        "What happens, as it happens (Server-Sent Events).",
        _events,
        {200: EVENTS},
        reads=_RESUME,
        raises={503: ("too_many_streams",)},
        more=_STREAM,
    ),
    Route("GET", "/v1/holds", "What robot software holds back now.", _holds, {200: models.Holds}),
    Route(
        "PUT",
        "/v1/holds/{name}",
        "Nothing may come into sight, or go out of it, for a while.",
        _put_hold,
        {200: models.Hold, 201: models.Hold},
        takes=models.NewHold,
        raises={
            409: ("too_many_holds",),
            422: ("name_invalid", "hold_too_long", "process_not_found", "process_not_watched"),
        },
        more="The same name renews it (200). It survives a restart of the agent, but not of the robot.",
    ),
    Route(
        "DELETE",
        "/v1/holds/{name}",
        "End a hold.",
        _delete_hold,
        {204: None},
        raises={404: ("hold_not_found",), 422: ("name_invalid",)},
    ),
    Route("POST", "/v1/retry", "Try again now what failed and waits for its next attempt.", _retry, {204: None}),
    Route(
        "POST",
        "/v1/acks",
        "Robot software says that a deployment is well, or that it is not.",
        _acknowledge,
        {200: models.Acknowledged},
        takes=models.Acknowledgement,
        raises={409: ("not_on_trial",)},
    ),
    Route(
        "POST",
        "/v1/orders",
        "Hand over an order that was carried here, as the broker would have brought it.",
        _order,
        {200: models.Ordered},
        takes=models.Envelope,
        raises={409: ("order_refused",)},
        more="It is a signed envelope, and taken only if it is for this robot and not older than what the robot knows. "
        "Contents that travel by reference have to be there already: `shallopd apply-bundle` does all of it.",
        limit=desired.MAX_ENVELOPE_BYTES,
    ),
    Route(
        "POST",
        "/v1/keys",
        "Hand over a key list that was carried here, as the broker would have brought it.",
        _key_list,
        {200: models.Listed},
        takes=models.Envelope,
        raises={409: ("key_list_refused",)},
        more="It is a signed envelope, and taken only if the roots signed it that this robot pinned, and not older "
        "than the one that the robot goes by.",
        limit=keys.MAX_BYTES,
    ),
    Route("GET", "/v1/openapi.json", "This document.", _openapi, {200: JSON}),
)


def limit(method: str, path: str) -> int:
    """Bytes that the body of a request may have."""
    fitting = (each.limit for each in ROUTES if each.method == method and each.match(path) is not None)
    return max(fitting, default=MAX_BODY_BYTES)


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request, and what its path says.

    Raises:
        problems.Problem: there is none.
        NotAllowed: there is none for this method.
    """
    matches = [(route, params) for route in ROUTES if (params := route.match(path)) is not None]
    if not matches:
        raise problems.Problem(404, "route_not_found", f"there is nothing at {path[:200]}; see GET /v1/openapi.json")
    for route, params in matches:
        if method == route.method or (method == "HEAD" and route.method == "GET"):
            return route, params
    raise NotAllowed(path, sorted(route.method for route, _ in matches))


class NotAllowed(problems.Problem):
    """The path takes other methods."""

    def __init__(self, path: str, methods: Sequence[str]) -> None:
        super().__init__(405, "method_not_allowed", f"{path[:200]} takes {', '.join(methods)}")
        self.methods = methods


_NAME = pydantic.TypeAdapter[str](models.Name)


def _name(text: str) -> str:
    try:
        return _NAME.validate_python(text)
    except pydantic.ValidationError:
        words = f"{text[:80]!r} is no name: 1 to 64 of a-z, 0-9, '_', '.' and '-', the first a letter or a digit"
        raise problems.Problem(422, "name_invalid", words) from None


def _shown(model: models.Shown, status: int = 200) -> Answer:
    return Answer(status, model.model_dump_json().encode())


def _invalid(error: pydantic.ValidationError) -> problems.Problem:
    found: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "/".join(str(part) for part in found["loc"])
    return problems.Problem(422, "request_invalid", f"/{place[:200]}: {found['msg'][:200]}")
