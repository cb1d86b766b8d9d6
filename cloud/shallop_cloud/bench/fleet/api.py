"""What the bench asks of its cloud: the API that everyone has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from shallop_cloud.bench.fleet.errors import ApiError, Invalid

ANSWER_WITHIN_S = 60.0
BATCH = 10_000
PAGE = 500

Json = dict[str, Any]
"""An object of the API."""


@dataclasses.dataclass(frozen=True, slots=True)
class NewRobot:
    """A device that was just made, with the token that enrols its robot."""

    id: str
    name: str
    token: str = dataclasses.field(repr=False)


class Api:
    """A cloud, asked as its administrator. A context manager: it keeps its connection open in between.

    Attributes:
        http: the client itself, for those who read the answers themselves.

    Raises:
        ApiError: by every other method, for an answer that is not success, or none.
    """

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        verify = url.startswith("https:")  # loading certificates takes longer than a request
        self.url = url
        self.http = httpx.Client(base_url=url, headers=headers, timeout=ANSWER_WITHIN_S, verify=verify)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            return self.http.get("/v1/health").is_success
        except httpx.HTTPError:
            return False

    def is_up(self) -> bool:
        """Whether it serves and has its connection to the broker."""
        try:
            return self.http.get("/v1/health").json()["broker_connected"]
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def get(self, path: str, **query: str) -> Json:
        """The object at a path."""
        return self._send("GET", path, params=query)

    def post(self, path: str, body: object) -> Json:
        """The answer to an act."""
        return self._send("POST", path, json=body)

    def every(self, path: str, **query: str) -> Iterator[Json]:
        """All entries of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, limit=str(PAGE), **query, **({"cursor": cursor} if cursor else {}))
            yield from page["data"]
            if (cursor := page["next_cursor"]) is None:
                return

    def make_release(self, manifest: Path) -> str:
        """Makes the release of a manifest, and gives its version. One that is there already stays as it is.

        Raises:
            Invalid: the manifest or a schema is not right.
        """
        from shallop_cloud import configs  # brings jsonschema with it, and broker and cloud are starting meanwhile

        try:
            draft = configs.read_release(manifest)
        except configs.Refused as error:
            raise Invalid("\n  ".join([f"{manifest} is no release", *map(str, error.findings)])) from None
        self.post("/v1/releases", draft.to_json())
        return draft.version

    def make_robots(self, names: Sequence[str]) -> list[NewRobot]:
        """Makes devices, in order."""
        made: list[NewRobot] = []
        for start in range(0, len(names), BATCH):
            wanted = [{"name": name, "labels": {"site": "bench"}} for name in names[start : start + BATCH]]
            answer = self.post("/v1/devices:batch", {"devices": wanted})
            made += [NewRobot(each["id"], each["name"], each["token"]) for each in answer["data"]]
        return made

    def renew_token(self, name: str) -> str:
        """A new one-time token for a device."""
        return self.post(f"/v1/devices/{name}:renew-token", {})["token"]

    def deploy(self, names: Sequence[str] | None, release: str, files: Mapping[str, str]) -> dict[str, str]:
        """Orders the same files, content by config type, for these robots or for all. Gives deployment by robot.

        Raises:
            ApiError: the files are refused, or some robot's deployment is.
        """
        whom: Json = {"labels": {}} if names is None else {"devices": list(names)}
        contents = [{"config_type": key, "content": text} for key, text in files.items()]
        answer = self.post("/v1/deployments:batch", {**whom, "release": release, "configs": contents})
        refused = [each for each in answer["data"] if each["problem"]]
        if refused:
            first = refused[0]
            words = f"{len(refused)} robots got no deployment; {first['device']}: {first['problem']['detail']}"
            raise ApiError(words, first["problem"].get("status", 409), first["problem"].get("errors", ()))
        return {each["device"]: each["id"] for each in answer["data"]}

    def _send(self, method: str, path: str, **arguments: Any) -> Json:
        try:
            answer = self.http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise ApiError(f"no answer from the cloud at {self.url}: {error}") from None
        if answer.is_success:
            return answer.json()
        try:
            problem: Json = answer.json()
        except ValueError:
            problem = {}
        detail = problem.get("detail") or f"{method} {path}: {answer.status_code} {answer.reason_phrase}"
        raise ApiError(detail, answer.status_code, problem.get("errors") or ())
