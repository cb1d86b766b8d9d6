"""What a directory or file holds of releases: manifests, schemas and configs, each checked as the cloud would do it.

Configs find their type by where they lie: ``configs/TYPE.yaml`` beside the manifest, or ``configs/TYPE/SLOT.yaml``
where the slot has a name. The ending may be any.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from shallop_cloud.configs import annotations, documents, drafts, linking, manifest, release_files, values
from shallop_cloud.configs.documents import Format
from shallop_cloud.configs.findings import Finding, Refused, meant
from shallop_cloud.configs.release import DEFAULT_SLOT, ConfigTypeDraft, ReleaseDraft
from shallop_cloud.configs.release_files import Directory
from shallop_cloud.configs.schemas import ConfigSchema

CONFIGS = "configs"
"""The directory beside a manifest whose files are configs."""

_YAML = (".yaml", ".yml")
_SCHEMA = (".schema.json", ".schema.yaml", ".schema.yml")
_MANIFEST = ("release.yaml", "release.yml")
_SKIPPED = frozenset({"node_modules", "__pycache__"})
_TYPES = re.compile(rb"^config_types[ \t]*:", re.MULTILINE)
_SCHEMAS = re.compile(rb"^schemas[ \t]*:", re.MULTILINE)
_VERSION = re.compile(rb"^version[ \t]*:", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one file."""

    file: str
    what: str
    """What it is: ``release 1.4.0 with 3 config types``, ``schema``, ``config of motion-control``."""
    findings: tuple[Finding, ...] = ()
    is_checked: bool = True
    """False for a file that nothing says the meaning of; ``what`` says why."""


class NothingToCheck(Exception):
    """A file that is neither a manifest nor a schema, or a directory without any. The message says so."""


def check(paths: Sequence[pathlib.Path]) -> list[Verdict]:
    """Every manifest and schema among the paths and below them, and the configs beside each sound manifest.

    What is wrong with a schema is found for each file that leads to it. Directories that begin with a dot are passed
    over.

    Raises:
        NothingToCheck: a path that has nothing of the kind.
    """
    manifests: list[pathlib.Path] = []
    schemas: list[pathlib.Path] = []
    for path in paths:
        before = len(manifests) + len(schemas)
        for file in _files(path):
            if _is_manifest(file):
                manifests.append(file)
            elif _is_schema(file):
                schemas.append(file)
        if len(manifests) + len(schemas) == before:
            raise NothingToCheck(_nothing(path))
    return [*_releases(manifests), *_standalone(schemas, manifests)]


def check_configs(path: pathlib.Path, chosen: Sequence[tuple[str, str, pathlib.Path]]) -> list[Verdict]:
    """A manifest, and config files for its slots: config type, slot and file of each.

    Raises:
        NothingToCheck: the release has no such type or slot.
    """
    verdict, draft = _release(path)
    if draft is None:
        return [verdict]
    types = {each.name: each for each in draft.config_types}
    verdicts = [verdict]
    for name, key, file in chosen:
        if name not in types:
            words = f"{path} has no config type {name!r}{meant(name, types)}; it has: {', '.join(types)}"
            raise NothingToCheck(words)
        if wrong := _no_slot(types[name], key):
            raise NothingToCheck(f"{path}: {wrong}")
        verdicts.append(_config(types[name], key, file))
    return verdicts


def _files(path: pathlib.Path) -> Iterator[pathlib.Path]:
    if not path.is_dir():
        yield path
        return
    for directory, below, names in os.walk(path):
        below[:] = sorted(each for each in below if not each.startswith(".") and each not in _SKIPPED)
        yield from (pathlib.Path(directory, name) for name in sorted(names))


def _nothing(path: pathlib.Path) -> str:
    if path.is_dir():
        return f"{path} holds no manifest (release.yaml) and no schema (*.schema.json); `shallop init` makes an example"
    return f"{path} is neither a manifest nor a schema; check a config with --release release.yaml --config TYPE={path}"


def _content(path: pathlib.Path) -> bytes:
    """The content, empty if it cannot be read: whoever checks the file will say why."""
    try:
        return release_files.read(path) or b""
    except linking.UnreadableError:
        return b""


def _is_manifest(path: pathlib.Path) -> bool:
    if path.name in _MANIFEST:
        return True
    content = _content(path) if path.name.endswith(_YAML) and not path.name.endswith(_SCHEMA) else b""
    return bool(_TYPES.search(content) or (_SCHEMAS.search(content) and _VERSION.search(content)))


def _is_schema(path: pathlib.Path) -> bool:
    if path.name.endswith(_SCHEMA):
        return True
    content = _content(path) if path.suffix == ".json" else b""
    if b'"$schema"' not in content:
        return False
    try:
        value = documents.parse(content, Format.JSON).value
    except Refused:
        return False
    return isinstance(value, values.Table) and drafts.named(str(value.get("$schema"))) is not None


def _releases(manifests: Sequence[pathlib.Path]) -> Iterator[Verdict]:
    for path in manifests:
        verdict, draft = _release(path)
        yield verdict
        if draft is not None:
            yield from _beside(path, draft)


def _release(path: pathlib.Path) -> tuple[Verdict, ReleaseDraft | None]:
    try:
        draft = manifest.read(path)
    except Refused as refused:
        return Verdict(str(path), "release", refused.findings), None
    count = len(draft.config_types)
    return Verdict(str(path), f"release {draft.version} with {count} config type{'s' if count > 1 else ''}"), draft


def _standalone(schemas: Sequence[pathlib.Path], manifests: Sequence[pathlib.Path]) -> Iterator[Verdict]:
    for path in schemas:
        above = [directory for each in manifests if (directory := Directory(each.parent)).holds(path)]
        directory = above[-1] if above else Directory.around([*schemas, *manifests])
        name = directory.name_of(path)
        try:
            annotations.read(ConfigSchema.link(name, directory.read))
            yield Verdict(directory.shown(name), "schema")
        except Refused as refused:
            found = tuple(finding.in_file(directory.shown(finding.file)) for finding in refused.findings)
            yield Verdict(directory.shown(name), "schema", found)


def _beside(path: pathlib.Path, draft: ReleaseDraft) -> Iterator[Verdict]:
    """The configs that lie beside a manifest."""
    types = {each.name: each for each in draft.config_types}
    root = path.parent / CONFIGS
    for file in _files(root) if root.is_dir() else ():
        *above, last = file.relative_to(root).parts
        stem = last.partition(".")[0]
        name, key = (above[0], stem) if len(above) == 1 else (stem, DEFAULT_SLOT)
        if len(above) > 1 or name not in types:
            hint = meant(name, types)
            yield Verdict(str(file), f"it belongs to no config type of {path}{hint}", is_checked=False)
        elif wrong := _no_slot(types[name], key):
            yield Verdict(str(file), f"config of {name}", (Finding(wrong, file=str(file)),))
        else:
            yield _config(types[name], key, file)


def _no_slot(config_type: ConfigTypeDraft, key: str) -> str:
    """What is wrong with a slot's key, empty if it is one."""
    keys = [slot.key for slot in config_type.slots]
    if key in keys:
        return ""
    name = config_type.name
    return f"config type {name!r} has no slot {key!r}{meant(key, keys)}; it has: {', '.join(keys)}"


def _config(config_type: ConfigTypeDraft, key: str, path: pathlib.Path) -> Verdict:
    what = f"config of {config_type.name}" + ("" if key == DEFAULT_SLOT else f"/{key}")
    try:
        content = release_files.existing(release_files.read(path), path.name)
    except linking.UnreadableError as error:
        return Verdict(str(path), what, (Finding(str(error), file=str(path)),))
    found = config_type.schema.check(content, config_type.format)
    return Verdict(str(path), what, tuple(finding.in_file(str(path)) for finding in found))
