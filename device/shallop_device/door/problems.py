"""What is not success: RFC 9457 problem details, as the cloud's API has them."""

from __future__ import annotations

from shallop_device.door import models

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    411: "Length required",
    413: "Too large",
    422: "Invalid",
    431: "Too large",
    500: "Internal error",
    503: "Busy",
    505: "Version not supported",
}


class Problem(Exception):
    """An answer that is not success. The text says what is wrong and what to do."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail

    @property
    def body(self) -> bytes:
        """As it is sent."""
        detail = self.detail.encode(errors="replace").decode()
        title = TITLES.get(self.status, "Error")
        return models.Problem(title=title, status=self.status, code=self.code, detail=detail).model_dump_json().encode()
