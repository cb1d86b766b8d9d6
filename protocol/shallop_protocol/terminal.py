"""What is shown on a terminal: text that a terminal only shows, whoever it came from."""

from __future__ import annotations

import json
import re

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC: strings
    r"|\x1b[ -/]*[0-~]"  # the other escapes
)
"""Escape sequences of ECMA-48, in their 7-bit and 8-bit forms, whole: half of one would remain as litter."""
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""What a terminal may obey rather than show, changes of direction, what cannot be seen, and what is no character."""


def lines(text: str) -> str:
    """``text`` without any of that; its lines stay lines."""
    return UNSAFE.sub("", _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def line(text: str) -> str:
    """The same as one line."""
    return " ".join(lines(text).split("\n"))


def as_json(value: object, indent: int | None = None) -> str:
    """JSON with an escape for each of them, which can only stand in its texts."""
    text = json.dumps(value, indent=indent, default=str, ensure_ascii=False)
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
