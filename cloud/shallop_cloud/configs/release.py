"""What a release says before the cloud has given it an id: a version, and the config types with their schemas."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from shallop_protocol import paths

from shallop_cloud.configs import values
from shallop_cloud.configs.documents import Format
from shallop_cloud.configs.findings import Path
from shallop_cloud.configs.schemas import ConfigSchema

MAX_CONFIG_TYPES = 200
MAX_SLOTS = 256
"""How many slots the config types of a release may have together."""
DEFAULT_SLOT = "default"
"""The key of the slot of a config type that has but one, unless its author says otherwise."""
MAX_VERSION = 128
"""How many characters a version may have."""

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_NUMBER = r"(0|[1-9][0-9]*)"
_PRERELEASE = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(-{_PRERELEASE}(\.{_PRERELEASE})*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?\Z"
)
"""Semantic Versioning 2.0.0, sections 2, 9 and 10."""


@dataclasses.dataclass(frozen=True, slots=True)
class SlotDraft:
    """A named place of a config type where an instance goes."""

    key: str
    path: str
    """Under the robot's configuration root."""
    required: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigTypeDraft:
    """A config type in a release: what its instances must satisfy, and where they go on the robot."""

    name: str
    schema: ConfigSchema
    format: Format
    slots: tuple[SlotDraft, ...]
    """At least one."""

    @property
    def has_one_place(self) -> bool:
        """Whether its one slot needs no name."""
        return [slot.key for slot in self.slots] == [DEFAULT_SLOT]

    def to_json(self) -> dict[str, Any]:
        """As the API takes it."""
        common = {"name": self.name, "schema": self.schema.to_json(), "format": self.format.value}
        if self.has_one_place:
            return {**common, "path": self.slots[0].path, "required": self.slots[0].required}
        return {**common, "slots": [dataclasses.asdict(slot) for slot in self.slots]}


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseDraft:
    """A release as its author states it."""

    version: str
    config_types: tuple[ConfigTypeDraft, ...]
    git_commit: str | None = None
    """The commit that it was made from, 40 hex digits."""

    def to_json(self) -> dict[str, Any]:
        """As the API takes it."""
        types = [each.to_json() for each in self.config_types]
        return {"version": self.version, "git_commit": self.git_commit, "config_types": types}


def problems(draft: ReleaseDraft) -> list[tuple[Path, str]]:
    """What is wrong with a draft as a whole: place (as in release.yaml) and message. Its schemas are sound already.

    The version is a semantic one, names and keys are slugs and unique, all paths can exist side by side, and a type
    without structure (``text``) has no schema but ``opaque``. The command line asks before it sends, the cloud on
    receipt.
    """
    found: list[tuple[Path, str]] = []
    if len(draft.version) > MAX_VERSION or not _SEMVER.match(draft.version):
        message = f"{values.show(values.text(draft.version))} is not a semantic version such as 1.4.0 or 2.0.0-rc.1"
        found.append((("version",), message))
    if draft.git_commit is not None and not _COMMIT.match(draft.git_commit):
        found.append((("git_commit",), "a git commit is 40 hex digits"))
    if not 1 <= len(draft.config_types) <= MAX_CONFIG_TYPES:
        found.append((("config_types",), f"a release has 1 to {MAX_CONFIG_TYPES} config types"))
        return found
    if sum(len(each.slots) for each in draft.config_types) > MAX_SLOTS:
        found.append((("config_types",), f"a release has at most {MAX_SLOTS} slots, all its types together"))
        return found
    names: set[str] = set()
    earlier: list[str] = []
    for each in draft.config_types:
        at = ("config_types", each.name)
        if not _SLUG.match(each.name):
            message = "a config type's name is 1 to 64 of a-z, 0-9 and '-', with no '-' at either end"
            found.append((at, message))
        if each.name in names:
            found.append((at, f"config type {each.name!r} occurs twice"))
        names.add(each.name)
        if each.format is Format.TEXT and not each.schema.is_opaque:
            found.append(((*at, "schema"), "a text has no structure to check: its schema can only be opaque"))
        found += _slot_problems(each, at, earlier)
    return found


def _slot_problems(config_type: ConfigTypeDraft, at: Path, earlier: list[str]) -> Iterator[tuple[Path, str]]:
    """What is wrong with the slots of a type. ``earlier`` are the paths of slots before them, and gets theirs."""
    if not config_type.slots:
        yield (*at, "slots"), "a config type has at least one slot"
    keys: set[str] = set()
    for slot in config_type.slots:
        place = at if config_type.has_one_place else (*at, "slots", slot.key)
        if not _SLUG.match(slot.key):
            yield place, "a slot's key is 1 to 64 of a-z, 0-9 and '-', with no '-' at either end"
        if slot.key in keys:
            yield place, f"slot {slot.key!r} occurs twice"
        keys.add(slot.key)
        try:
            paths.check_paths([*earlier, slot.path])
            earlier.append(slot.path)
        except paths.PathError as error:
            yield (*place, "path"), str(error)
