"""Deployments as the simulated operator makes them: their files, and what becomes of them on a robot."""

from __future__ import annotations

import dataclasses
import enum

from shallop_protocol import cloud, desired, digests, ids
from shallop_protocol.desired import Instance, Manifest

from shallop_cloud.bench.simulation.disk import Tree

RELEASES = ("1.0.0", "2.0.0")
_PATHS = ("robot.yaml", "nav2/params.yaml", "nav2/maps/site.yaml")
_MODE = "0644"


class Fate(enum.StrEnum):
    """What becomes of a deployment on a robot in fair weather."""

    GOOD = "good"
    BAD_PATH = "bad path"
    BAD_CONTENT = "bad content"
    BAD_MODE = "bad mode"


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """A deployment.

    Attributes:
        tree: what a reader finds where it is in force.
    """

    manifest: Manifest
    fate: Fate
    tree: Tree

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.manifest.id

    @property
    def deployment(self) -> cloud.Deployment:
        """The deployment, as the cloud first records it."""
        return cloud.Deployment(self.manifest.id, self.manifest.release, self.manifest.digest)


def load(robot: int, number: int, fate: Fate = Fate.GOOD, release: str = RELEASES[0]) -> Load:
    """The n-th deployment for a robot. Robots and numbers count from 1."""
    deployment = ids.make(ids.Prefix.DEPLOYMENT, (robot << 40 | number).to_bytes(ids.RANDOM_BYTES, "big"))
    files = {path: f"# {deployment}\npart: {path}\n" for path in _PATHS[: 1 + number % len(_PATHS)]}
    instances = tuple(_instance(deployment, place, path, text) for place, (path, text) in enumerate(files.items()))
    first, *others = instances
    if fate is Fate.BAD_PATH:
        first = first.model_copy(update={"path": "../stolen.yaml"})
    elif fate is Fate.BAD_CONTENT:
        first = first.model_copy(update={"content": first.content.replace("part", "trap")})
    elif fate is Fate.BAD_MODE:
        first = first.model_copy(update={"mode": "0000"})
    instances = (first, *others)
    manifest = Manifest(
        id=deployment,
        release=release,
        digest=digests.of_files(instance.file for instance in instances),
        instances=instances,
    )
    tree = {instance.path: (instance.data, int(instance.mode, 8)) for instance in instances}
    return Load(manifest, fate, tree)


def _instance(deployment: str, place: int, path: str, text: str) -> Instance:
    data = text.encode()
    return desired.Instance(
        id=f"{ids.Prefix.INSTANCE.value}-{deployment[4:-1]}{place}",
        path=path,
        mode=_MODE,
        digest=digests.of_bytes(data),
        size=len(data),
        content=text,
    )
