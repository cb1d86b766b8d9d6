"""What every request passes first: it gets an id, and its body a limit."""

from __future__ import annotations

import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shallop_cloud import errors
from shallop_cloud.api import problems

MAX_BODY = 4_194_304
DRAINED = 67_108_864
"""Of a body that is too large, so much is read and thrown away: a client that is still sending reads no answer."""


class Edge:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req-{secrets.token_hex(8)}"
        scope["shallop_request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                headers.append((b"x-request-id", request_id.encode()))
                headers.append((b"x-content-type-options", b"nosniff"))
                headers.append((b"cache-control", b"no-store"))
            await send(message)

        body = await _read(receive)
        if body is None:
            words = f"the request is larger than {MAX_BODY} bytes"
            refusal = problems.answer(request_id, errors.Problem(413, "body_too_large", words))
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _replay(body, receive), send_with_headers)


async def _read(receive: Receive) -> bytes | None:
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
