"""What happened, and whether the record of it is whole."""

from __future__ import annotations

import dataclasses
import datetime

from shallop_cloud.services import lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import history, pages, tables


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are wanted; None means all. ``device`` and ``deployment`` as a person types them."""

    device: str | None = None
    deployment: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime.datetime | None = None


def page(shore: Shore, wanted: Wanted, limit: int, cursor: str | None) -> pages.Page:
    """Entries, newest first."""
    with shore.database.read() as connection:
        query = history.query(
            device=lookup.device(connection, wanted.device)["id"] if wanted.device else None,
            deployment=lookup.deployment(connection, wanted.deployment)["id"] if wanted.deployment else None,
            actor=wanted.actor,
            action=wanted.action,
            since=wanted.since,
        )
        order = [tables.history.c.id]
        return pages.read(connection, query, order, newest_first=True, limit=limit, cursor=cursor)


def verify(shore: Shore, expected_head: str | None) -> history.Verdict:
    """Computes the chain anew; ``expected_head`` must still be one of its hashes."""
    with shore.database.read() as connection:
        return history.verify(connection, expected_head)
