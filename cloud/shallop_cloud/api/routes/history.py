"""What happened, to all devices and in what order, and whether the record of it was tampered with."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from shallop_cloud.api import asking, models, show
from shallop_cloud.api.asking import Cursor, Limit, S, Since
from shallop_cloud.services import audit

router = asking.guarded()

_Name = Annotated[str | None, Query(min_length=1, max_length=128)]


@router.get("/history")
def list_history(
    shore: S,
    device: _Name = None,
    deployment: _Name = None,
    actor: _Name = None,
    action: _Name = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> models.Page[models.HistoryEntry]:
    """What happened, newest first."""
    wanted = audit.Wanted(device, deployment, actor, action, since)
    page = audit.page(shore, wanted, limit, cursor)
    return models.Page(data=[show.history_entry(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/history:verify")
def verify_history(
    shore: S,
    head: Annotated[
        str | None, Query(pattern=r"^[0-9a-f]{64}$", description="A head that was kept; it must still be in there.")
    ] = None,
) -> models.Verdict:
    """Compute the chain of the whole history anew."""
    return show.verdict(audit.verify(shore, head))
