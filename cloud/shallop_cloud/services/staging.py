"""The staging area of a release: what waits for its devices, ordered or withdrawn together."""

from __future__ import annotations

from collections.abc import Mapping

from shallop_cloud.services import deployments, lookup
from shallop_cloud.services.deployments import Acted
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments as store


def deploy(shore: Shore, release: str, labels: Mapping[str, str], actor: str) -> list[Acted]:
    """Orders every staged deployment of a release whose device has all of these labels, by the device's name.

    A drifted one is not ordered; its problem is ``deployment_drifted``.

    Raises:
        errors.NotFound: no such release.
    """
    return deployments.deploy_many(shore, _waiting(shore, release, labels), actor)


def archive(shore: Shore, release: str, labels: Mapping[str, str], actor: str) -> list[Acted]:
    """Withdraws every staged or drifted deployment of a release whose device has all of these labels; raises as
    ``deploy`` does.
    """
    return deployments.archive_many(shore, _waiting(shore, release, labels), actor)


def _waiting(shore: Shore, release: str, labels: Mapping[str, str]) -> list[str]:
    with shore.database.read() as connection:
        return store.waiting(connection, lookup.release(connection, release)["id"], labels)
