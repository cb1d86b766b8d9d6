"""The versions of JSON Schema that config schemas may be written in."""

from __future__ import annotations

import dataclasses
from typing import Any

import jsonschema

from shallop_cloud.configs import keywords


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A version of JSON Schema. ``validator`` is a class that reads linked schemas (untyped in jsonschema)."""

    name: str
    uri: str
    """What ``$schema`` says, without the empty fragment that draft 7 puts behind it."""
    validator: Any

    @property
    def ignores_siblings_of_ref(self) -> bool:
        """Whether ``$ref`` hides the keywords beside it."""
        return self is DRAFT_7


DRAFT_7 = Draft(
    "draft 7",
    "http://json-schema.org/draft-07/schema",
    keywords.validator_class(jsonschema.Draft7Validator),
)
DRAFT_2019_09 = Draft(
    "2019-09",
    "https://json-schema.org/draft/2019-09/schema",
    keywords.validator_class(jsonschema.Draft201909Validator),
)
DRAFT_2020_12 = Draft(
    "2020-12",
    "https://json-schema.org/draft/2020-12/schema",
    keywords.validator_class(jsonschema.Draft202012Validator),
)
DRAFTS = (DRAFT_7, DRAFT_2019_09, DRAFT_2020_12)
DEFAULT = DRAFT_2020_12
"""What a schema without ``$schema`` is written in."""


def named(uri: str) -> Draft | None:
    """The draft that ``$schema`` names, with or without the empty fragment, by http or https."""
    bare = uri.removesuffix("#").partition("://")[2]
    return next((draft for draft in DRAFTS if draft.uri.partition("://")[2] == bare), None)
