"""Releases and config schemas."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import pydantic

from shallop_cloud.api.models.base import Shown, Taken
from shallop_cloud.configs import Format


class SchemaDocuments(Taken):
    """A JSON Schema as the texts of its files, by relative path; ``entry`` is the one to begin with."""

    entry: Annotated[str, pydantic.Field(min_length=1, max_length=1024)]
    documents: Annotated[dict[str, str], pydantic.Field(min_length=1, max_length=100)]


SlotPath = Annotated[str, pydantic.Field(min_length=1, max_length=1024, description="Below the robot's config root.")]


class NewSlot(Taken):
    """A named place where a file of a config type goes on the robot."""

    key: Annotated[str, pydantic.Field(min_length=1, max_length=64)]
    path: SlotPath
    required: bool = True


class NewConfigType(Taken):
    """A kind of configuration in a release, and where its file or files go on the robot: a path, or slots."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=64)]
    config_schema: Annotated[Literal["opaque"] | SchemaDocuments, pydantic.Field(alias="schema")]
    format: Format
    path: SlotPath | None = pydantic.Field(default=None, description="Of the one slot, `default`.")
    required: bool = True
    slots: Annotated[list[NewSlot], pydantic.Field(min_length=1, max_length=256)] | None = pydantic.Field(
        default=None, description="In place of `path` and `required`, where there is more than one."
    )

    @pydantic.model_validator(mode="after")
    def _one_choice(self) -> NewConfigType:
        if (self.path is None) == (self.slots is None):
            raise ValueError("give a path, or slots: one of the two")
        if self.slots is not None and "required" in self.model_fields_set:
            raise ValueError("'required' belongs to each of the slots")
        return self


class NewRelease(Taken):
    """A release to be made."""

    version: Annotated[str, pydantic.Field(min_length=1, max_length=128)]
    git_commit: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    config_types: Annotated[list[NewConfigType], pydantic.Field(min_length=1, max_length=256)]


class Slot(Shown):
    """A named place of a config type where an instance goes."""

    key: str
    path: str
    required: bool


class ConfigType(Shown):
    """A kind of configuration in a release."""

    name: str
    format: Format
    schema_id: str
    schema_digest: str
    slots: list[Slot]


class Release(Shown):
    """An immutable set of config schemas."""

    id: str
    version: str
    git_commit: str | None
    created_at: datetime.datetime
    created_by: str
    config_types: list[ConfigType]


class ConfigSchema(Shown):
    """What instances of a config type must satisfy: ``opaque``, or the texts of JSON Schema files."""

    id: str
    digest: str
    definition: Any = pydantic.Field(description="``opaque``, or an object with ``entry`` and ``documents``.")
    created_at: datetime.datetime
