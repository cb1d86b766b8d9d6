"""A release as its author states it: in a manifest, ``release.yaml``, and in what the schemas say of themselves."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from shallop_cloud.configs import annotations, documents, findings, linking, release_files, values
from shallop_cloud.configs.annotations import PREFIX, Stated
from shallop_cloud.configs.documents import Document, Format
from shallop_cloud.configs.findings import Finding, Path, Refused
from shallop_cloud.configs.release import DEFAULT_SLOT, ConfigTypeDraft, ReleaseDraft, SlotDraft, problems
from shallop_cloud.configs.release_files import Directory
from shallop_cloud.configs.schemas import OPAQUE, ConfigSchema


def read(path: pathlib.Path) -> ReleaseDraft:
    """The release that a manifest describes, with its schemas and the git commit that it lies in.

    Raises:
        Refused: every finding carries the file's name (the manifest's as given, schema files by the same
            directory), so that it can be printed as it is.
    """
    document = _document(path)
    manifest: dict[str, Any] = document.value
    gathered = _Gathered(Directory(path.parent), _Written(str(path), document))
    for name, entry in manifest.get("config_types", {}).items():
        gathered.take_entry(name, entry)
    for index, schema in enumerate(manifest.get("schemas", [])):
        gathered.take_schema(schema, ("schemas", index))
    version = manifest["version"]
    return gathered.draft(version if isinstance(version, str) else values.show(version))


def read_schemas(version: str, files: Sequence[pathlib.Path]) -> ReleaseDraft:
    """The release that schemas make without a manifest: their annotations say all of it.

    Schemas are known by their paths from the working directory, or from the nearest one that holds all of them.

    Raises:
        Refused: every finding carries the schema file's name; one about the version has no place.
    """
    directory = Directory.around(files)
    gathered = _Gathered(directory, None)
    for file in files:
        gathered.take_schema(directory.name_of(file), ())
    return gathered.draft(version)


@functools.cache
def _shape() -> ConfigSchema:
    """The schema of manifests. What depends on more than one place is left to the code below."""
    text: dict[str, Any] = {"type": "string"}
    slot = {
        "type": "object",
        "properties": {"path": text, "required": {"type": "boolean"}},
        "required": ["path"],
        "additionalProperties": False,
    }
    config_type = {
        "type": "object",
        "properties": {
            "schema": text,
            "format": {"enum": [each.value for each in Format]},
            "path": text,
            "required": {"type": "boolean"},
            "slots": {"type": "object", "additionalProperties": slot, "minProperties": 1},
        },
        "required": ["schema"],
        "additionalProperties": False,
    }
    manifest = {
        "type": "object",
        "properties": {
            "version": True,
            "config_types": {"type": "object", "additionalProperties": config_type},
            "schemas": {"type": "array", "items": text},
        },
        "required": ["version"],
        "additionalProperties": False,
    }
    return ConfigSchema.from_json({"entry": "release.json", "documents": {"release.json": json.dumps(manifest)}})


def _document(path: pathlib.Path) -> Document:
    try:
        document = documents.parse(release_files.existing(release_files.read(path), path.name), Format.YAML)
    except linking.UnreadableError as error:
        raise Refused([Finding(str(error), file=str(path))]) from None
    except Refused as refused:
        raise Refused(finding.in_file(str(path)) for finding in refused.findings) from None
    wrong = _shape().validate(document)
    if isinstance(document.value, values.Table) and not document.value.keys() & {"config_types", "schemas"}:
        message = "required key 'config_types' is missing, or 'schemas' in its place"
        wrong.append(Finding(message, "", *document.start))
    if wrong:
        raise Refused(finding.in_file(str(path)) for finding in wrong)
    return document


@dataclasses.dataclass(frozen=True, slots=True)
class _Written:
    """A manifest."""

    file: str
    document: Document

    def finding(self, at: Path, message: str) -> Finding:
        return Finding(message, findings.pointer_of(at), *self.document.position(at), self.file)


@dataclasses.dataclass(frozen=True, slots=True)
class _Annotated:
    """A schema that was read, with its annotations. ``name`` is its path below the release's directory."""

    schema: ConfigSchema
    name: str
    shown: str
    facts: Mapping[str, Stated] = dataclasses.field(default_factory=dict[str, Stated])

    def finding(self, fact: str, message: str) -> Finding:
        pointer = findings.pointer_of((PREFIX + fact,))
        return Finding(message, pointer, *self.facts[fact].at, self.shown)

    def place(self, fact: str) -> str:
        at = self.facts[fact].at
        return f"{PREFIX}{fact} in {self.name}:{at.line}:{at.column}"


class _Gathered:
    """A release on its way: its config types, what was found to be wrong, and where each fact was stated."""

    def __init__(self, directory: Directory, manifest: _Written | None) -> None:
        self._directory = directory
        self._manifest = manifest
        self._types: list[ConfigTypeDraft] = []
        self._found: list[Finding] = []
        self._annotations: dict[Path, tuple[_Annotated, str]] = {}
        """The places of the draft that a schema states, and by which fact."""
        self._elsewhere: dict[Path, Path] = {}
        """Places of the draft that stand elsewhere in the manifest."""

    def draft(self, version: str) -> ReleaseDraft:
        """The release.

        Raises:
            Refused: anything was found to be wrong.
        """
        draft = ReleaseDraft(version, tuple(self._types), self._directory.git_commit())
        if self._types or not self._found:
            self._found += (self._finding(at, message) for at, message in problems(draft))
        if self._found:
            raise Refused(dict.fromkeys(self._found))
        return draft

    def take_schema(self, name: str, at: Path) -> None:
        """A config type that its schema states alone. ``at`` is where the manifest names the schema."""
        annotated = self._read(name, at)
        if annotated is None:
            return
        missing = [PREFIX + fact for fact in ("config-type", "path", "format") if fact not in annotated.facts]
        if missing:
            message = f"the schema does not state {', '.join(missing)}: add it, or list the schema under config_types"
            self._found.append(Finding(message, file=annotated.shown))
            return
        config_type = str(annotated.facts["config-type"].value)
        place = ("config_types", config_type)
        self._annotations[place] = annotated, "config-type"
        self._add(config_type, annotated, {}, place)

    def take_entry(self, name: str, entry: Mapping[str, Any]) -> None:
        """A config type of the manifest, with what its schema adds."""
        place = ("config_types", name)
        found = self._read(entry["schema"], (*place, "schema"))
        annotated = found or _Annotated(ConfigSchema.opaque(), OPAQUE, OPAQUE)
        if "slots" in entry:
            for key in entry.keys() & {"path", "required"}:
                self._report((*place, key), f"{key!r} belongs to each of the slots here")
        missing = [key for key in ("path", "format") if key not in entry and key not in annotated.facts]
        missing = [key for key in missing if key != "path" or "slots" not in entry]
        for key in missing if found else ():
            where = "" if annotated.schema.is_opaque else f": write it here, or as {PREFIX}{key} in {annotated.name}"
            self._report(place, f"required key {key!r} is missing{where}")
        self._contradictions({"config-type": name, **entry}, annotated, place)
        if not missing:
            self._add(name, annotated, entry, place)

    def _contradictions(self, entry: Mapping[str, Any], annotated: _Annotated, place: Path) -> None:
        for fact, stated in annotated.facts.items():
            at = place if fact == "config-type" else (*place, fact)
            if fact in ("path", "required") and "slots" in entry:
                self._report((*place, "slots"), f"'slots' here contradicts {annotated.place(fact)}: leave one out")
            elif fact in entry and entry[fact] != stated.value:
                here, there = values.show(entry[fact]), values.show(stated.value)
                self._report(at, f"{here} here contradicts {there}, which is {annotated.place(fact)}")

    def _add(self, name: str, annotated: _Annotated, entry: Mapping[str, Any], place: Path) -> None:
        def fact(key: str, otherwise: Any = None) -> Any:
            if key not in entry and key in annotated.facts:
                self._annotations[(*place, key)] = annotated, key
                return annotated.facts[key].value
            return entry.get(key, otherwise)

        kind = Format(fact("format"))
        if "slots" in entry:
            slots = [SlotDraft(key, each["path"], each.get("required", True)) for key, each in entry["slots"].items()]
            self._elsewhere[(*place, "path")] = (*place, "slots", DEFAULT_SLOT, "path")
        else:
            slots = [SlotDraft(DEFAULT_SLOT, fact("path"), fact("required", True))]
        self._types.append(ConfigTypeDraft(name, annotated.schema, kind, tuple(slots)))

    def _read(self, name: str, at: Path) -> _Annotated | None:
        """A schema with its annotations; None if it was found to be wrong."""
        if name == OPAQUE:
            return _Annotated(ConfigSchema.opaque(), name, name)
        try:
            self._directory.existing(name)
            schema = ConfigSchema.link(name, self._directory.read)
            return _Annotated(schema, name, self._directory.shown(name), annotations.read(schema))
        except linking.UnreadableError as error:
            shown = self._directory.shown(name)
            self._found.append(
                self._manifest.finding(at, str(error)) if self._manifest else Finding(str(error), file=shown)
            )
        except Refused as refused:
            self._found += (finding.in_file(self._directory.shown(finding.file)) for finding in refused.findings)
        return None

    def _report(self, at: Path, message: str) -> None:
        self._found.append(self._finding(at, message))

    def _finding(self, at: Path, message: str) -> Finding:
        if (annotation := self._annotations.get(at)) is not None:
            annotated, fact = annotation
            return annotated.finding(fact, message)
        at = self._elsewhere.get(at, at)
        if self._manifest is None:
            return Finding(message, findings.pointer_of(at), 0, 0)
        return self._manifest.finding(at, message)
