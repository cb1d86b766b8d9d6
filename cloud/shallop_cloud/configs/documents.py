"""Bytes in, a parsed document out: how a config file is read before anything judges its content.

The bytes themselves are never changed here; comments, key order and ``1.0`` versus ``1`` are the author's.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from shallop_cloud.configs import findings, strict_json, values, yaml12

MAX_BYTES = 1 << 20
"""The default limit on a document's size."""


class Format(str, enum.Enum):
    """How a config file is written."""

    JSON = "json"
    YAML = "yaml"
    TEXT = "text"
    """Any UTF-8 text; it has no structure to judge."""


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A parsed document. ``value`` is made of dict, list, str, int, float, bool and None; of a text it is the text."""

    format: Format
    value: Any = dataclasses.field(repr=False)
    start: findings.Position = findings.START
    """Where the outermost value begins."""

    def position(self, path: findings.Path) -> findings.Position:
        """Where the entry at ``path`` is written: its key, or the value itself where there is none (items, the root).

        For a path that leads to nothing, it is the place of the nearest entry above.
        """
        mark, value = self.start, self.value
        for part in path:
            match value, part:
                case values.Table(), str() if part in value:
                    mark, value = value.marks[part], value[part]
                case values.Row(), int() if part < len(value):
                    mark, value = value.marks[part], value[part]
                case _:
                    break
        return mark


def parse(content: bytes, format: Format, *, max_bytes: int = MAX_BYTES, any_keys: bool = False) -> Document:  # noqa: A002
    """Read a document.

    NaN and infinity are ordinary in YAML (robots use ``.inf`` for "no limit") and refused in JSON. With
    ``any_keys``, YAML keys that are not text are tolerated: for files under an opaque schema.

    Raises:
        Refused: over ``max_bytes``, not UTF-8, a NUL character, or not well-formed in its format.
    """
    text = decode(content, max_bytes=max_bytes)
    match format:
        case Format.JSON:
            return Document(format, *strict_json.load(text))
        case Format.YAML:
            return Document(format, *yaml12.load(text, any_keys=any_keys))
        case Format.TEXT:
            return Document(format, text)


def decode(content: bytes, *, max_bytes: int = MAX_BYTES) -> str:
    """The text of a file's bytes.

    Raises:
        Refused: over ``max_bytes``, not UTF-8, or with a NUL character.
    """
    if len(content) > max_bytes:
        raise findings.Refused([findings.Finding(f"{len(content)} bytes is too large: at most {max_bytes}")])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        place = findings.position_in(before, len(before))
        message = f"not UTF-8 text: byte 0x{content[error.start]:02X}"
        raise findings.Refused([findings.Finding(message, "", *place)]) from None
    if (nul := text.find("\0")) != -1:
        place = findings.position_in(text, nul)
        raise findings.Refused([findings.Finding("a NUL character is not allowed in a config file", "", *place)])
    return text
