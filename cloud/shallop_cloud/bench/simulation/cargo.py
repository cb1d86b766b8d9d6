"""Deployments as the simulated operator makes them: their files, and what becomes of them on a robot."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from shallop_protocol import cloud, desired, digests, ids
from shallop_protocol.desired import Instance, Manifest

from shallop_cloud.bench.simulation.disk import Tree

RELEASES = ("1.0.0", "2.0.0")
_PATHS = ("robot.yaml", "nav2/params.yaml", "nav2/maps/site.yaml")
_MODE = "0644"


class Fate(enum.StrEnum):
    """What becomes of a deployment on a robot in fair weather; the later ones on a robot with such a gate only."""

    GOOD = "good"
    BAD_PATH = "bad path"
    BAD_CONTENT = "bad content"
    BAD_MODE = "bad mode"
    BAD_CHECK = "fails its check"
    BAD_APPLIED = "is not taken up"
    BAD_HEALTH = "is not well"
    VETOED = "is vetoed"
    CUTS_OFF = "cuts off"
    CRASHES = "crashes"


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """A deployment.

    Attributes:
        texts: what its author wrote, by path.
        tree: what a reader finds where it is in force.
        restores: the deployment whose content it brings back, if it does.
        confirm_s: its own term, if it has one.
    """

    manifest: Manifest
    fate: Fate
    texts: Mapping[str, str]
    tree: Tree
    restores: str | None = None
    confirm_s: int | None = None

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.manifest.id

    @property
    def deployment(self) -> cloud.Deployment:
        """The deployment, as the cloud first records it."""
        return cloud.Deployment(self.manifest.id, self.manifest.release, self.manifest.digest)


def load(
    robot: int,
    number: int,
    fate: Fate = Fate.GOOD,
    release: str = RELEASES[0],
    confirm_s: int | None = None,
    *,
    by_reference: bool = False,
) -> Load:
    """The n-th deployment for a robot. Robots and numbers count from 1.

    Args:
        by_reference: all of its files but the first travel so.
    """
    deployment = _id(robot, number)
    texts = {path: _text(deployment, path) for path in _PATHS[: 1 + number % len(_PATHS)]}
    made = dataclasses.replace(_load(deployment, fate, release, texts), confirm_s=confirm_s)
    return _without_contents(made) if by_reference else made


def restored(robot: int, number: int, old: Load) -> Load:
    """The n-th deployment for a robot, which brings back the content of an earlier one."""
    made = _load(_id(robot, number), old.fate, old.manifest.release, old.texts)
    return dataclasses.replace(made, restores=old.id, confirm_s=old.confirm_s)


def patched(robot: int, number: int, old: Load) -> Load:
    """The n-th deployment for a robot: an earlier one, with another content of its last file."""
    deployment, last = _id(robot, number), [*old.texts][-1]
    texts = {**old.texts, last: _text(deployment, last)}
    return _load(deployment, old.fate, old.manifest.release, texts)


def _without_contents(made: Load) -> Load:
    first, *others = made.manifest.instances
    bare = (first, *(each.model_copy(update={"content": None}) for each in others))
    return dataclasses.replace(made, manifest=made.manifest.model_copy(update={"instances": bare}))


def _id(robot: int, number: int) -> str:
    return ids.make(ids.Prefix.DEPLOYMENT, (robot << 40 | number).to_bytes(ids.RANDOM_BYTES, "big"))


def _text(deployment: str, path: str) -> str:
    return f"# {deployment}\npart: {path}\n"


def _load(deployment: str, fate: Fate, release: str, texts: Mapping[str, str]) -> Load:
    instances = tuple(_instance(deployment, place, path, text) for place, (path, text) in enumerate(texts.items()))
    first, *others = instances
    if fate is Fate.BAD_PATH:
        first = first.model_copy(update={"path": "../stolen.yaml"})
    elif fate is Fate.BAD_CONTENT:
        first = first.model_copy(update={"content": texts[first.path].replace("part", "trap")})
    elif fate is Fate.BAD_MODE:
        first = first.model_copy(update={"mode": "0000"})
    instances = (first, *others)
    manifest = Manifest(
        id=deployment,
        release=release,
        digest=digests.of_files(instance.file for instance in instances),
        instances=instances,
    )
    tree = {instance.path: (instance.data or b"", int(instance.mode, 8)) for instance in instances}
    return Load(manifest, fate, texts, tree)


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
