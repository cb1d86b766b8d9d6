"""Another epoch, ordered by the operator after a key has leaked."""

from __future__ import annotations

import dataclasses

from shallop_protocol import cloud

DEVICE = cloud.Device("DEV-0000000000000001")
RUNNING = cloud.Deployment("DPL-0000000000000001", "REL-1", "sha256:1")


def test_the_order_is_issued_again_in_the_new_epoch() -> None:
    ordered = dataclasses.replace(cloud.order(DEVICE, RUNNING), published=1, reported=1)
    raised = cloud.raise_epoch(ordered, 2)
    assert (raised.epoch, raised.generation, raised.published, raised.reported) == (2, 2, 1, 0)
    assert (raised.desired, raised.fallback, raised.deployments) == (RUNNING.id, None, ordered.deployments)


def test_an_epoch_never_sinks_and_is_not_entered_twice() -> None:
    raised = cloud.raise_epoch(DEVICE, 3)
    assert cloud.raise_epoch(raised, 3) is raised
    assert cloud.raise_epoch(raised, 2) is raised


def test_a_device_that_was_ordered_nothing_is_ordered_nothing() -> None:
    assert cloud.raise_epoch(DEVICE, 2) == dataclasses.replace(DEVICE, epoch=2)


def test_what_the_database_has_forgotten_is_left_to_the_robot() -> None:
    adopted = dataclasses.replace(DEVICE, generation=7, published=7, reported=7, adopted="sha256:x")
    raised = cloud.raise_epoch(adopted, 2)
    assert (raised.epoch, raised.generation, raised.published, raised.order) == (2, 0, 0, None)
    assert raised.in_sync
