"""Releases whose config types go to several places, through the API."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_world import World

LIDAR: dict[str, Any] = {
    "name": "lidar",
    "schema": "opaque",
    "format": "yaml",
    "slots": [{"key": "front", "path": "lidar/front.yaml"}, {"key": "rear", "path": "rear.yaml", "required": False}],
}
DRIVE: dict[str, Any] = {"name": "drive", "schema": "opaque", "format": "yaml", "path": "drive.yaml"}


def body(*types: dict[str, Any]) -> dict[str, Any]:
    return {"version": "1.0.0", "config_types": types}


def test_slots_are_recorded_and_shown(world: World) -> None:
    made = world.must("POST", "/v1/releases", body(LIDAR, DRIVE))
    assert [(each["name"], each["slots"]) for each in made["config_types"]] == [
        ("drive", [{"key": "default", "path": "drive.yaml", "required": True}]),
        (
            "lidar",
            [
                {"key": "front", "path": "lidar/front.yaml", "required": True},
                {"key": "rear", "path": "rear.yaml", "required": False},
            ],
        ),
    ]
    assert world.must("GET", "/v1/releases/1.0.0") == made


@pytest.mark.parametrize(
    ("config_type", "pointer", "words"),
    [
        ({**LIDAR, "path": "x"}, "/config_types/0", "give a path, or slots: one of the two"),
        ({**DRIVE, "path": None}, "/config_types/0", "give a path, or slots: one of the two"),
        ({**LIDAR, "required": True}, "/config_types/0", "'required' belongs to each of the slots"),
        ({**LIDAR, "slots": []}, "/config_types/0/slots", "at least 1 item"),
        ({**LIDAR, "slots": 2 * LIDAR["slots"]}, "/config_types/lidar/slots/front", "slot 'front' occurs twice"),
        ({**LIDAR, "slots": [{"key": "A b", "path": "x"}]}, "/config_types/lidar/slots/A b", "a slot's key is 1 to 64"),
        (
            {**LIDAR, "slots": [{"key": "a", "path": "x"}, {"key": "b", "path": "x/y"}]},
            "/config_types/lidar/slots/b/path",
            "path 'x' cannot be a file",
        ),
    ],
)
def test_slots_that_are_not_right(world: World, config_type: dict[str, Any], pointer: str, words: str) -> None:
    answer = world.api("POST", "/v1/releases", body(config_type))
    assert answer.status_code == 422
    assert any(each["pointer"] == pointer and words in each["message"] for each in answer.json()["errors"]), answer.text


def test_places_are_unique_in_the_whole_release(world: World) -> None:
    answer = world.api("POST", "/v1/releases", body(LIDAR, {**DRIVE, "path": "REAR.yaml"}))
    assert answer.json()["errors"][0]["message"] == (
        "paths 'rear.yaml' and 'REAR.yaml' differ only in upper and lower case"
    )
