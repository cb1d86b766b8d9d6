"""Drift and what can be done about it: review, restage, merge."""

from __future__ import annotations

from typing import Any

import config_world as files
import pytest
from cloud_world import Robot, World
from config_world import order, refused

BASE = "# of the fleet\nlimits:\n  speed: 1.0\n  accel: 0.5\nframes: [map, odom]\n"
STAGED = BASE.replace("speed: 1.0", "speed: 2.0  # tested in the yard")
SINCE = BASE.replace("accel: 0.5", "accel: 0.8")
BOTH = STAGED.replace("accel: 0.5", "accel: 0.8")


@pytest.fixture
def robot(world: World) -> Robot:
    files.release(world)
    return world.device()


def drift(world: World, robot: Robot, since: str = SINCE, staged: str = STAGED) -> tuple[str, str, str]:
    """Base, current, and a staged one that drifted."""
    base = order(world, BASE)
    robot.settle()
    waiting = order(world, staged, staged=True, description="faster")
    current = order(world, since)
    robot.settle()
    return base, current, waiting


def review(world: World, key: str) -> Any:
    return world.must("GET", f"/v1/deployments/{key}/review")


def test_stage_drift_review_restage_deploy(world: World, robot: Robot) -> None:
    base, current, waiting = drift(world, robot)
    shown = review(world, waiting)
    assert (shown["deployment"]["id"], shown["deployment"]["status"]) == (waiting, "drifted")
    assert (shown["base"], shown["current"], [each["id"] for each in shown["since"]]) == (base, current, [current])
    (file,) = shown["files"]
    assert (file["path"], file["kind"], file["same_meaning"]) == ("motion.yaml", "changed", False)
    assert [(each["pointer"], each["before"], each["after"]) for each in file["changes"]] == [
        ("/limits/speed", 1.0, 2.0),
        ("/limits/accel", 0.8, 0.5),
    ]
    assert file["changes"][0]["after_line"] == 3
    assert "+  speed: 2.0  # tested in the yard\n" in file["text"]

    restaged = world.must("POST", f"/v1/deployments/{waiting}:restage", {"reviewed": current})
    assert (restaged["status"], restaged["base"], restaged["base_generation"]) == (
        "staged", current, world.must("GET", "/v1/devices/amr-1")["generation"],
    )  # fmt: skip
    assert review(world, waiting)["since"] == []
    world.must("POST", f"/v1/deployments/{waiting}:deploy")
    robot.settle()
    assert world.statuses(waiting)[3] == "deployed"


def test_a_change_between_review_and_act_is_not_overlooked(world: World, robot: Robot) -> None:
    _, current, waiting = drift(world, robot)
    newer = order(world, SINCE)
    for act in ("restage", "merge"):
        assert refused(world, f"/v1/deployments/{waiting}:{act}", {"reviewed": current}) == (409, "current_changed")
    assert refused(world, f"/v1/deployments/{waiting}:restage", {"reviewed": None}) == (409, "current_changed")
    assert world.statuses(waiting)[3] == "drifted"
    assert [each["id"] for each in review(world, waiting)["since"]] == [current, newer]
    # a prefix is enough, and nothing is not
    assert refused(world, f"/v1/deployments/{waiting}:restage", {}) == (422, "request_invalid")
    assert world.must("POST", f"/v1/deployments/{waiting}:restage", {"reviewed": newer[:14]})["base"] == newer


def test_since_is_told_anew_after_each_restage_with_what_failed(world: World, robot: Robot) -> None:
    _, current, waiting = drift(world, robot)
    world.must("POST", f"/v1/deployments/{waiting}:restage", {"reviewed": current})
    bad = order(world, BASE)
    robot.bad.add(bad)
    robot.settle()
    assert world.statuses(waiting)[3] == "drifted"
    shown = review(world, waiting)
    assert [(each["id"], each["status"]) for each in shown["since"]] == [(bad, "failed")]
    assert shown["current"] == current


def test_a_staged_one_for_an_empty_device_is_reviewed_against_nothing(world: World, robot: Robot) -> None:
    waiting = order(world, BASE, staged=True)
    shown = review(world, waiting)
    assert (shown["base"], shown["current"], shown["since"]) == (None, None, [])
    assert [(each["kind"], each["before"]) for each in shown["files"]] == [("added", None)]


def test_only_what_waits_is_reviewed(world: World, robot: Robot) -> None:
    current = order(world, BASE)
    for path in ("review", "merge"):
        got = refused(world, f"/v1/deployments/{current}/{path}", method="GET")
        assert got == (409, "deployment_not_waiting")
        assert refused(world, f"/v1/deployments/DPL-00000/{path}", method="GET") == (404, "deployment_not_found")


class TestMerge:
    def test_both_changes_go_into_a_new_staged_deployment(self, world: World, robot: Robot) -> None:
        base, current, waiting = drift(world, robot)
        rows = len(world.must("GET", "/v1/devices/amr-1/history")["data"])
        proposal = world.must("GET", f"/v1/deployments/{waiting}/merge")
        assert proposal == {
            "base": base, "current": current, "staged": waiting, "clean": True, "findings": [],
            "files": [{"config_type": "motion", "slot": "default", "path": "motion.yaml", "kind": "merged",
                       "content": BOTH, "conflicts": []}],
        }  # fmt: skip
        assert len(world.must("GET", "/v1/devices/amr-1/history")["data"]) == rows

        merged = world.must("POST", f"/v1/deployments/{waiting}:merge", {"reviewed": current})
        assert (merged["status"], merged["patched_from"], merged["base"]) == ("staged", waiting, current)
        assert merged["description"] == "faster"
        assert files.files(world, merged["id"]) == {"motion": BOTH}
        assert world.statuses(waiting)[3] == "archived"
        assert refused(world, f"/v1/deployments/{waiting}:merge", {"reviewed": current}) == (
            409,
            "deployment_not_drifted",
        )
        world.must("POST", f"/v1/deployments/{merged['id']}:deploy")
        robot.settle()
        assert world.statuses(merged["id"])[3] == "deployed"

    def test_conflicts_are_told_with_their_places_and_change_nothing(self, world: World, robot: Robot) -> None:
        since = BASE.replace("speed: 1.0", "speed: 3.0")
        _, current, waiting = drift(world, robot, since)
        proposal = world.must("GET", f"/v1/deployments/{waiting}/merge")
        assert not proposal["clean"]
        (file,) = proposal["files"]
        assert (file["kind"], file["content"]) == ("conflict", None)
        (conflict,) = file["conflicts"]
        assert {name: conflict[name] for name in ("pointer", "base", "current", "staged", "line")} == {
            "pointer": "/limits/speed", "base": 1.0, "current": 3.0, "staged": 2.0, "line": 3,
        }  # fmt: skip
        answer = world.api("POST", f"/v1/deployments/{waiting}:merge", {"reviewed": current})
        assert (answer.status_code, answer.json()["code"]) == (409, "merge_conflicts")
        (error,) = answer.json()["errors"]
        assert (error["source"], error["pointer"], error["line"]) == ("motion", "/limits/speed", 3)
        assert world.statuses(waiting)[3] == "drifted"

    def test_what_goes_together_and_is_not_valid_is_not_made(self, world: World, robot: Robot) -> None:
        """Each side is right, and both together are not: the schema of the staged one's release has the last word."""
        strict = {**files.MOTION, "not": {"required": ["fast", "heavy"]}}
        files.release(world, "2.0.0", files.config_type("motion", "motion.yaml", strict))
        order(world, "limits: {}\n", release="2.0.0")
        robot.settle()
        waiting = order(world, "limits: {}\nfast: true\n", staged=True, release="2.0.0")
        current = order(world, "limits: {}\nheavy: true\n", release="2.0.0")
        proposal = world.must("GET", f"/v1/deployments/{waiting}/merge")
        assert not proposal["clean"]
        assert [each["source"] for each in proposal["findings"]] == ["motion"]
        assert refused(world, f"/v1/deployments/{waiting}:merge", {"reviewed": current}) == (422, "config_invalid")
        assert world.statuses(waiting)[3] == "drifted"

    def test_files_that_one_side_alone_changed(self, world: World, robot: Robot) -> None:
        """Instances that are taken as they are, are the same instances."""
        order(world, BASE, "{}")
        robot.settle()
        waiting = order(world, STAGED, "{}", staged=True)
        current = order(world, BASE, '{"a": 1}')
        kinds = {each["config_type"]: each["kind"] for each in self.proposed(world, waiting)}
        assert kinds == {"motion": "ours", "zones": "theirs"}
        merged = world.must("POST", f"/v1/deployments/{waiting}:merge", {"reviewed": current, "description": ""})["id"]
        assert files.instances(world, merged) == {
            "motion": files.instances(world, waiting)["motion"],
            "zones": files.instances(world, current)["zones"],
        }
        assert world.must("GET", f"/v1/deployments/{merged}")["description"] == ""

    def test_a_file_that_was_taken_away_since(self, world: World, robot: Robot) -> None:
        order(world, BASE, "{}")
        robot.settle()
        waiting = order(world, STAGED, "{}", staged=True)
        current = order(world, BASE)
        kinds = {each["config_type"]: (each["kind"], each["content"]) for each in self.proposed(world, waiting)}
        assert kinds["zones"] == ("theirs", None)
        merged = world.must("POST", f"/v1/deployments/{waiting}:merge", {"reviewed": current})["id"]
        assert files.files(world, merged) == {"motion": STAGED}

    def test_over_releases_the_staged_one_judges(self, world: World, robot: Robot) -> None:
        """What the staged one's release has no place for is left out; what it requires is missed."""
        wanted = files.config_type("motion", "motion.yaml", files.MOTION)
        files.release(world, "2.0.0", wanted, files.config_type("lidar", "lidar.yaml", required=False))
        order(world, BASE)
        robot.settle()
        waiting = order(world, STAGED, staged=True)
        configs = [{"config_type": "motion", "content": SINCE}, {"config_type": "lidar", "content": "a: 1\n"}]
        current = world.must("POST", "/v1/deployments", {"device": "amr-1", "release": "2.0.0", "configs": configs})
        merged = world.must("POST", f"/v1/deployments/{waiting}:merge", {"reviewed": current["id"]})
        assert merged["release"] == "1.0.0"
        assert files.files(world, merged["id"]) == {"motion": BOTH}

    def test_a_required_file_that_the_merge_would_lose(self, world: World, robot: Robot) -> None:
        files.release(world, "2.0.0", *files.TYPES[:1], files.config_type("zones", "zones.json"))
        order(world, BASE, "{}", release="2.0.0")
        robot.settle()
        waiting = order(world, STAGED, "{}", staged=True, release="2.0.0")
        current = order(world, BASE)
        proposal = world.must("GET", f"/v1/deployments/{waiting}/merge")
        assert [(each["source"], each["message"]) for each in proposal["findings"]] == [
            ("zones", "the release requires this file, and the merge has none")
        ]
        assert refused(world, f"/v1/deployments/{waiting}:merge", {"reviewed": current}) == (422, "config_missing")

    def test_another_format_in_one_place_is_merged_as_text(self, world: World, robot: Robot) -> None:
        files.release(world, "2.0.0", {**files.config_type("motion", "motion.yaml"), "format": "text"})
        order(world, BASE)
        robot.settle()
        waiting = order(world, STAGED, staged=True)
        order(world, SINCE, release="2.0.0")
        (file,) = self.proposed(world, waiting)
        assert (file["kind"], file["content"]) == ("conflict", None)
        (compared,) = review(world, waiting)["files"]
        assert (compared["kind"], compared["changes"], compared["same_meaning"]) == ("changed", [], False)

    @pytest.mark.parametrize("body", [None, {}, {"reviewed": 1}, {"reviewed": "DPL-00000", "x": 1}])
    def test_a_merge_says_what_was_reviewed(self, world: World, robot: Robot, body: object) -> None:
        _, _, waiting = drift(world, robot)
        assert refused(world, f"/v1/deployments/{waiting}:merge", body) == (422, "request_invalid")

    @staticmethod
    def proposed(world: World, key: str) -> Any:
        return world.must("GET", f"/v1/deployments/{key}/merge")["files"]


class TestDiff:
    def test_of_two_deployments(self, world: World, robot: Robot) -> None:
        before, after = order(world, BASE, "{}"), order(world, BASE.replace("# of the fleet\n", ""))
        shown = world.must("GET", "/v1/diff", before=before, after=after)
        assert [shown[side]["deployment"] for side in ("before", "after")] == [before, after]
        assert (shown["before"]["device_name"], shown["before"]["release"], shown["same"]) == ("amr-1", "1.0.0", False)
        motion, zones = shown["files"]
        assert (motion["kind"], motion["same_meaning"], motion["changes"]) == ("changed", True, [])
        assert (zones["kind"], zones["after"], zones["format"]) == ("removed", None, "json")

    def test_of_what_devices_are_to_run(self, world: World, robot: Robot) -> None:
        world.device("amr-2")
        one = order(world, BASE)
        world.must("POST", "/v1/deployments", files.body("amr-2", motion=BASE))
        shown = world.must("GET", "/v1/diff", before=one, after="device:amr-2")
        assert shown["same"]
        assert [each["kind"] for each in shown["files"]] == ["same"]
        assert shown["files"][0]["text"] == ""

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            ("device:amr-1", "device:amr-1", (404, "device_has_no_deployment")),
            ("device:nobody", "device:amr-1", (404, "device_not_found")),
            ("amr-1", "device:amr-1", (404, "deployment_not_found")),
            ("DPL-00000", "DPL-00000", (404, "deployment_not_found")),
            ("", "DPL-00000", (422, "request_invalid")),
        ],
    )
    def test_of_what_is_not_there(
        self, world: World, robot: Robot, before: str, after: str, expected: tuple[int, str]
    ) -> None:
        answer = world.api("GET", "/v1/diff", before=before, after=after)
        assert (answer.status_code, answer.json()["code"]) == expected
