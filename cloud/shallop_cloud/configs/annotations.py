"""What a schema says of the files that it is for: ``x-shallop-…`` at the root of its entry document.

They stand in for a manifest, or for parts of it. JSON Schema itself ignores them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

from shallop_cloud.configs import documents, findings, values
from shallop_cloud.configs.documents import Format
from shallop_cloud.configs.findings import Finding, Position, Refused, meant
from shallop_cloud.configs.schemas import ConfigSchema

PREFIX = "x-shallop-"


@dataclasses.dataclass(frozen=True, slots=True)
class Stated:
    """A fact, and where in the schema it is stated."""

    value: Any
    """A text, or of ``required`` a boolean."""
    at: Position


def read(schema: ConfigSchema) -> dict[str, Stated]:
    """What a schema states: ``config-type``, ``path``, ``format`` and ``required``, as far as it does.

    Raises:
        Refused: an annotation that there is not, or a value that it cannot have; ``file`` is the schema file's path.
    """
    if schema.entry is None:
        return {}
    content = dict(schema.files)[schema.entry].encode()
    kind = Format.JSON if schema.entry.endswith(".json") else Format.YAML
    document = documents.parse(content, kind)
    root = document.value if isinstance(document.value, values.Table) else values.Table()
    own = {key.removeprefix(PREFIX): key for key in root if key.startswith(PREFIX)}
    found = _shape().validate(document)
    for name in own.keys() - _FACTS.keys():
        hint = meant(own[name], (PREFIX + fact for fact in _FACTS))
        message = f"there is no annotation {values.show(own[name])}{hint}"
        found.append(Finding(message, findings.pointer_of((own[name],)), *root.marks[own[name]]))
    if found:
        raise Refused(finding.in_file(schema.entry) for finding in found)
    return {name: Stated(root[key], root.marks[key]) for name, key in own.items()}


_FACTS: dict[str, dict[str, Any]] = {
    "config-type": {"type": "string"},
    "path": {"type": "string"},
    "format": {"enum": [each.value for each in Format]},
    "required": {"type": "boolean"},
}


@functools.cache
def _shape() -> ConfigSchema:
    shape = {"properties": {PREFIX + fact: schema for fact, schema in _FACTS.items()}}
    return ConfigSchema.from_json({"entry": "shape.json", "documents": {"shape.json": json.dumps(shape)}})
