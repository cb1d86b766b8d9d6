"""Devices that report and do not get their orders, although the broker says that all is well."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from cloud_world import Robot, World
from shallop_cloud.store import lagging, tables
from shallop_protocol import messages
from shallop_protocol.topics import Kind

LONG = lagging.GRACE + datetime.timedelta(seconds=1)


@pytest.fixture
def robot(world: World) -> Robot:
    """One that is in sync and connected."""
    world.release()
    made = world.device()
    world.order("max: 1\n")
    made.settle()
    birth = messages.Presence(device=made.id.lower(), status="online", incarnation="one", connection=1)
    world.hear(made.id, Kind.PRESENCE, birth.to_bytes())
    return made


def _ordered(world: World, robot: Robot) -> None:
    """Something new is out, and the robot does not get it."""
    world.order("max: 2\n")
    world.published(robot.id)


def _say(world: World, robot: Robot, **said: Any) -> None:
    world.hear(robot.id, Kind.REPORT, robot.report().model_copy(update=said).to_bytes())


def _pass_time(world: World) -> None:
    """What was recorded is older by now."""
    with world.ashore.shore.database.write() as connection:
        since = connection.execute(sa.select(tables.devices.c.lagging_since)).scalar_one()
        connection.execute(tables.devices.update().values(lagging_since=since - LONG if since else None))


def _why(world: World) -> str | None:
    """Why it lags, as all say: the device itself, the list, and the numbers."""
    shown = world.must("GET", "/v1/devices/amr-1")["lagging"]
    for wanted in (True, False):
        listed = world.must("GET", "/v1/devices", lagging=str(wanted).lower())["data"]
        assert len(listed) == (wanted is (shown is not None))
    assert world.must("GET", "/v1/summary")["lagging"] == (shown is not None)
    return shown["why"] if shown else None


def test_a_device_that_reports_and_does_not_get_its_order_lags(world: World, robot: Robot) -> None:
    _ordered(world, robot)
    assert _why(world) is None
    _pass_time(world)
    assert _why(world) is None
    _say(world, robot)
    assert _why(world) is None
    _pass_time(world)
    assert _why(world) == "not_received"
    since = world.must("GET", "/v1/devices/amr-1")["lagging"]["since"]
    _say(world, robot)
    assert world.must("GET", "/v1/devices/amr-1")["lagging"]["since"] == since
    why = world.must("GET", "/v1/devices/amr-1/why")
    assert (why["verdict"], why["waits_for"][0]["code"]) == ("lagging", "lagging_not_received")
    assert "shallop bundle amr-1" in why["commands"]
    robot.settle()
    assert _why(world) is None


def test_one_that_gets_on_does_not_lag_though_orders_and_reports_cross(world: World, robot: Robot) -> None:
    for content in ("max: 2\n", "max: 3\n", "max: 4\n"):
        _ordered(world, robot)
        robot.tell()
        _pass_time(world)
        robot.obey()
        world.order(content)
        world.published(robot.id)
        robot.tell()
        assert _why(world) is None


def test_who_is_not_connected_does_not_lag(world: World, robot: Robot) -> None:
    _ordered(world, robot)
    robot.tell()
    _pass_time(world)
    will = messages.Presence(device=robot.id.lower(), status="offline", incarnation="one", connection=1)
    world.hear(robot.id, Kind.PRESENCE, will.to_bytes())
    assert _why(world) is None


def test_an_order_that_has_not_left_makes_nobody_lag(world: World, robot: Robot) -> None:
    world.order("max: 2\n")
    robot.tell()
    _pass_time(world)
    assert _why(world) is None


def test_a_robot_that_says_stale_lags_at_once_though_it_is_in_sync(world: World, robot: Robot) -> None:
    _say(world, robot, stale=True)
    assert _why(world) == "stale"
    assert world.must("GET", "/v1/devices/amr-1")["in_sync"]
    why = world.must("GET", "/v1/devices/amr-1/why")
    assert (why["verdict"], why["waits_for"][0]["code"]) == ("lagging", "lagging_stale")
    robot.tell()
    assert _why(world) is None


def test_what_it_refused_is_another_matter(world: World, robot: Robot) -> None:
    _ordered(world, robot)
    refused = messages.Refusal(code="bad_signature", message="no trusted key signed this", generation=None)
    _say(world, robot, refused=refused)
    _pass_time(world)
    assert _why(world) == "refused"
    assert world.must("GET", "/v1/devices/amr-1/why")["verdict"] == "refused"


def test_the_key_list_that_it_goes_by_is_recorded(world: World, robot: Robot) -> None:
    assert world.must("GET", "/v1/devices/amr-1")["key_list"] == 0
    _say(world, robot, keys=3)
    assert world.must("GET", "/v1/devices/amr-1")["key_list"] == 3
