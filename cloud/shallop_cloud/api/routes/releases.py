"""Releases."""

from __future__ import annotations

from shallop_cloud.api import asking, models, show
from shallop_cloud.api.asking import Cursor, Key, Limit, Operator, S, Tagged
from shallop_cloud.configs import DEFAULT_SLOT, SlotDraft
from shallop_cloud.services import reading, releases, staging, validation
from shallop_cloud.services.shore import Shore

router = asking.guarded()


@router.post("/releases", status_code=201)
def create_release(shore: S, actor: Operator, body: models.NewRelease) -> models.Release:
    """Make a release."""
    types = [
        (
            each.name,
            each.config_schema if isinstance(each.config_schema, str) else each.config_schema.model_dump(),
            each.format,
            _slots(each),
        )
        for each in body.config_types
    ]
    draft = validation.release(body.version, body.git_commit, types)
    return _shown(shore, releases.create(shore, draft, actor.name))


@router.get("/releases")
def list_releases(shore: S, limit: Limit = 50, cursor: Cursor = None) -> models.Page[models.Release]:
    """Releases, newest first."""
    listed = reading.release_page(shore, limit, cursor)
    return models.Page(data=show.releases(listed), next_cursor=listed.next_cursor)


@router.get("/releases/{key}")
def show_release(shore: S, key: Key, tagged: Tagged) -> models.Release:
    """One release, by id, prefix or version."""
    shown = _shown(shore, key)
    return tagged.for_ever(shown, shown.id)


@router.post("/releases/{key}:deploy-staged")
def deploy_staged(shore: S, actor: Operator, key: Key, body: models.Choice | None = None) -> models.ActedOnMany:
    """Order every staged deployment of a release whose device has all of these labels, each by itself.

    A drifted one is not ordered: its item has the problem ``deployment_drifted``.
    """
    return show.acted_on(staging.deploy(shore, key, body.labels if body else {}, actor.name))


@router.post("/releases/{key}:archive-staged")
def archive_staged(shore: S, actor: Operator, key: Key, body: models.Choice | None = None) -> models.ActedOnMany:
    """Withdraw every staged or drifted deployment of a release whose device has all of these labels."""
    return show.acted_on(staging.archive(shore, key, body.labels if body else {}, actor.name))


def _slots(config_type: models.NewConfigType) -> tuple[SlotDraft, ...]:
    if config_type.path is not None:
        return (SlotDraft(DEFAULT_SLOT, config_type.path, config_type.required),)
    return tuple(SlotDraft(each.key, each.path, each.required) for each in config_type.slots or ())


def _shown(shore: Shore, key: str) -> models.Release:
    (release,) = show.releases(reading.release(shore, key))
    return release
