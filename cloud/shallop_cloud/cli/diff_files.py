"""Files on this machine beside those of a deployment, in the shape in which the API compares deployments."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import click

from shallop_cloud.cli import exits, parameters, sources, views
from shallop_cloud.cli.exits import Exit
from shallop_cloud.cli.parameters import Place

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json

DEVICE = "device:"


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """One of two that are compared: what the server knows it by, or a file here."""

    reference: str | None = None
    file: str | None = None

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.reference or sources.shown(self.file or "")


def side(text: str) -> Side:
    """``DPL-7K3QF``, ``device:amr-07``, or a file; ``./DPL-1`` is a file in any case."""
    if text.startswith(DEVICE):
        return Side(reference=f"{DEVICE}{parameters.key(text.removeprefix(DEVICE))}")
    if text.upper().startswith("DPL-") and "/" not in text:
        return Side(reference=parameters.key(text))
    if not text:
        raise click.BadParameter("an empty text is neither a deployment, a device nor a file")
    return Side(file=text)


@dataclasses.dataclass(frozen=True, slots=True)
class _Content:
    """The file of one side: its bytes, if it has such a file, and where they are from."""

    content: bytes | None
    about: Json
    instance: Json | None


def compared(api: Api, before: Side, after: Side, place: Place, release: str | None) -> Json:
    """A difference as ``/v1/diff`` gives it, of the one file that ``place`` names.

    Raises:
        exits.Failure: the release has no such config type, or a side cannot be read.
        click.UsageError: a file cannot be read, or no side says which release it is about.
    """
    old, new = (_read(api, each, place) for each in (before, after))
    version = release or old.about["release"] or new.about["release"]
    if version is None:
        raise click.UsageError("both sides are files: say which release they are for with --release VERSION")
    file = _file(api, place, version, old, new)
    return {"before": old.about, "after": new.about, "files": [file], "same": file["kind"] == "same"}


def _read(api: Api, side: Side, place: Place) -> _Content:
    if side.file is not None:
        return _Content(sources.data(side.file), {"deployment": None, "device_name": None, "release": None}, None)
    assert side.reference is not None
    key = side.reference
    if key.startswith(DEVICE):
        device = api.get("devices", key.removeprefix(DEVICE))
        if device["current"] is None:
            words = f"nothing is ordered for {device['name']}; shallop deployment list --device {device['name']}"
            raise exits.Failure(Exit.NOT_FOUND, words)
        key = device["current"]
    deployment = api.get("deployments", key)
    about = {"deployment": deployment["id"], **{name: deployment[name] for name in ("device_name", "release")}}
    for each in deployment["config_instances"]:
        if views.place(each) == place.place:
            content = api.content("config-instances", each["id"], "content")
            version = {"instance": each["id"], "digest": each["digest"], "size": each["size"]}
            return _Content(content, about, version)
    return _Content(None, about, None)


def _file(api: Api, place: Place, version: str, old: _Content, new: _Content) -> Json:
    from shallop_cloud.configs import MAX_BYTES, Format, diff, lines  # slow to load

    config_type, slot = _slot(api.get("releases", version), place)
    format_ = Format(config_type["format"])
    versions = [each.content for each in (old, new) if each.content is not None]
    is_text = all(len(each) <= MAX_BYTES and _is_text(each) for each in versions)
    same = old.content == new.content
    found = diff.compare(old.content, new.content, format_) if is_text else diff.FileDiff(same, same)
    if is_text:
        text = "\n".join(lines.unified(old.content, new.content))
    else:
        text = diff.binary(*((len(each), f"sha256:{hashlib.sha256(each).hexdigest()}") for each in versions))
    kind = "added" if old.content is None else "removed" if new.content is None else "changed"
    return {
        "config_type": place.config_type,
        "slot": place.slot,
        "path": slot["path"],
        "format": format_.value,
        "kind": "same" if found.same_bytes else kind,
        "before": old.instance,
        "after": new.instance,
        "same_meaning": found.same_meaning,
        "changes": [_change(each) for each in found.changes],
        "omitted": found.omitted,
        "text": text,
    }


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _change(change: Any) -> Json:
    before, after = change.before_at or (None, None), change.after_at or (None, None)
    return {
        "kind": change.kind.value,
        "pointer": change.pointer,
        "before": change.before,
        "after": change.after,
        "before_line": before[0],
        "before_column": before[1],
        "after_line": after[0],
        "after_column": after[1],
    }


def _slot(release: Json, place: Place) -> tuple[Json, Json]:
    known = {
        Place(config_type["name"], slot["key"]).place: (config_type, slot)
        for config_type in release["config_types"]
        for slot in config_type["slots"]
    }
    if place.place in known:
        return known[place.place]
    from shallop_cloud.configs.findings import meant

    hint = meant(place.place, known)
    listed = ", ".join(sorted(known)) or "none"
    raise exits.Failure(
        Exit.NOT_FOUND, f"release {release['version']} has no config type {place.place!r}{hint}; it has: {listed}"
    )
