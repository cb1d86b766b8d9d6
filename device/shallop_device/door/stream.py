"""What happens, as Server-Sent Events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterator

from shallop_device.door import desk

HEARTBEAT_S = 15.0
_RECONNECT_MS = 1000


def follow(at: desk.Desk, last_id: str | None, heartbeat: float) -> Iterator[bytes]:
    """What came after an event that a reader has, and what comes; a snapshot first, if that is not all here.

    Ends when the agent does, or when the reader is so slow that the ring has left it behind.

    Args:
        heartbeat: seconds after which a comment is sent if nothing else was.

    Raises:
        problems.Problem: there is no snapshot to be had; before anything is given.
    """
    place = at.feed.place(last_id) if last_id is not None else None
    if place is not None:
        return _follow(at, b"", place, heartbeat)
    # What is published between the two is told again; the other way round it would be missed.
    place = at.feed.last
    snapshot = _event(at.feed.id_of(place), "snapshot", at.status().model_dump_json().encode())
    return _follow(at, snapshot, place, heartbeat)


def _follow(at: desk.Desk, first: bytes, place: int, heartbeat: float) -> Iterator[bytes]:
    yield b"retry: %d\n\n" % _RECONNECT_MS + first
    while True:
        entries = at.feed.after(place, heartbeat)
        if entries is None:
            return
        for entry in entries:
            yield _event(at.feed.id_of(entry.number), entry.kind, entry.data)
            place = entry.number
        if not entries:
            if at.feed.is_closed:
                return
            yield b": still here\n\n"


def _event(event_id: str, kind: str, data: bytes) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), kind.encode(), data)
