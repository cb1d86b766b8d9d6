"""Contents: uploaded by operators before a config names them, fetched by robots whose order names them."""

from __future__ import annotations

from typing import Annotated, Any

import fastapi
from fastapi import Depends, Path, Query, concurrency, security

from shallop_cloud import errors
from shallop_cloud.api import access, asking, models, streams
from shallop_cloud.api.asking import Operator, S, Tagged
from shallop_cloud.services import fetching, uploads

BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_CHUNK = 1_048_576

router = asking.guarded()
device_router = asking.open_to_all()

Digest = Annotated[str, Path(max_length=128, description="``sha256:`` and 64 lower-case hex digits.")]


class _Basic(security.HTTPBasic):
    """HTTP Basic, where what cannot be read is as if nothing was sent."""

    async def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  it is declared for what is sent
        self, request: fastapi.Request
    ) -> security.HTTPBasicCredentials | None:
        try:
            return await super().__call__(request)
        except fastapi.HTTPException:
            return None


_basic = _Basic(
    auto_error=False,
    scheme_name="device",
    description="A device's credential: its id in lower case, as its MQTT client has it, and its MQTT password.",
)


@router.put(
    "/contents/{digest:digest}",
    openapi_extra={"requestBody": {"required": True, "content": {streams.MEDIA_TYPE: BYTES}}},
)
async def upload_content(shore: S, _: Operator, digest: Digest, request: fastapi.Request) -> models.Content:
    """Upload bytes, for configs to name by ``content_digest``. Those that no config names are kept for a day.

    They are recorded when all of them are here and have that digest; what is here already stays.
    """
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdecimal():
        uploads.check_size(shore, int(said))
    with uploads.receiving(shore, digest) as upload:
        waiting = bytearray()
        async for piece in request.stream():
            waiting += piece
            if len(waiting) >= _CHUNK:
                await concurrency.run_in_threadpool(upload.add, bytes(waiting))
                waiting.clear()
        await concurrency.run_in_threadpool(upload.add, bytes(waiting))
        content = await concurrency.run_in_threadpool(upload.finish)
    return models.Content(digest=content.digest, size=content.size, text=content.is_text)


@router.get("/contents/{digest:digest}")
def show_content(
    shore: S,
    digest: Digest,
    tagged: Tagged,
    size: Annotated[int | None, Query(ge=0, description="Of what is to be uploaded: refused here if too much.")] = None,
) -> models.Content:
    """What is known of uploaded bytes: that they are here, and how many."""
    uploads.check_size(shore, size or 0)
    content = uploads.find(shore, digest)
    shown = models.Content(digest=content.digest, size=content.size, text=content.is_text)
    return tagged.for_ever(shown, f"about {content.digest}")


@device_router.get(
    "/device/contents/{digest:digest}",
    response_class=fastapi.Response,
    responses={
        200: {"content": {streams.MEDIA_TYPE: BYTES}},
        206: {"description": "The bytes that Range asks for.", "content": {streams.MEDIA_TYPE: BYTES}},
        401: {},
        416: {},
        429: {},
    },
)
def fetch_content(
    shore: S,
    digest: Digest,
    request: fastapi.Request,
    given: Annotated[security.HTTPBasicCredentials | None, Depends(_basic)],
) -> fastapi.Response:
    """The bytes of a file that is ordered for the device which asks: for its agent. ``Range`` and ``If-Range`` as in
    RFC 9110; the ETag is the digest.
    """
    if given is None:
        raise errors.Problem(401, "device_unknown", "a device gives its credential here (HTTP Basic)")
    with access.guessed(request):
        device = fetching.device(shore, given.username, given.password)
    content = fetching.content(shore, device, digest)
    return streams.answer(shore, request, content.digest, content.size)
