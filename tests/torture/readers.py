"""Readers of the API: each writes down what is other than it was when it looked before."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from torture.history import Log

PATIENCE_S = 5.0
PAUSE_S = 0.08
LIMIT = 30
"""Deployments of a device that are read at a time, from the newest."""


class Reader(threading.Thread):
    """One of them, reading until ``stop`` is set."""

    def __init__(self, name: str, url: str, token: str, devices: Sequence[str], log: Log, rng: random.Random) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._token = token
        self._devices = devices
        self._log = log
        self._rng = rng
        self._seen: dict[str, dict[str, Any]] = {}
        self.stop = threading.Event()

    def run(self) -> None:
        """Reads one device after another, at random."""
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=PATIENCE_S) as client:
            while not self.stop.wait(self._rng.uniform(0, 2 * PAUSE_S)):
                self._read(client, self._rng.choice(self._devices))

    def _read(self, client: httpx.Client, device: str) -> None:
        begin = self._log.now()
        try:
            answer = client.get("/v1/deployments", params={"device": device, "limit": LIMIT})
            data = answer.json()["data"] if answer.is_success else []
        except (httpx.HTTPError, ValueError, KeyError):
            return
        end = self._log.now()
        rows = {each["id"]: row(each) for each in data}
        news = {key: value for key, value in rows.items() if self._seen.get(key) != value}
        self._seen.update(news)
        if news:
            self._log.write("api", who=self.name, device=device, begin=begin, end=end, rows=news)


def row(shown: Mapping[str, Any]) -> dict[str, Any]:
    """What a history keeps of a deployment that the API shows."""
    return {
        "n": int(shown["description"].split()[-1]),
        "target": shown["target_status"],
        "activity": shown["activity_status"],
        "error": shown["error_status"],
        "status": shown["status"],
        "digest": shown["digest"],
        "patched_from": shown["patched_from"],
        "restores": shown["restores"],
    }
