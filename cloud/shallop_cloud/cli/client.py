"""The one place that talks HTTP: JSON values in and out, or an error of `problems`."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

import httpx

from shallop_cloud.cli import exits, problems
from shallop_cloud.cli.parameters import Paging

Json = dict[str, Any]
"""An object of the API as it came. Fields that this version does not know pass through to ``-o json``."""

ANSWER_WITHIN = 30.0
"""Seconds. Compiling the schemas of a large release is the slowest thing that a server is asked for."""
CONNECT_WITHIN = 5.0


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

    def get(self, *path: str, within: float | None = None) -> Json:
        """The object at a path, whose segments may hold any character. ``within``: seconds to wait for the answer."""
        timeout = httpx.USE_CLIENT_DEFAULT if within is None else httpx.Timeout(within)
        return self._object(self._send(self._http.build_request("GET", _path(*path), timeout=timeout)))

    def content(self, *path: str) -> bytes:
        """The bytes at a path."""
        return self._send(self._http.build_request("GET", _path(*path))).content

    def post(self, *path: str, body: Mapping[str, Any], act: str = "") -> Json:
        """Makes something, or with ``act`` does something to what is there."""
        url = f"{_path(*path)}:{act}" if act else _path(*path)
        return self._object(self._send(self._http.build_request("POST", url, json=body)))

    def page(self, *path: str, paging: Paging, **filters: str | None) -> Json:
        """One page of a list, or all its pages as one. Filters that are None are left out."""
        found: Json = {"data": [], "next_cursor": paging.cursor}
        while True:
            asked = {**filters, "limit": str(paging.limit), "cursor": found["next_cursor"]}
            given = {key: value for key, value in asked.items() if value is not None}
            page = self._object(self._send(self._http.build_request("GET", _path(*path), params=given)))
            found = {**page, "data": [*found["data"], *page["data"]]}
            if not paging.everything or not page["next_cursor"]:
                return found

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request)
        except httpx.TimeoutException:
            raise problems.Unreachable(self._url, "it took too long") from None
        except httpx.TransportError as error:
            raise problems.Unreachable(self._url, str(error) or type(error).__name__) from None
        if response.is_success:
            return response
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


def _json(response: httpx.Response) -> Any:
    """The body's value, or None: whatever stands between us and the server may answer in HTML."""
    try:
        return response.json()
    except ValueError:
        return None
