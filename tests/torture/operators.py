"""Operators who do not know of each other: they create, deploy, archive and restage, and write down what came of it."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from torture import reading
from torture.history import ANY, Log

PATIENCE_S = 5.0
PAUSE_S = 0.25
"""How long an operator waits between two acts, on average."""
_ACTS = {
    "create": 3,
    "stage": 4,
    "deploy": 5,
    "archive": 2,
    "restage": 4,
    "patch": 2,
    "rollback": 2,
    "retire": 1,
}
_REMEMBERED = 6
_RIPE = 2
"""So many of those that were staged last are thought of when something is to be ordered or restaged."""


class Board:
    """What operators tell each other: which deployments there are."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._known: dict[str, list[str]] = {device: [] for device in devices}
        self.made = 0
        """How many deployments were acknowledged."""
        self._staged: dict[str, list[str]] = {device: [] for device in devices}

    def number(self) -> int:
        """Of an operation that begins."""
        with self._lock:
            return next(self._numbers)

    def add(self, device: str, deployment: str, *, staged: bool) -> None:
        """One was made."""
        with self._lock:
            self.made += 1
            self._known[device].append(deployment)
            if staged:
                self._staged[device].append(deployment)

    def newest(self, device: str) -> list[str]:
        """Some of those that were made, the newest last."""
        with self._lock:
            return self._known[device][-_REMEMBERED:]

    def ripe(self, device: str) -> list[str]:
        """Those that were staged last: they may wait to be ordered, or have drifted."""
        with self._lock:
            return self._staged[device][-_RIPE:]


class Operator(threading.Thread):
    """One of them, at work until ``stop`` is set."""

    def __init__(
        self, name: str, url: str, token: str, board: Board, devices: Sequence[str], log: Log, rng: random.Random
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._token = token
        self._board = board
        self._devices = devices
        self._log = log
        self._rng = rng
        self.stop = threading.Event()

    def run(self) -> None:
        """Acts at random moments."""
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=PATIENCE_S) as client:
            while not self.stop.wait(self._rng.expovariate(1 / PAUSE_S)):
                self._act(client)

    def _act(self, client: httpx.Client) -> None:
        (act,) = self._rng.choices(list(_ACTS), list(_ACTS.values()))
        device = self._rng.choice(self._devices)
        expected = self._belief(client, device)
        if act in ("create", "stage"):
            create(client, self._board, self._log, self.name, device, expected, act == "stage", self._rng)
            return
        if act == "rollback":
            self._roll_back(client, device, expected)
            return
        if act == "retire":
            self._retire(client, device)
            return
        known = self._board.newest(device) if act in ("archive", "patch") else self._board.ripe(device)
        if not known:
            return
        key = self._rng.choice(known)
        if act == "patch":
            self._patch(client, device, key, expected)
            return
        path = f"/v1/deployments/{key}:{act}"
        fields = {"who": self.name, "act": act, "device": device, "key": key}
        if act == "archive":
            _ask(client, self._log, self._board.number(), path, None, **fields)
        elif act == "restage":
            reviewed = self._read_or_made_up(client, device)
            body = {"reviewed": reviewed}
            _ask(client, self._log, self._board.number(), path, body, expected=reviewed, **fields)
        else:
            body = _believing(expected)
            _ask(client, self._log, self._board.number(), path, body, expected=expected, **fields)

    def _roll_back(self, client: httpx.Client, device: str, expected: str | None) -> None:
        n = self._board.number()
        body = {"description": f"op {n}", **_believing(expected)}
        fields = {"who": self.name, "act": "rollback", "device": device, "expected": expected}
        self._made(device, _ask(client, self._log, n, f"/v1/devices/{device}:rollback", body, **fields))

    def _patch(self, client: httpx.Client, device: str, key: str, expected: str | None) -> None:
        """With other content of every file, so that what is read tells which deployment it is of."""
        n = self._board.number()
        text = reading.content(device, n, self._rng.randrange(20, 300))
        configs = [{"config_type": part, "content": text} for part in reading.PARTS]
        body = {"description": f"op {n}", "configs": configs, **_believing(expected)}
        fields = {"who": self.name, "act": "patch", "device": device, "key": key, "expected": expected}
        digest = reading.expected_digest(text)
        made = _ask(client, self._log, n, f"/v1/deployments/{key}:patch", body, digest=digest, **fields)
        self._made(device, made)

    def _made(self, device: str, deployment: str | None) -> None:
        if deployment is not None:
            self._board.add(device, deployment, staged=False)

    def _retire(self, client: httpx.Client, device: str) -> None:
        """Archives the device, and takes it back a little later, if nobody did before."""
        fields = {"who": self.name, "act": "retire", "device": device}
        _ask(client, self._log, self._board.number(), f"/v1/devices/{device}:archive", None, **fields)
        self.stop.wait(self._rng.expovariate(1 / PAUSE_S))
        take_back(client, self._board, self._log, self.name, device)

    def _belief(self, client: httpx.Client, device: str) -> str | None:
        """What the operator believes to be current: nothing in particular, what was just read, or something made up."""
        return ANY if self._rng.random() < 0.5 else self._read_or_made_up(client, device)

    def _read_or_made_up(self, client: httpx.Client, device: str) -> str | None:
        if self._rng.random() < 0.8:
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
                return client.get(f"/v1/devices/{device}").json()["current"]
        return self._rng.choice([None, *self._board.newest(device)])


def take_back(client: httpx.Client, board: Board, log: Log, who: str, device: str) -> None:
    """Takes an archived device back into service."""
    _ask(client, log, board.number(), f"/v1/devices/{device}:restore", None, who=who, act="return", device=device)


def _believing(expected: str | None) -> dict[str, str | None]:
    """The part of a body that says what the operator believes to be current."""
    return {} if expected == ANY else {"expected_current": expected}


def create(
    client: httpx.Client,
    board: Board,
    log: Log,
    who: str,
    device: str,
    expected: str | None,
    staged: bool,
    rng: random.Random,
) -> str | None:
    """Makes a deployment whose files are like no others; its id if that was acknowledged."""
    n = board.number()
    text = reading.content(device, n, rng.randrange(20, 300))
    body: dict[str, Any] = {
        "device": device,
        "release": "1.0.0",
        "description": f"op {n}",
        "staged": staged,
        "configs": [{"config_type": part, "content": text} for part in reading.PARTS],
    }
    if expected != ANY:
        body["expected_current"] = expected
    fields = {"who": who, "act": "create", "device": device, "expected": expected, "staged": staged}
    made = _ask(client, log, n, "/v1/deployments", body, digest=reading.expected_digest(text), **fields)
    if made is not None:
        board.add(device, made, staged=staged)
    return made


def _ask(
    client: httpx.Client, log: Log, n: int, path: str, body: Mapping[str, Any] | None, **fields: Any
) -> str | None:
    """Asks, and writes down that it was asked and what came of it; the deployment's id if that was acknowledged."""
    log.write("invoke", n=n, at=log.now(), **fields)
    try:
        answer = client.post(path, json=body) if body is not None else client.post(path)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        log.write("fail", n=n, at=log.now(), status=0, code="unreachable")
        return None
    except httpx.HTTPError as error:
        log.write("info", n=n, at=log.now(), why=type(error).__name__)
        return None
    if answer.is_success:
        made: str = answer.json()["id"]
        log.write("ok", n=n, at=log.now(), id=made)
        return made
    problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    log.write("fail", n=n, at=log.now(), status=answer.status_code, code=problem.get("code", ""))
    return None
