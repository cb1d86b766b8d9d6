"""Where a ``$ref`` leads: to a file of the release by relative path, and to a place in it. Never anywhere else."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from shallop_protocol import paths

from shallop_cloud.configs import values
from shallop_cloud.configs.findings import Path

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|/")


class AddressError(Exception):
    """A reference that leads nowhere, or where it must not. The message is written for people."""


def target(reference: str, base: str, base_id: str) -> tuple[str, str]:
    """The path of the file that a reference means, and the fragment, decoded.

    ``base`` is the path of the file that the reference stands in, and ``base_id`` its ``$id``: a file may call
    itself by its ``$id``, and all others are called by their path relative to it.

    Raises:
        AddressError: another URL, an absolute path, a path above the release's directory or otherwise unfit.
    """
    address, _, fragment = reference.partition("#")
    fragment = urllib.parse.unquote(fragment)
    if not address or (base_id and urllib.parse.urljoin(base_id, address) == base_id):
        return base, fragment
    if _SCHEME.match(address):
        raise AddressError(
            f"$ref {values.show(address)} leads out of the release: "
            "only files of the release can be referred to, by relative path"
        )
    path = _joined(base, urllib.parse.unquote(address))
    try:
        paths.check_path(path)
    except paths.PathError as error:
        raise AddressError(f"$ref {values.show(address)}: {error}") from None
    return path, fragment


def _joined(base: str, address: str) -> str:
    segments = base.split("/")[:-1]
    for segment in address.split("/"):
        if segment != "..":
            segments += [segment] if segment != "." else []
        elif segments:
            segments.pop()
        else:
            raise AddressError(f"$ref {values.show(address)} leads above the release's directory")
    return "/".join(segments)


def walk(root: Any, pointer: str) -> Path | None:
    """The path that a JSON pointer means below ``root``, None if it leads nowhere."""
    value, path = root, ()
    for escaped in pointer.split("/")[1:]:
        step: str | int = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(value, values.Row) and step.isdecimal() and int(step) < len(value):
            step = int(step)
            value = value[step]
        elif isinstance(value, values.Table) and step in value:
            value = value[step]
        else:
            return None
        path = (*path, step)
    return path
