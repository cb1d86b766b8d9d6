"""Contents on their way out: a piece at a time, from the first byte or from a later one (RFC 9110, section 14)."""

from __future__ import annotations

import re

import fastapi
from fastapi.responses import StreamingResponse

from shallop_cloud import errors
from shallop_cloud.api import edge, etags, problems
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents

MEDIA_TYPE = "application/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})\Z")


def answer(shore: Shore, request: fastapi.Request, digest: str, size: int) -> fastapi.Response:
    """The bytes of a recorded content, or the range of them that the request asks for; 416 if that is none of them.
    Its ETag is its digest.
    """
    tag = etags.strong(digest)
    headers = {"ETag": tag, "Cache-Control": etags.FOR_EVER, "Accept-Ranges": "bytes"}
    given = request.headers.get("if-range")
    wanted = request.headers.get("range") if given is None or given.strip() == tag else None
    start, end = _range(wanted, size) or (0, size)
    if start >= end and wanted and size:
        words = f"the content has {size} bytes; {wanted[:80]} is none of them"
        problem = errors.Problem(416, "range_unsatisfiable", words)
        return problems.answer(problems.request_id(request), problem, {"Content-Range": f"bytes */{size}"})
    status = 200
    if (start, end) != (0, size):
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if request.scope.get(edge.BODILESS):
        return fastapi.Response(None, status, headers, MEDIA_TYPE)
    return StreamingResponse(contents.stream(shore.database, digest, start, end), status, headers, MEDIA_TYPE)


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last; None for all of them, as for what is no range, or several."""
    found = _RANGE.match(header.strip()) if header else None
    if found is None or found.group(1, 2) == ("", ""):
        return None
    first, last = found.group(1, 2)
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size
