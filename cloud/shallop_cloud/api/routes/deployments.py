"""Deployments: made, decided about, looked at."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query
from shallop_protocol import cloud
from shallop_protocol.statuses import Activity, Error

from shallop_cloud.api import asking, models, show, show_diff
from shallop_cloud.api.asking import Cursor, Key, Labels, Limit, Operator, S, Since, Tagged
from shallop_cloud.services import contents, deployments, merging, patches, reading, review
from shallop_cloud.services.making import Expected, Intent
from shallop_cloud.services.shore import Shore

Status = Literal["staged", "drifted", "queued", "deployed", "removing", "archived", "retrying", "failed"]
assert set(Status.__args__) == {status.value for status in (*Activity, *Error)} - {"none"}
Expand = Annotated[frozenset[str], asking.expanding("device", "release")]

router = asking.guarded()


@router.post("/deployments", status_code=201)
def create_deployment(shore: S, actor: Operator, body: models.NewDeployment) -> models.Deployment:
    """Make a deployment, and order it unless ``staged``."""
    intent = Intent(body.description, body.staged, expected(body), body.patched_from, confirm_s=body.confirm_s)
    request = deployments.Request(body.release, _configs(body.configs), intent)
    return shown(shore, deployments.create(shore, body.device, request, actor.name))


@router.post("/deployments:batch")
def create_deployments(shore: S, actor: Operator, body: models.NewDeployments) -> models.MadeDeployments:
    """Make a deployment of the same files for each of many devices.

    If the files are not right, nothing is made. Then each device is by itself: its item has the id of its deployment,
    or the problem that it had, and the others get theirs all the same.
    """
    intent = Intent(body.description, body.staged, confirm_s=body.confirm_s)
    request = deployments.Request(body.release, _configs(body.configs), intent)
    chosen = body.devices if body.devices is not None else body.labels or {}
    return show.made_deployments(deployments.create_many(shore, chosen, request, actor.name))


@router.post("/deployments:deploy")
def deploy_many(shore: S, actor: Operator, body: models.ManyDeployments) -> models.ActedOnMany:
    """Order staged deployments, each by itself: its item has its id, or the problem that it had."""
    return show.acted_on(deployments.deploy_many(shore, body.deployments, actor.name))


@router.post("/deployments:archive")
def archive_many(shore: S, actor: Operator, body: models.ManyDeployments) -> models.ActedOnMany:
    """Withdraw deployments, each by itself: its item has its id, or the problem that it had."""
    return show.acted_on(deployments.archive_many(shore, body.deployments, actor.name))


@router.get("/deployments")
def list_deployments(
    shore: S,
    expand: Expand,
    label: Labels,
    device: Annotated[str | None, Query(max_length=128)] = None,
    release: Annotated[str | None, Query(max_length=128)] = None,
    status: Annotated[list[Status], Query(description="With several, those that have one of them.")] = [],  # noqa: B006
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> models.Page[models.Deployment]:
    """Deployments, newest first."""
    filters = reading.DeploymentFilters(device, release, status, label, since)
    listed = reading.deployment_page(shore, filters, limit, cursor, expand)
    return models.Page(data=show.deployments(listed), next_cursor=listed.next_cursor)


@router.get("/deployments/{key}")
def show_deployment(shore: S, key: Key, expand: Expand, tagged: Tagged) -> models.Deployment:
    """One deployment, by id or prefix."""
    return tagged(shown(shore, key, expand))


@router.post("/deployments/{key}:deploy")
def deploy(shore: S, actor: Operator, key: Key, body: models.Act | None = None) -> models.Deployment:
    """Order a staged deployment."""
    return shown(shore, deployments.deploy(shore, key, actor.name, expected(body)))


@router.post("/deployments/{key}:archive")
def archive(shore: S, actor: Operator, key: Key) -> models.Deployment:
    """Withdraw a deployment for ever. If it is in force, the robot is ordered to take everything off."""
    return shown(shore, deployments.archive(shore, key, actor.name))


@router.get("/deployments/{key}/review")
def show_review(shore: S, key: Key) -> models.Review:
    """What became current since a staged or drifted deployment was prepared, and what it would change now."""
    return show_diff.review(review.review(shore, key))


@router.post("/deployments/{key}:restage")
def restage(shore: S, actor: Operator, key: Key, body: models.Restaging) -> models.Deployment:
    """Declare a drifted deployment reviewed, so that it can be ordered; refused if something else is current by now."""
    return shown(shore, deployments.restage(shore, key, actor.name, body.reviewed))


@router.get("/deployments/{key}/merge")
def show_merge(shore: S, key: Key) -> models.Merge:
    """What a staged or drifted deployment would be together with what became current since. Nothing changes."""
    return show_diff.merge(merging.propose(shore, key))


@router.post("/deployments/{key}:merge", status_code=201)
def merge(shore: S, actor: Operator, key: Key, body: models.Merging) -> models.Deployment:
    """Stage what the merge of a drifted deployment gives, in its place."""
    return shown(shore, merging.accept(shore, key, body.reviewed, body.description, actor.name))


@router.post("/deployments/{key}:patch", status_code=201)
def patch(shore: S, actor: Operator, key: Key, body: models.Patch) -> models.Deployment:
    """Make a deployment from this one, with other values or files, and order it unless ``staged``."""
    intent = Intent(body.description, body.staged, expected(body), confirm_s=body.confirm_s)
    values = [patches.Value((each.config_type, each.slot), each.pointer, each.value) for each in body.set]
    return shown(shore, patches.patch(shore, key, values, _configs(body.configs), intent, actor.name))


@router.get("/deployments/{key}/history")
def deployment_history(
    shore: S, key: Key, limit: Limit = 50, cursor: Cursor = None
) -> models.Page[models.HistoryEntry]:
    """What happened to a deployment, oldest first."""
    page = reading.history_page(shore, deployment=key, limit=limit, cursor=cursor)
    return models.Page(data=[show.history_entry(row) for row in page.rows], next_cursor=page.next_cursor)


def shown(shore: Shore, key: str, expand: frozenset[str] = frozenset()) -> models.Deployment:
    """One deployment, as it is now."""
    (deployment,) = show.deployments(reading.deployment(shore, key, expand))
    return deployment


def _configs(given: Sequence[models.NewConfig]) -> list[contents.Config]:
    return [contents.Config(each.config_type, _content(each), each.slot) for each in given]


def _content(given: models.NewConfig) -> bytes | str:
    """Bytes, or the digest of some that are recorded; the model has seen to it that there is one of them."""
    if given.content is not None:
        return given.content.encode()
    return given.content_digest or base64.b64decode(given.content_base64 or "")


Stating = models.NewDeployment | models.Act | models.Patch | models.Rollback


def expected(body: Stating | None) -> Expected:
    """Left out means any; null means nothing."""
    return body.expected_current if body and "expected_current" in body.model_fields_set else cloud.ANY
