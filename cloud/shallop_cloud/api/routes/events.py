"""What happens, as it happens (server-sent events)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

import fastapi
from fastapi import Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from shallop_cloud.api import asking, feed
from shallop_cloud.api.asking import S, Viewer
from shallop_cloud.services import lookup

router = asking.guarded()

MAX_ID = 2**63 - 1
_Name = Annotated[str | None, Query(min_length=1, max_length=128)]


def _wanted(shore: S, device: _Name = None, deployment: _Name = None) -> feed.Filter:
    with shore.database.read() as connection:
        return feed.Filter(
            lookup.device(connection, device)["id"] if device else None,
            lookup.deployment(connection, deployment)["id"] if deployment else None,
        )


async def _listener(
    request: fastapi.Request, holder: Viewer, _: Annotated[feed.Filter, Depends(_wanted)]
) -> AsyncGenerator[feed.Listener]:
    """It is let go when the answer has ended, however that came about."""
    events: feed.Feed = request.app.state.feed
    async with events.listening(holder.token, holder.expires_at) as listener:
        yield listener


@router.get("/events", response_class=EventSourceResponse, responses={503: {}})
async def follow_events(
    request: fastapi.Request,
    listener: Annotated[feed.Listener, Depends(_listener)],
    wanted: Annotated[feed.Filter, Depends(_wanted)],
    after: Annotated[int | None, Query(ge=0, le=MAX_ID, description="The last event that you have seen.")] = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=MAX_ID, description="The same, as browsers say it; it goes before ``after``.")
    ] = None,
) -> AsyncGenerator[ServerSentEvent]:
    """Follow the history: what was missed, then what happens. Ends when the token does, or the server.

    An event's ``id`` is that of its history entry, its ``event`` the action, its ``data`` the entry.
    """
    events: feed.Feed = request.app.state.feed
    yield ServerSentEvent(comment="shallop")
    async for event in events.events(listener, wanted, after if last_event_id is None else last_event_id):
        yield ServerSentEvent(id=str(event.id), event=event.action, raw_data=event.data)
