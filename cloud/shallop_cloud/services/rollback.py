"""Going back: a new deployment with the content of one that was in force before."""

from __future__ import annotations

import dataclasses

from shallop_protocol import cloud, rollback

from shallop_cloud import errors
from shallop_cloud.services import contents, deployments, lookup, making
from shallop_cloud.services.making import Intent
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments as store
from shallop_cloud.store import devices


def roll_back(shore: Shore, device: str, to: str | None, intent: Intent, actor: str) -> str:
    """Makes a deployment of what was in force before, of the same config instances. Gives its id.

    Args:
        to: the deployment to go back to; None lets the protocol choose the one that is one further back.

    Raises:
        errors.NotFound: no such device or deployment.
        errors.Conflict: ``nothing_to_roll_back_to``, ``deployment_not_former``, ``deployment_failed``,
            ``deployment_is_current``, ``current_changed``, ``device_archived``.
        errors.Problem: 413, the whole is too large for the broker's present limit.
    """
    with shore.database.write() as connection:
        key = lookup.device(connection, device)["id"]
        named = lookup.deployment(connection, to)["id"] if to is not None else None
        devices.hold(connection, [key])
        current = devices.load(connection, key).desired
        former = store.former(connection, key)
        try:
            back = rollback.candidate(former, current) if named is None else rollback.chosen(former, current, named)
        except cloud.Conflict as error:
            raise errors.Conflict(error.code, str(error)) from None
        row = store.find(connection, back.id)
        assert row is not None
        intent = dataclasses.replace(intent, restores=back.id)
        made = making.record(shore, connection, [key], contents.of(shore, connection, row), intent, actor)
    if not intent.staged:
        shore.ordered()
    return deployments.only(made)
