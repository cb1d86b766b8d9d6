"""Makes simulated robots known to a cloud: devices and enrolments, thousands at once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shallop_cloud.bench.simulated.roster import Broker, Connections, Roster, Seat, Trust

BATCH = 10_000
"""The most that one call takes."""

Json = dict[str, Any]  # Any: a JSON object of the API


class Answer(Protocol):
    """What is needed of an HTTP response."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def text(self) -> str:
        """The body."""
        ...

    def json(self) -> Any:
        """The body as JSON."""
        ...


class Client(Protocol):
    """What is needed of an HTTP client, which knows the server's address and token: httpx.Client has it."""

    def post(self, url: str, /, *, json: Any) -> Answer:
        """The server's answer to an act."""
        ...


class ProvisionError(Exception):
    """The cloud did not take the robots; the message has its words."""


def provision(
    client: Client,
    names: Sequence[str],
    labels: Mapping[str, str] | None = None,
    *,
    connections: Connections = "shared",
) -> Roster:
    """Makes a device for each name and enrols it.

    The roster has no account for shared connections: who starts the robots knows the cloud's, and puts it in.

    Raises:
        ProvisionError: the cloud refused; some may have been made.
    """
    seats: list[Seat] = []
    answer: Json = {}
    for start in range(0, len(names), BATCH):
        made = _made(client, names[start : start + BATCH], dict(labels or {}))
        passwords = [secrets.token_urlsafe(24) for _ in made]
        pairs = [{"token": each["token"], "secret": word} for each, word in zip(made, passwords, strict=True)]
        answer = _post(client, "/v1/enrolments:batch", {"enrolments": pairs})
        seats += [Seat(each["id"], each["name"], word) for each, word in zip(answer["devices"], passwords, strict=True)]
    if not seats:
        raise ProvisionError("no names were given: there is no robot to provision")
    mqtt, trust = answer["mqtt"], answer["trust"]
    return Roster(
        broker=Broker(mqtt["url"], mqtt["protocol"], mqtt["topic_root"]),
        trust=Trust(tuple(trust["roots"]), trust["threshold"], trust["key_list"]),
        robots=tuple(seats),
        connections=connections,
    )


def _made(client: Client, names: Sequence[str], labels: dict[str, str]) -> list[Json]:
    devices = [{"name": name, "labels": labels} for name in names]
    return _post(client, "/v1/devices:batch", {"devices": devices})["data"]


def _post(client: Client, path: str, body: Json) -> Json:
    answer = client.post(path, json=body)
    if answer.status_code != 201:
        raise ProvisionError(f"{path}: {answer.status_code} {answer.text[:500]}")
    return answer.json()
