"""From comparisons, reviews and merges to what the API shows."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from shallop_cloud.api import models, problems, show
from shallop_cloud.configs import diff as engine
from shallop_cloud.configs import merge as merger
from shallop_cloud.services import comparing, merging
from shallop_cloud.services.diff import Diff
from shallop_cloud.services.review import Review
from shallop_cloud.store.deployments import Instance


def diff(found: Diff) -> models.Diff:
    """What differs between two deployments."""
    return models.Diff(
        before=_compared(found.before),
        after=_compared(found.after),
        files=_files(found.files),
        same=comparing.is_same(found.files),
    )


def review(found: Review) -> models.Review:
    """A waiting deployment, what became current since, and what it would change."""
    (row,) = found.deployment.rows
    (deployment,) = show.deployments(found.deployment)
    return models.Review(
        deployment=deployment,
        current=found.current,
        since=show.deployments(found.since),
        files=_files(found.files),
        base=row["base"],
    )


def merge(found: merging.Merge) -> models.Merge:
    """A proposal."""
    return models.Merge(
        base=found.base["id"] if found.base else None,
        current=found.current["id"] if found.current else None,
        staged=found.staged["id"],
        clean=found.is_clean,
        files=[_merged(each) for each in found.files],
        findings=[problems.shown(each) for each in found.findings],
    )


def _compared(row: sa.RowMapping) -> models.Compared:
    return models.Compared(deployment=row["id"], device_name=row["device_name"], release=row["release"])


def _files(files: Sequence[comparing.FileDiff]) -> list[models.FileDiff]:
    return [
        models.FileDiff(
            config_type=each.place[0],
            slot=each.place[1],
            path=each.path,
            format=each.format,
            kind=each.kind,
            before=_version(each.before),
            after=_version(each.after),
            same_meaning=each.found.same_meaning,
            changes=[_change(change) for change in each.found.changes],
            omitted=each.found.omitted,
            text=each.text,
        )
        for each in files
    ]


def _version(instance: Instance | None) -> models.VersionOfFile | None:
    return models.VersionOfFile(instance=instance.id, digest=instance.digest, size=instance.size) if instance else None


def _change(change: engine.Change) -> models.Change:
    before, after = change.before_at, change.after_at
    return models.Change(
        kind=change.kind.value,
        pointer=change.pointer,
        before=change.before,
        after=change.after,
        before_line=before.line if before else None,
        before_column=before.column if before else None,
        after_line=after.line if after else None,
        after_column=after.column if after else None,
    )


def _merged(file: merging.MergedFile) -> models.MergedFile:
    return models.MergedFile(
        config_type=file.place[0],
        slot=file.place[1],
        path=file.path,
        kind=file.kind,
        content=None if file.text is None else file.text.decode(),
        conflicts=[_conflict(each) for each in file.conflicts],
    )


def _conflict(conflict: merger.Conflict) -> models.MergeConflict:
    base, current, staged = (side and side.value for side in (conflict.base, conflict.theirs, conflict.ours))
    at = conflict.ours.at if conflict.ours else None
    return models.MergeConflict(
        pointer=conflict.pointer,
        message=conflict.message,
        base=base,
        current=current,
        staged=staged,
        line=at.line if at else None,
        column=at.column if at else None,
    )
