"""Which file paths a release may name below a robot's configuration root.

A path is relative and POSIX: segments joined by ``/``, each one an ordinary file name. The rules are stricter than
the kernel's, so that no path can leave the root, hide a second meaning (``a//b``, ``./a``, ``a/``), or fall together
with another one on a file system that does not tell upper from lower case. The cloud checks them when a release is
made, and the robot checks them again before it writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_SEGMENT_BYTES = 255
"""NAME_MAX of Linux's file systems."""
MAX_PATH_BYTES = 1024
"""A quarter of Linux's PATH_MAX, which leaves room for the configuration root in front."""

_SHOWN = 60
_FIRST_SURROGATE = 0xD800
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class PathError(ValueError):
    """A path, or a set of paths, that a release may not contain. The message is written for people."""


def check_path(path: str) -> None:
    """Pass if ``path`` may name a file below a configuration root.

    Dotfiles such as ``.shallop/x`` are allowed; a segment that begins with ``..`` is not, wherever it stands.

    Raises:
        PathError: empty, absolute, over 1024 bytes, a segment over 255 bytes, an empty segment (``a//b``, ``a/``),
            a segment that is ``.`` or begins with ``..``, a backslash, a control character, or a lone surrogate
            (which has no UTF-8 form).
    """
    if not path:
        raise PathError("the path is empty")
    if unusable := _UNUSABLE.search(path):
        code = ord(unusable[0])
        if code >= _FIRST_SURROGATE:
            raise PathError(f"path {_shown(path)} is not valid Unicode text")
        raise PathError(f"path {_shown(path)} holds the control character U+{code:04X}")
    if "\\" in path:
        raise PathError(f"path {_shown(path)} holds a backslash: separate directories with '/'")
    if path.startswith("/"):
        raise PathError(f"path {_shown(path)} is absolute: give it relative to the robot's configuration root")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise PathError(f"path {_shown(path)} is longer than {MAX_PATH_BYTES} bytes")
    for segment in path.split("/"):
        if not segment:
            raise PathError(f"path {_shown(path)} has an empty segment: no '//' and no '/' at the end")
        if segment == ".":
            raise PathError(f"path {_shown(path)} has a segment '.': leave it out")
        if segment.startswith(".."):
            raise PathError(f"path {_shown(path)} has a segment that begins with '..'")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise PathError(f"path {_shown(path)} has a segment longer than {MAX_SEGMENT_BYTES} bytes")


def check_paths(paths: Iterable[str]) -> None:
    """Pass if each of ``paths`` may be a file, and all of them may be files of one tree.

    Raises:
        PathError: one of them is refused by `check_path`, occurs twice, differs from another only in upper and
            lower case, or would have to be a file and a directory at once (``a`` with ``a/b``, ``A`` with ``a/b``).
    """
    by_folded: dict[str, str] = {}
    for path in paths:
        check_path(path)
        folded = path.casefold()
        other = by_folded.get(folded)
        if other == path:
            raise PathError(f"path {_shown(path)} occurs twice")
        if other is not None:
            raise PathError(f"paths {_shown(other)} and {_shown(path)} differ only in upper and lower case")
        by_folded[folded] = path
    for folded, path in by_folded.items():
        cut = folded.find("/")
        while cut != -1:
            if (parent := by_folded.get(folded[:cut])) is not None:
                raise PathError(f"path {_shown(parent)} cannot be a file: {_shown(path)} needs it as a directory")
            cut = folded.find("/", cut + 1)


def _shown(path: str) -> str:
    return repr(path if len(path) <= _SHOWN else path[:_SHOWN] + "…")
