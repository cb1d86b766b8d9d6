"""A release on disk: ``release.yaml``, and the schema files beside and below it."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

from shallop_cloud.configs import documents, findings, linking, values
from shallop_cloud.configs.documents import Document, Format
from shallop_cloud.configs.findings import Finding, Path, Refused
from shallop_cloud.configs.release import ConfigTypeDraft, ReleaseDraft, problems
from shallop_cloud.configs.schemas import OPAQUE, ConfigSchema

_GIT_SECONDS = 10


def read(path: pathlib.Path) -> ReleaseDraft:
    """The release that a manifest describes, with its schemas and the git commit that it lies in.

    Raises:
        Refused: every finding carries the file's name (the manifest's as given, schema files by the same
            directory), so that it can be printed as it is.
    """
    document = _document(path)
    shape = _shape().validate(document)
    if shape:
        raise Refused(finding.in_file(str(path)) for finding in shape)
    found: list[Finding] = []
    types: list[ConfigTypeDraft] = []
    for name, entry in document.value["config_types"].items():
        schema = ConfigSchema.opaque()
        try:
            schema = _schema(path, document, name, entry["schema"])
        except Refused as refused:
            found += refused.findings
        required = entry.get("required", True)
        types.append(ConfigTypeDraft(name, schema, Format(entry["format"]), entry["path"], required))
    version = document.value["version"]
    spelled = version if isinstance(version, str) else values.show(version)
    draft = ReleaseDraft(spelled, tuple(types), _git_commit(path.parent))
    found += [_finding(path, document, at, message) for at, message in problems(draft)]
    if found:
        raise Refused(dict.fromkeys(found))
    return draft


@functools.cache
def _shape() -> ConfigSchema:
    """The schema of manifests. What depends on more than one place is left to `release.problems`."""
    text: dict[str, Any] = {"type": "string"}
    config_type = {
        "type": "object",
        "properties": {
            "schema": text,
            "format": {"enum": [each.value for each in Format]},
            "path": text,
            "required": {"type": "boolean"},
        },
        "required": ["schema", "format", "path"],
        "additionalProperties": False,
    }
    manifest = {
        "type": "object",
        "properties": {"version": True, "config_types": {"type": "object", "additionalProperties": config_type}},
        "required": ["version", "config_types"],
        "additionalProperties": False,
    }
    return ConfigSchema.from_json({"entry": "release.json", "documents": {"release.json": json.dumps(manifest)}})


def _document(path: pathlib.Path) -> Document:
    try:
        return documents.parse(_existing(_read(path), path.name), Format.YAML)
    except linking.UnreadableError as error:
        raise Refused([Finding(str(error), file=str(path))]) from None
    except Refused as refused:
        raise Refused(finding.in_file(str(path)) for finding in refused.findings) from None


def _finding(path: pathlib.Path, document: Document, at: Path, message: str) -> Finding:
    return Finding(message, findings.pointer_of(at), *document.position(at), str(path))


def _schema(path: pathlib.Path, document: Document, name: str, entry: str) -> ConfigSchema:
    if entry == OPAQUE:
        return ConfigSchema.opaque()
    directory = path.parent
    fetch = functools.partial(_read_below, directory)
    try:
        _existing(fetch(entry), entry)
        return ConfigSchema.link(entry, fetch)
    except linking.UnreadableError as error:
        raise Refused([_finding(path, document, ("config_types", name, "schema"), str(error))]) from None
    except Refused as refused:
        raise Refused(finding.in_file(str(directory / finding.file)) for finding in refused.findings) from None


def _read_below(directory: pathlib.Path, name: str) -> bytes | None:
    """A file's content by its path below the manifest's directory, None if it is not there.

    Raises:
        UnreadableError: it leads out of the directory (also by a symlink), or cannot be read.
    """
    path = directory / name
    try:
        inside = path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of symlinks, a name that no file can have
        raise linking.UnreadableError(f"{values.show(name)} cannot be read: {error}") from None
    if not inside:
        raise linking.UnreadableError(f"{values.show(name)} leads out of the manifest's directory")
    return _read(path)


def _existing(content: bytes | None, name: str) -> bytes:
    if content is None:
        raise linking.UnreadableError(f"there is no file {name}")
    return content


def _read(path: pathlib.Path) -> bytes | None:
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise linking.UnreadableError(f"{path.name} is not a regular file")
        if path.stat().st_size > linking.MAX_BYTES:
            raise linking.UnreadableError(f"{path.name} is larger than {linking.MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise linking.UnreadableError(f"{path.name} cannot be read: {error.strerror}") from None


def _git_commit(directory: pathlib.Path) -> str | None:
    """The commit checked out where the manifest lies; None outside of a repository, or without git."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(directory), "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    commit = done.stdout.strip()
    return commit if done.returncode == 0 and re.fullmatch("[0-9a-f]{40}", commit) else None
