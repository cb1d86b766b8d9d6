"""The door of a whole agent, as ``shallopd run`` puts it together."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from door_world import WITHIN, eventually
from shallop_device import daemon, errors, inbox, settings, testing
from shallop_device.door import client


@pytest.fixture
def directory() -> Generator[Path]:
    """With a short name, as a socket's has to be."""
    with tempfile.TemporaryDirectory(prefix="door-") as made:
        testing.Robot(Path(made), testing.Shore()).store.close()
        yield Path(made)


def run(directory: Path, **door: object) -> tuple[inbox.Inbox, threading.Thread]:
    chosen = settings.Settings.model_validate({"state": directory / "state", "door": door, "holds": {"longest_s": 5}})
    items = inbox.Inbox()
    thread = threading.Thread(target=daemon.run, args=(chosen, items), daemon=True)
    thread.start()
    return items, thread


def test_it_is_open_while_the_agent_runs(directory):
    items, thread = run(directory)
    path = directory / "state" / "shallopd.sock"
    at = client.Client(path)

    def name() -> str | None:
        try:
            return at.get("/v1/device")["name"]
        except errors.AgentError:  # it does not listen yet
            return None

    assert eventually(name) == "amr-1"
    assert at.get("/v1/health") == {"status": "ok"}
    with pytest.raises(client.Refused, match="at most 5 s"):
        at.hold("dock", "", 6)
    at.hold("dock", "", 5)

    items.put(inbox.Stop())
    thread.join(WITHIN)
    assert not thread.is_alive()
    assert not path.exists()


def test_it_can_be_left_closed(directory):
    items, thread = run(directory, enabled=False)
    items.call(lambda: None, WITHIN)
    assert not (directory / "state" / "shallopd.sock").exists()
    items.put(inbox.Stop())
    thread.join(WITHIN)
    assert not thread.is_alive()
