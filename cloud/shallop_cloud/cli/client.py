"""The one place that talks HTTP: JSON values in and out, or an error of `problems`."""

from __future__ import annotations

import secrets
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import tenacity

from shallop_cloud.cli import exits, problems
from shallop_cloud.cli.parameters import Paging

Json = dict[str, Any]
"""An object of the API as it came. Fields that this version does not know pass through to ``-o json``."""

Asked = str | Sequence[str] | None
"""A parameter of a query: one value, several, or not there."""

ANSWER_WITHIN = 30.0
"""Seconds. Compiling the schemas of a large release is the slowest thing that a server is asked for."""
CONNECT_WITHIN = 5.0
SILENT_FOR = 45.0
"""Seconds after which a stream is lost that says nothing; the server says something every 15."""
LOST = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)
"""The connection broke: nobody knows whether the request was done."""


_AGAIN: Any = {  # of keywords for tenacity
    "retry": tenacity.retry_if_exception_type(LOST),
    "stop": tenacity.stop_after_attempt(3),
    "wait": tenacity.wait_random_exponential(multiplier=0.1, max=1),
    "reraise": True,
}


class Api:
    """A server, asked as one person. A context manager: it keeps its connection open in between.

    Every method raises `problems.Problem` for an answer that is not success and `problems.Unreachable` for none.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        timeout = httpx.Timeout(ANSWER_WITHIN, connect=CONNECT_WITHIN)
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        # Loading the certificates takes longer than a command on plain HTTP, which has no use for them; redirects to
        # HTTPS are not followed.
        verify = url.lower().startswith("https:")
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, verify=verify)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(
        self, *path: str, act: str = "", within: float | None = None, query: Mapping[str, Asked] | None = None
    ) -> Json:
        """The object at a path, whose segments may hold any character. ``within``: seconds to wait for the answer.
        What is None in the query is left out.
        """
        timeout = httpx.USE_CLIENT_DEFAULT if within is None else httpx.Timeout(within)
        url = f"{_path(*path)}:{act}" if act else _path(*path)
        request = self._http.build_request("GET", url, params=_given(query or {}), timeout=timeout)
        return self._object(self._send(request))

    def content(self, *path: str) -> bytes:
        """The bytes at a path."""
        return self._send(self._http.build_request("GET", _path(*path))).content

    def save(self, *path: str, to: Callable[[bytes], object]) -> None:
        """Gives the bytes at a path to a function, as they come."""
        timeout = httpx.Timeout(SILENT_FOR, connect=CONNECT_WITHIN)
        response = self._send(self._http.build_request("GET", _path(*path), timeout=timeout), stream=True)
        try:
            for piece in response.iter_bytes():
                to(piece)
        except httpx.TransportError as error:
            raise problems.Unreachable(self._url, str(error) or type(error).__name__) from None
        finally:
            response.close()

    def has_content(self, digest: str, size: int) -> bool:
        """Whether the server has these bytes. Raises `problems.Problem` if it would not take so many either."""
        try:
            self.get("contents", digest, query={"size": str(size)})
        except problems.Problem as problem:
            if problem.status == 404:
                return False
            raise
        return True

    def upload(self, digest: str, size: int, pieces: Iterable[bytes]) -> None:
        """Sends bytes with this digest; they are sent once, and if the connection breaks it is an error."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        timeout = httpx.Timeout(SILENT_FOR, connect=CONNECT_WITHIN)
        url = _path("contents", digest)
        self._send(self._http.build_request("PUT", url, content=pieces, headers=headers, timeout=timeout))

    def post_bytes(self, *path: str, body: bytes) -> Json:
        """Sends a JSON document byte for byte."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_urlsafe(16)}
        return self._object(self._send(self._http.build_request("POST", _path(*path), content=body, headers=headers)))

    def post(self, *path: str, body: Mapping[str, Any], act: str = "") -> Json:
        """Makes something, or with ``act`` does something to what is there."""
        url = f"{_path(*path)}:{act}" if act else _path(*path)
        once = {"Idempotency-Key": secrets.token_urlsafe(16)}
        return self._object(self._send(self._http.build_request("POST", url, json=body, headers=once)))

    def put(self, *path: str, body: bytes, query: Mapping[str, Asked]) -> Json:
        """Puts a JSON document, byte for byte, in the place of what is there."""
        headers = {"Content-Type": "application/json"}
        request = self._http.build_request("PUT", _path(*path), content=body, headers=headers, params=_given(query))
        return self._object(self._send(request))

    def lines(self, *path: str, last_seen: str, **filters: str | None) -> Iterator[str]:
        """The lines of a stream of events behind ``last_seen``, as they come."""
        given = {key: value for key, value in filters.items() if value is not None}
        headers = {"Last-Event-ID": last_seen, "Accept": "text/event-stream"}
        timeout = httpx.Timeout(SILENT_FOR, connect=CONNECT_WITHIN)
        request = self._http.build_request("GET", _path(*path), params=given, headers=headers, timeout=timeout)
        response = self._send(request, stream=True)
        try:
            yield from response.iter_lines()
        except httpx.TransportError as error:
            raise problems.Unreachable(self._url, str(error) or type(error).__name__) from None
        finally:
            response.close()

    def change(self, *path: str, by: Callable[[Json], Mapping[str, Any]]) -> Json:
        """Reads an object and changes it by what ``by`` makes of it, unless somebody else changes it in between."""
        read = self._send(self._http.build_request("GET", _path(*path)))
        unchanged = {"If-Match": read.headers["ETag"]} if "ETag" in read.headers else {}
        body = by(self._object(read))
        return self._object(self._send(self._http.build_request("PATCH", _path(*path), json=body, headers=unchanged)))

    def page(self, *path: str, paging: Paging, within: float | None = None, **filters: Asked) -> Json:
        """One page of a list, or all its pages as one. Filters that are None are left out."""
        found: Json = {"data": [], "next_cursor": paging.cursor}
        while True:
            asked: dict[str, Asked] = {**filters, "limit": str(paging.limit), "cursor": found["next_cursor"]}
            page = self.get(*path, within=within, query=asked)
            found = {**page, "data": [*found["data"], *page["data"]]}
            if not paging.everything or not page["next_cursor"]:
                return found

    def _send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """Sends a request, and if the connection breaks sends it again where that has its effect only once."""
        again = request.method == "GET" or "Idempotency-Key" in request.headers
        try:
            for attempt in tenacity.Retrying(**_AGAIN) if again else ():
                with attempt:
                    return self._checked(self._http.send(request, stream=stream))
            return self._checked(self._http.send(request, stream=stream))
        except httpx.TimeoutException:
            raise problems.Unreachable(self._url, "it took too long") from None
        except httpx.TransportError as error:
            raise problems.Unreachable(self._url, str(error) or type(error).__name__) from None

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        response.read()
        raise problems.Problem.of(response.status_code, _json(response), self._strange(response))

    def _object(self, response: httpx.Response) -> Json:
        value = _json(response)
        if not isinstance(value, dict):
            raise exits.Failure(exits.Exit.FAILED, self._strange(response))
        return value  # pyright: ignore[reportUnknownVariableType]  a JSON object has text for keys

    def _strange(self, response: httpx.Response) -> str:
        moved = f" and points to {response.headers['Location']}" if "Location" in response.headers else ""
        said = f"{response.status_code} {response.reason_phrase}".strip()
        return (
            f"{self._url} answered {said}{moved}, which is not what a shallop server says; check SHALLOP_URL or --url"
        )


def _path(*segments: str) -> str:
    return "/v1/" + "/".join(urllib.parse.quote(segment, safe="") for segment in segments)


def _given(query: Mapping[str, Asked]) -> dict[str, str | Sequence[str]]:
    return {key: value for key, value in query.items() if value is not None}


def _json(response: httpx.Response) -> Any:
    """The body's value, or None: whatever stands between us and the server may answer in HTML."""
    try:
        return response.json()
    except ValueError:
        return None
