"""Tokens of the API, and who asks."""

from __future__ import annotations

from shallop_cloud.api import asking, models, show
from shallop_cloud.api.asking import Admin, Cursor, Key, Limit, S, Tagged, Viewer
from shallop_cloud.services import tokens

router = asking.guarded()


@router.get("/whoami")
def whoami(holder: Viewer) -> models.Holder:
    """Whose token this is, and what it may do."""
    return models.Holder(id=holder.token, name=holder.name, role=holder.role, expires_at=holder.expires_at)


@router.post("/tokens", status_code=201)
def create_token(shore: S, actor: Admin, body: models.NewToken) -> models.CreatedToken:
    """Make a token. Its secret is in the answer, and shown this once."""
    created = tokens.create(shore, body.name, body.role, body.expires_at, actor.name)
    return show.created_token(created.row, created.secret)


@router.get("/tokens")
def list_tokens(shore: S, _: Admin, limit: Limit = 50, cursor: Cursor = None) -> models.Page[models.Token]:
    """Tokens, newest first, with those that have expired or were revoked."""
    page = tokens.page(shore, limit, cursor)
    return models.Page(data=[show.token(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/tokens/{key}")
def show_token(shore: S, _: Admin, key: Key, tagged: Tagged) -> models.Token:
    """One token, by id, prefix or name."""
    return tagged(show.token(tokens.find(shore, key)))


@router.post("/tokens/{key}:revoke")
def revoke_token(shore: S, actor: Admin, key: Key) -> models.Token:
    """Make a token worthless, at once and for ever."""
    return show.token(tokens.revoke(shore, key, actor.name))
