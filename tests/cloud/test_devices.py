"""Devices: changed, taken out of service and back, listed by what is known of them."""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa
from cloud_world import World
from config_world import refused
from shallop_cloud.store import connectivity, devices, tables
from shallop_cloud.store.connectivity import Connectivity
from shallop_device.agent import PRESENCE_S

SECRET = "a-secret-of-the-robot-of-at-least-32-characters"
PATH = "/v1/devices/amr-1"


def history(world: World, path: str = PATH) -> list[dict[str, Any]]:
    return world.must("GET", f"{path}/history", limit=500)["data"]


def names(world: World, **query: Any) -> list[str]:
    return [each["name"] for each in world.must("GET", "/v1/devices", **query)["data"]]


class TestChange:
    @pytest.fixture(autouse=True)
    def _device(self, world: World) -> None:
        world.must("POST", "/v1/devices", {"name": "amr-1", "labels": {"site": "lyon"}})

    def test_a_name_and_labels(self, world: World) -> None:
        shown = world.must("PATCH", PATH, {"name": "amr-7", "labels": {"site": "oslo", "model": "amr2"}})
        assert (shown["name"], shown["labels"]) == ("amr-7", {"site": "oslo", "model": "amr2"})
        assert refused(world, PATH, method="GET") == (404, "device_not_found")
        assert names(world, label="site=oslo") == ["amr-7"]
        assert names(world, label="site=lyon") == []
        entry = history(world, "/v1/devices/amr-7")[-1]
        assert (entry["action"], entry["before"], entry["after"]) == (
            "device_changed",
            {"name": "amr-1", "labels": {"site": "lyon"}},
            {"name": "amr-7", "labels": {"site": "oslo", "model": "amr2"}},
        )

    def test_the_name_alone_keeps_the_labels(self, world: World) -> None:
        assert world.must("PATCH", PATH, {"name": "amr-7"})["labels"] == {"site": "lyon"}
        assert names(world, label="site=lyon") == ["amr-7"]

    @pytest.mark.parametrize("body", [{}, {"name": "amr-1"}, {"labels": {"site": "lyon"}}, {"name": None}])
    def test_what_changes_nothing_leaves_no_trace(self, world: World, body: object) -> None:
        before = history(world)
        world.must("PATCH", PATH, body)
        assert history(world) == before

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"name": "amr-2"}, (409, "device_exists")),
            ({"name": "-"}, (422, "name_invalid")),
            ({"labels": {"a b": ""}}, (422, "label_invalid")),
            ({"labels": {str(number): "" for number in range(33)}}, (422, "label_invalid")),
            ({"lables": {}}, (422, "request_invalid")),
        ],
    )
    def test_what_cannot_be(self, world: World, body: object, expected: tuple[int, str]) -> None:
        world.device("amr-2")
        before = history(world)
        assert refused(world, PATH, body, method="PATCH") == expected
        assert history(world) == before
        assert world.must("GET", PATH)["labels"] == {"site": "lyon"}

    def test_of_two_who_saw_the_same_the_second_is_refused(self, world: World) -> None:
        seen = world.api("GET", PATH).headers["ETag"]
        change = {"labels": {"site": "oslo"}}
        first = world.client.patch(PATH, json=change, headers={"If-Match": seen})
        second = world.client.patch(PATH, json={"name": "amr-7"}, headers={"If-Match": seen})
        assert (first.status_code, second.status_code, second.json()["code"]) == (200, 412, "precondition_failed")
        assert world.must("GET", PATH)["name"] == "amr-1"
        assert world.client.patch(PATH, json={"name": "amr-7"}, headers={"If-Match": "*"}).is_success

    def test_of_many_at_once_who_saw_the_same_one_wins(self, world: World) -> None:
        seen = world.api("GET", PATH).headers["ETag"]
        outcomes: Counter[int] = Counter()

        def ask(number: int) -> None:
            change = {"labels": {"number": str(number)}}
            outcomes[world.client.patch(PATH, json=change, headers={"If-Match": seen}).status_code] += 1

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == {200: 1, 412: 19}
        assert [row["action"] for row in history(world)].count("device_changed") == 1


class TestArchive:
    def test_what_waits_ends_and_what_runs_stays(self, world: World) -> None:
        world.release()
        world.release("1.1.0")
        robot = world.device()
        staged = world.order("max: 0\n", staged=True, release="1.1.0")
        runs = world.order("max: 1\n")
        robot.settle()
        waits = world.order("max: 2\n", staged=True)
        shown = world.must("POST", f"{PATH}:archive")
        assert shown["archived_at"]
        assert (shown["current"], shown["in_sync"]) == (runs, True)
        assert [world.statuses(key)[3] for key in (staged, runs, waits)] == ["archived", "deployed", "archived"]
        assert [row["action"] for row in history(world)][-3:] == ["archived", "archived", "device_archived"]
        robot.settle()
        assert world.statuses(runs)[3] == "deployed"

    def test_nothing_new_until_it_is_back(self, world: World) -> None:
        world.release()
        world.device()
        world.must("POST", f"{PATH}:archive")
        for staged in (True, False):
            body = {"device": "amr-1", "release": "1.0.0", "configs": [{"config_type": "motion", "content": ""}]}
            assert refused(world, "/v1/deployments", {**body, "staged": staged}) == (409, "device_archived")
        for act in ("archive", "renew-token"):
            assert refused(world, f"{PATH}:{act}") == (409, "device_archived")
        batch = {"devices": ["amr-1"], "release": "1.0.0", "configs": body["configs"]}
        assert world.must("POST", "/v1/deployments:batch", batch)["data"][0]["problem"]["code"] == "device_archived"
        by_label = {"labels": {}, "release": "1.0.0", "configs": body["configs"]}
        assert world.must("POST", "/v1/deployments:batch", by_label)["data"] == []
        shown = world.must("POST", f"{PATH}:restore")
        assert shown["archived_at"] is None
        assert history(world)[-1]["action"] == "device_restored"
        assert refused(world, f"{PATH}:restore") == (409, "device_not_archived")
        assert world.order("max: 1\n")

    def test_its_enrolment_token_is_void(self, world: World) -> None:
        token = world.must("POST", "/v1/devices", {"name": "amr-1"})["token"]
        world.must("POST", f"{PATH}:archive")
        enrolment = {"token": token, "secret": SECRET}
        assert refused(world, "/v1/enrolments", enrolment) == (401, "token_invalid")
        world.must("POST", f"{PATH}:restore")
        assert refused(world, "/v1/enrolments", enrolment) == (401, "token_invalid")
        renewed = world.must("POST", f"{PATH}:renew-token")["token"]
        world.must("POST", "/v1/enrolments", {"token": renewed, "secret": SECRET})

    def test_it_can_still_be_emptied(self, world: World) -> None:
        world.release()
        robot = world.device()
        runs = world.order("max: 1\n")
        robot.settle()
        world.must("POST", f"{PATH}:archive")
        world.must("POST", f"/v1/deployments/{runs}:archive")
        robot.settle()
        assert robot.disk.trees == frozenset()

    def test_lists_hide_it_unless_asked(self, world: World) -> None:
        world.device("a")
        world.device("b")
        world.must("POST", "/v1/devices/a:archive")
        assert names(world) == names(world, archived="false") == ["b"]
        assert names(world, archived="true") == ["a"]
        assert names(world, archived="any") == ["a", "b"]
        assert world.must("GET", "/v1/devices/a")["archived_at"]
        assert refused(world, "/v1/devices?archived=perhaps", method="GET") == (422, "request_invalid")


def set_heard(world: World, name: str, *, online: bool, ago: float | None) -> None:
    """As if the device had last been heard so many seconds ago."""
    at = None if ago is None else world.ashore.shore.now() - datetime.timedelta(seconds=ago)
    with world.ashore.shore.database.write() as connection:
        row = devices.find(connection, key=name)
        assert row is not None
        devices.update(connection, row["id"], online=online, last_heard_at=at)


class TestLists:
    @pytest.fixture
    def fleet(self, world: World) -> World:
        """One device of each connectivity."""
        cases = {"online": (True, 5.0), "silent": (True, 9_100.0), "offline": (False, 5.0), "never": (False, None)}
        for name, (online, ago) in cases.items():
            world.device(name)
            set_heard(world, name, online=online, ago=ago)
        return world

    @pytest.mark.parametrize("wanted", list(Connectivity))
    def test_by_connectivity(self, fleet: World, wanted: Connectivity) -> None:
        assert names(fleet, connectivity=wanted.value) == [wanted.value]
        shown = fleet.must("GET", f"/v1/devices/{wanted.value}")
        assert shown["connectivity"] == wanted.value
        age = shown["last_heard_age_s"]
        assert age is None if wanted is Connectivity.NEVER else age >= 5

    def test_at_the_bound_filter_and_display_agree(self, world: World) -> None:
        """Just at two and a half times of presence, just before and just behind, and for clocks that went back."""
        at = world.ashore.shore.now()
        world.device("a")
        bound = connectivity.SILENT_AFTER.total_seconds()
        assert bound == 2.5 * PRESENCE_S
        for online in (True, False):
            for ago in (None, -60.0, 0.0, bound - 1e-6, bound, bound + 1e-6):
                heard = None if ago is None else at - datetime.timedelta(seconds=ago)
                with world.ashore.shore.database.write() as connection:
                    row = devices.find(connection, key="a")
                    assert row is not None
                    devices.update(connection, row["id"], online=online, last_heard_at=heard)
                    row = devices.find(connection, key="a")
                    assert row is not None
                    said = connectivity.of(row, at)
                    query = sa.select(tables.devices.c.name)
                    found = [
                        each
                        for each in Connectivity
                        if connection.execute(query.where(connectivity.condition(connection, each, at))).all()
                    ]
                assert found == [said]

    def test_by_whether_they_are_in_sync(self, world: World) -> None:
        world.release()
        world.device("a")
        robot = world.device("b")
        world.order("max: 1\n", "a")
        world.order("max: 1\n", "b")
        robot.settle()
        assert names(world, in_sync="true") == ["b"]
        assert names(world, in_sync="false") == ["a"]

    def test_by_several_at_once_and_since(self, fleet: World) -> None:
        fleet.must("POST", "/v1/devices", {"name": "new", "labels": {"site": "lyon", "model": "amr2"}})
        made = fleet.must("GET", "/v1/devices/new")["created_at"]
        assert names(fleet, since=made, label=["site=lyon", "model=amr2"], connectivity="never") == ["new"]
        assert names(fleet, label=["site=lyon", "model=amr3"]) == []
        for query in ("since=yesterday", "since=2026-01-01T00:00:00", "label=x", "connectivity=gone", "in_sync=so"):
            assert refused(fleet, f"/v1/devices?{query}", method="GET") == (422, "request_invalid")
        assert refused(fleet, "/v1/devices?label=a=1&label=a=2", method="GET") == (422, "label_invalid")

    def test_pages_go_on_under_filters(self, world: World) -> None:
        for number in range(5):
            world.must("POST", "/v1/devices", {"name": f"a{number}", "labels": {"odd": str(number % 2)}})
        first = world.must("GET", "/v1/devices", label="odd=0", limit=2)
        rest = world.must("GET", "/v1/devices", label="odd=0", limit=2, cursor=first["next_cursor"])
        assert [each["name"] for each in (*first["data"], *rest["data"])] == ["a0", "a2", "a4"]
        assert rest["next_cursor"] is None

    def test_with_their_deployments(self, world: World) -> None:
        world.release()
        robot = world.device("a")
        world.device("b")
        first = world.order("max: 1\n", "a")
        robot.settle()
        second = world.order("max: 2\n", "a")
        a, b = world.must("GET", "/v1/devices", expand="current,fallback")["data"]
        assert [a["expanded"][name]["id"] for name in ("current", "fallback")] == [second, first]
        assert a["expanded"]["current"]["config_instances"][0]["config_type"] == "motion"
        assert b["expanded"] == {"current": None, "fallback": None}
        assert world.must("GET", "/v1/devices/a", expand="current")["expanded"]["fallback"] is None
        assert world.must("GET", "/v1/devices/a")["expanded"] is None
        assert refused(world, "/v1/devices?expand=curent", method="GET") == (422, "request_invalid")


class TestDeploymentLists:
    def test_by_statuses_labels_and_since(self, world: World) -> None:
        world.release()
        for name, site in (("a", "lyon"), ("b", "oslo")):
            world.must("POST", "/v1/devices", {"name": name, "labels": {"site": site}})
        staged = world.order("max: 1\n", "a", staged=True)
        gone = world.order("max: 1\n", "b")
        world.must("POST", f"/v1/deployments/{gone}:archive")
        queued = world.order("max: 2\n", "b")

        def ids(**query: Any) -> list[str]:
            return [each["id"] for each in world.must("GET", "/v1/deployments", **query)["data"]]

        assert ids(status=["staged", "queued"]) == [queued, staged]
        assert ids(status=["staged", "queued"], label="site=oslo") == [queued]
        assert ids(label="site=paris") == []
        assert ids(since=world.must("GET", f"/v1/deployments/{gone}")["created_at"]) == [queued, gone]
        assert ids(device="b", status="archived") == [gone]

    def test_with_device_and_release_and_how_old_the_knowledge_is(self, world: World) -> None:
        world.release()
        robot = world.device()
        key = world.order("max: 1\n")
        assert world.must("GET", f"/v1/deployments/{key}")["last_known_at"] is None
        robot.settle()
        waiting = world.order("max: 2\n", staged=True)
        new, old = world.must("GET", "/v1/deployments", expand="device,release")["data"]
        assert [each["expanded"]["device"]["name"] for each in (new, old)] == ["amr-1", "amr-1"]
        assert old["expanded"]["release"]["version"] == "1.0.0"
        assert (new["id"], new["last_known_at"], new["last_known_age_s"]) == (waiting, None, None)
        assert old["last_known_at"] == world.must("GET", PATH)["last_known"]["reported_at"]
        assert 0 <= old["last_known_age_s"] < 600
        only = world.must("GET", f"/v1/deployments/{key}", expand="release")["expanded"]
        assert (only["device"], only["release"]["version"]) == (None, "1.0.0")
