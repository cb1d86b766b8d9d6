"""What every request passes first: it gets an id and a size, and its answer the headers that all answers have."""

from __future__ import annotations

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shallop_cloud import errors
from shallop_cloud.api import bodies, problems

MAX_BODY = 4_194_304
DRAINED = 67_108_864
"""Of a body that is too large, so much is read and thrown away: a client that is still sending reads no answer."""
MAX_TARGET = 8_192
MAX_HEADERS = 32_768
BODILESS = "shallop_bodiless"
"""In the scope of a request whose answer goes without its body, so that nobody need make a large one."""
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_WITH_JSON = ("GET", "POST", "PUT", "PATCH")
"""What a GET brings is refused by its route; methods that no route takes are none of ours here."""
_UPLOADS = "/v1/contents/"
"""Below this, bodies are no JSON; a method that is not served there is answered by the routes."""
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
}
"""On every answer that does not say otherwise."""


class Edge:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._load = bodies.Load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _ID.match(given) else f"req-{secrets.token_hex(8)}"
        scope["shallop_request_id"] = request_id
        answer = _Answer(send, request_id, bodiless=scope["method"] == "HEAD")
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", BODILESS: True}
        try:
            await self._serve(scope, headers, receive, answer.send)
        except errors.Problem as problem:  # of the way here, such as a body that comes too slowly
            await problems.answer(request_id, problem)(scope, receive, answer.send)
        except Exception as error:
            if answer.has_begun:
                raise
            await problems.unexpected(request_id, error)(scope, receive, answer.send)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        receive = bodies.paced(receive)
        is_upload = scope["method"] == "PUT" and scope["path"].startswith(_UPLOADS)
        if is_upload and _refused(scope, headers, b"") is None:
            await self._app(scope, receive, send)  # what it brings is read as it comes
            return
        with self._load.share(scope) as share:
            body = await _read(receive, share)
            refusal = _refused(scope, headers, body)
            if refusal is not None or body is None:
                assert refusal is not None
                await problems.answer(scope["shallop_request_id"], refusal)(scope, receive, send)
            else:
                await self._app(scope, _replay(body, receive), send)


class _Answer:
    """The way back: headers on, and for HEAD the body off."""

    def __init__(self, send: Send, request_id: str, *, bodiless: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._bodiless = bodiless
        self._ended = False
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            given = {name.lower() for name, _ in message["headers"]}
            own = [each for each in HEADERS.items() if each[0] not in given]
            headers = [*message["headers"], (b"x-request-id", self._request_id.encode()), *own]
            await self._send({**message, "headers": headers})
        elif not self._bodiless:
            await self._send(message)
        elif not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _refused(scope: Scope, headers: dict[bytes, bytes], body: bytes | None) -> errors.Problem | None:
    """Why a request goes no further."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    if len(raw) + len(query) > MAX_TARGET:
        return errors.Problem(414, "url_too_long", f"the URL is longer than {MAX_TARGET} bytes")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        return errors.Problem(431, "headers_too_large", f"the headers are larger than {MAX_HEADERS} bytes")
    if "\0" in scope["path"] or b"%00" in query:
        return errors.Problem(400, "url_invalid", "the URL has a NUL character, which nothing here is named by")
    if body is None:
        return errors.Problem(413, "body_too_large", f"the request is larger than {MAX_BODY} bytes")
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    is_json_due = scope["method"] in _WITH_JSON and not scope["path"].startswith(_UPLOADS)
    if body and kind != b"application/json" and is_json_due:
        said = kind.decode("latin-1")[:80] or "nothing"
        words = f"the body is said to be {said!r}; send JSON, and say so: Content-Type: application/json"
        return errors.Problem(415, "content_type_unsupported", words)
    return None


async def _read(receive: Receive, share: bodies.Share) -> bytes | None:
    """The whole body, or None if it is over the limit."""
    pieces: list[bytes] = []
    size = 0
    more = True
    while more and size <= DRAINED:
        message = await receive()
        if message["type"] != "http.request":
            break
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= MAX_BODY:
            share.add(len(piece))
            pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces) if size <= MAX_BODY else None


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
