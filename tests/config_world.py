"""Releases with schemas, and config files for them, for tests of what happens to files."""

from __future__ import annotations

from typing import Any

from cloud_world import World

MOTION = {
    "type": "object",
    "required": ["limits"],
    "properties": {
        "limits": {
            "type": "object",
            "properties": {"speed": {"type": "number", "maximum": 5}, "accel": {"type": "number"}},
        },
        "frames": {"type": "array", "items": {"type": "string"}},
    },
}
"""What ``motion.yaml`` must satisfy."""


def config_type(name: str, path: str, schema: Any = "opaque", **more: Any) -> dict[str, Any]:
    """A config type as the API takes it; a schema is one document."""
    import json

    wire = schema if schema == "opaque" else {"entry": "s.json", "documents": {"s.json": json.dumps(schema)}}
    return {"name": name, "schema": wire, "format": path.rpartition(".")[2], "path": path, **more}


TYPES = (config_type("motion", "motion.yaml", MOTION), config_type("zones", "zones.json", required=False))


def release(world: World, version: str = "1.0.0", *types: dict[str, Any]) -> None:
    """Makes a release, of motion and, optional, zones unless it is said otherwise."""
    world.must("POST", "/v1/releases", {"version": version, "config_types": list(types or TYPES)})


def body(device: str = "amr-1", version: str = "1.0.0", **files: str) -> dict[str, Any]:
    """A deployment of files, by config type, as the API takes it."""
    configs = [{"config_type": name, "content": content} for name, content in files.items()]
    return {"device": device, "release": version, "configs": configs}


def order(world: World, motion: str, zones: str | None = None, **more: Any) -> str:
    """Makes a deployment of these files, ordered unless it is said otherwise."""
    files = {"motion": motion} if zones is None else {"motion": motion, "zones": zones}
    return world.must("POST", "/v1/deployments", {**body(**files), **more})["id"]


def files(world: World, deployment: str) -> dict[str, str]:
    """What is in the files of a deployment, by config type."""
    instances = world.must("GET", f"/v1/deployments/{deployment}")["config_instances"]
    return {each["config_type"]: content(world, each["id"]) for each in instances}


def content(world: World, instance: str) -> str:
    return world.api("GET", f"/v1/config-instances/{instance}/content").text


def instances(world: World, deployment: str) -> dict[str, str]:
    """The ids of the config instances of a deployment, by config type."""
    found = world.must("GET", f"/v1/deployments/{deployment}")["config_instances"]
    return {each["config_type"]: each["id"] for each in found}


def refused(world: World, path: str, given: object = None, method: str = "POST") -> tuple[int, str]:
    """Status and code of a request that is refused."""
    answer = world.api(method, path, given)
    return answer.status_code, answer.json()["code"]
