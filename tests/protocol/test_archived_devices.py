"""Devices out of service, and back in it."""

from __future__ import annotations

import dataclasses

import pytest
from shallop_protocol import cloud
from shallop_protocol.statuses import Activity, Target

DEVICE = cloud.Device("DEV-0000000000000001")
IN_FORCE = cloud.Deployment("DPL-0000000000000001", "REL-1", "sha256:1")
WAITING = cloud.Deployment("DPL-0000000000000002", "REL-1", "sha256:2")
NEW = cloud.Deployment("DPL-0000000000000003", "REL-2", "sha256:3")


@pytest.fixture
def busy() -> cloud.Device:
    """A device that was ordered one deployment, and for which another waits."""
    return cloud.stage(cloud.order(DEVICE, IN_FORCE), WAITING)


def test_archiving_ends_what_waits_and_leaves_what_runs(busy: cloud.Device) -> None:
    archived = cloud.archive_device(busy)
    ended = archived.deployments[WAITING.id]
    assert ended.statuses[:2] == (Target.ARCHIVED, Activity.ARCHIVED)
    rest = dataclasses.replace(archived, archived=False, deployments={**archived.deployments, WAITING.id: WAITING})
    assert rest == busy


@pytest.mark.parametrize(
    "act",
    [
        lambda device: cloud.stage(device, NEW),
        lambda device: cloud.order(device, NEW),
        lambda device: cloud.deploy(device, IN_FORCE.id),
        cloud.archive_device,
    ],
    ids=["stage", "order", "deploy", "archive"],
)
def test_nothing_is_prepared_for_an_archived_device(busy: cloud.Device, act) -> None:
    with pytest.raises(cloud.Conflict) as refused:
        act(cloud.archive_device(busy))
    assert refused.value.code == "device_archived"


def test_what_an_archived_device_runs_can_be_withdrawn(busy: cloud.Device) -> None:
    assert cloud.archive(cloud.archive_device(busy), IN_FORCE.id).desired is None


def test_a_restored_device_takes_new_deployments(busy: cloud.Device) -> None:
    restored = cloud.restore_device(cloud.archive_device(busy))
    assert cloud.order(restored, NEW).desired == NEW.id


def test_only_an_archived_device_is_restored(busy: cloud.Device) -> None:
    with pytest.raises(cloud.Conflict) as refused:
        cloud.restore_device(busy)
    assert refused.value.code == "device_not_archived"
