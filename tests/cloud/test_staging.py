"""The staging area: what waits for many devices, listed, ordered and withdrawn together."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_world import World
from config_world import refused


@pytest.fixture
def fleet(world: World) -> World:
    """Three devices on two sites."""
    world.release()
    for name, site in (("a", "lyon"), ("b", "oslo"), ("c", "lyon")):
        world.must("POST", "/v1/devices", {"name": name, "labels": {"site": site, "model": "amr2"}})
    return world


def stage(world: World, *names: str, **more: Any) -> dict[str, str]:
    return {name: world.order("max: 1\n", name, staged=True, **more) for name in names}


def acted(world: World, path: str, body: object = None) -> dict[str, str]:
    """For each deployment, ``ok`` or the code of its problem."""
    data = world.must("POST", path, body)["data"]
    assert all((each["id"] is None) == (each["problem"] is not None) for each in data)
    return {each["deployment"]: each["problem"]["code"] if each["problem"] else "ok" for each in data}


def test_staging_again_on_device_and_release_archives_the_earlier_one(fleet: World) -> None:
    fleet.release("1.1.0")
    first = fleet.order("max: 1\n", "a", staged=True)
    other = fleet.order("max: 1\n", "a", staged=True, release="1.1.0")
    elsewhere = fleet.order("max: 1\n", "b", staged=True)
    second = fleet.order("max: 2\n", "a", staged=True)
    assert [fleet.statuses(key)[3] for key in (first, other, elsewhere, second)] == [
        "archived", "staged", "staged", "staged",
    ]  # fmt: skip


def test_the_area_lists_staged_and_drifted_by_labels(fleet: World) -> None:
    keys = stage(fleet, "a", "b", "c")
    fleet.order("max: 9\n", "c")

    def listed(**query: Any) -> set[str]:
        found = fleet.must("GET", "/v1/deployments", release="1.0.0", status=["staged", "drifted"], **query)["data"]
        return {each["device_name"] for each in found}

    assert listed() == {"a", "b", "c"}
    assert listed(label=["site=lyon", "model=amr2"]) == {"a", "c"}
    assert listed(label="site=paris") == set()
    assert fleet.statuses(keys["c"])[3] == "drifted"


def test_all_staged_of_a_release_are_ordered_by_labels(fleet: World) -> None:
    keys = stage(fleet, "a", "b", "c")
    fleet.order("max: 9\n", "c")
    orders = len(fleet.ashore.ordered)
    answer = acted(fleet, "/v1/releases/1.0.0:deploy-staged", {"labels": {"site": "lyon"}})
    assert answer == {keys["a"]: "ok", keys["c"]: "deployment_drifted"}
    assert [fleet.statuses(keys[name])[3] for name in "abc"] == ["queued", "staged", "drifted"]
    assert len(fleet.ashore.ordered) == orders + 1
    assert acted(fleet, "/v1/releases/1.0.0:deploy-staged") == {keys["b"]: "ok", keys["c"]: "deployment_drifted"}


def test_all_waiting_of_a_release_are_withdrawn_drifted_ones_too(fleet: World) -> None:
    keys = stage(fleet, "a", "b", "c")
    fleet.order("max: 9\n", "c")
    orders = len(fleet.ashore.ordered)
    answer = acted(fleet, "/v1/releases/1.0.0:archive-staged", {"labels": {"site": "lyon"}})
    assert answer == {keys["a"]: "ok", keys["c"]: "ok"}
    assert [fleet.statuses(keys[name])[3] for name in "abc"] == ["archived", "staged", "archived"]
    assert len(fleet.ashore.ordered) == orders
    assert acted(fleet, "/v1/releases/1.0.0:archive-staged", {"labels": {"site": "paris"}}) == {}


def test_bulk_answers_for_each_in_the_order_asked(fleet: World) -> None:
    keys = stage(fleet, "a", "b", "c")
    short = keys["b"][:14]
    asked = [keys["c"], "DPL-00000", short, "nonsense", keys["b"], keys["c"]]
    data = fleet.must("POST", "/v1/deployments:deploy", {"deployments": asked})["data"]
    assert [each["deployment"] for each in data] == asked
    assert [each["id"] for each in data] == [keys["c"], None, keys["b"], None, None, None]
    codes = [each["problem"]["code"] if each["problem"] else None for each in data]
    missing, repeated = "deployment_not_found", "deployment_repeated"
    assert codes == [None, missing, None, missing, repeated, repeated]
    assert acted(fleet, "/v1/deployments:archive", {"deployments": list(keys.values())}) == dict.fromkeys(
        keys.values(), "ok"
    )


def test_bulk_goes_on_over_the_bounds_of_its_transactions(fleet: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shallop_cloud.services.deployments.BATCH", 2)
    keys = stage(fleet, "a", "b", "c")
    asked = [keys["a"], keys["b"], keys["a"], keys["c"]]
    data = fleet.must("POST", "/v1/deployments:deploy", {"deployments": asked})["data"]
    assert [each["problem"] and each["problem"]["code"] for each in data] == [None, None, "deployment_repeated", None]
    assert len(fleet.ashore.ordered) == 2


def test_two_of_one_device_in_one_request_the_second_drifts(fleet: World) -> None:
    fleet.release("1.1.0")
    one = fleet.order("max: 1\n", "a", staged=True)
    two = fleet.order("max: 1\n", "a", staged=True, release="1.1.0")
    answer = acted(fleet, "/v1/deployments:deploy", {"deployments": [one, two]})
    assert answer == {one: "ok", two: "deployment_drifted"}
    assert fleet.must("GET", "/v1/devices/a")["current"] == one


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/deployments:deploy", None, (422, "request_invalid")),
        ("/v1/deployments:deploy", {"deployments": []}, (422, "request_invalid")),
        ("/v1/deployments:archive", {"deployments": ["x"] * 10_001}, (422, "request_invalid")),
        ("/v1/deployments:archive", {"deployments": "x"}, (422, "request_invalid")),
        ("/v1/releases/9.9.9:deploy-staged", None, (404, "release_not_found")),
        ("/v1/releases/1.0.0:archive-staged", {"label": {}}, (422, "request_invalid")),
    ],
)
def test_what_cannot_be_asked(fleet: World, path: str, body: object, expected: tuple[int, str]) -> None:
    assert refused(fleet, path, body) == expected
