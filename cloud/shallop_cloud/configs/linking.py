"""Schema files become one schema: read, checked against the specification, and tied together.

Linking replaces each ``$ref`` by the schema that it leads to. After it there is nothing left to look up, so a
validator cannot reach for the network or the disk, and cannot meet a reference that leads nowhere. On the way
everything that could hurt later is refused: references without end, patterns that run away, more than the limits.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import math
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, cast

import jsonschema_specifications  # pyright: ignore[reportMissingTypeStubs]
import referencing
from shallop_protocol import paths

from shallop_cloud.configs import addresses, chains, documents, drafts, findings, judging, keywords, patterns, values
from shallop_cloud.configs.budget import Budget, share
from shallop_cloud.configs.documents import Document, Format
from shallop_cloud.configs.findings import Finding, Path, Refused
from shallop_cloud.configs.regex_syntax import PatternError

MAX_FILES = 100
MAX_BYTES = 1 << 20
"""Limits on the files of one schema, together."""
MAX_PATTERN_SIZE = 20_000
"""Limit on the sizes of all patterns of a schema, together (see `patterns.MAX_SIZE`)."""
_PATTERN_COST = 40
"""What a pattern adds to that even if it is short: compiling it takes a tenth of a millisecond."""

Fetch = Callable[[str], bytes | None]
"""Gives a file's content by its path, None if there is no such file. Raises `UnreadableError`."""


class UnreadableError(Exception):
    """A schema file that is not there or may not be read. The message says why."""


@dataclasses.dataclass(slots=True)
class Allowance:
    """What schemas that come together may still cost; each has limits of its own besides.

    Attributes:
        work: steps of judging them, about four seconds.
        patterns: the sizes of their patterns.
    """

    work: Budget = dataclasses.field(default_factory=lambda: Budget(8 * judging.WORK))
    patterns: int = 5 * MAX_PATTERN_SIZE

    @property
    def is_spent(self) -> bool:
        """Whether nothing more can be afforded."""
        return self.work.left <= 0 or self.patterns <= 0


@dataclasses.dataclass(frozen=True, slots=True)
class Linked:
    """The outcome of linking."""

    validator: Any
    """Ready for `judging.judge`; it may be shared between threads."""
    files: dict[str, bytes]
    """The files that the schema is made of, as they were read, by path."""


def link(entry: str, fetch: Fetch, allowance: Allowance | None = None) -> Linked:
    """Read the schema at ``entry`` and all that it refers to.

    Raises:
        Refused: with a finding for each thing that is wrong, ``file`` being the path of the schema file.
    """
    shared = allowance or Allowance()
    linker = _Linker(entry, fetch)
    linker.patterns_left = min(MAX_PATTERN_SIZE, shared.patterns)
    try:
        paths.check_path(entry)
        with share(shared.work, 2 * judging.WORK) as linker.budget:
            root = linker.link()
    except (paths.PathError, UnreadableError) as error:
        raise Refused([*linker.found, Finding(str(error), file=entry)]) from None
    finally:
        shared.patterns -= min(MAX_PATTERN_SIZE, shared.patterns) - linker.patterns_left
    if linker.found:
        raise Refused(sorted(dict.fromkeys(linker.found), key=lambda each: (each.file, each.line, each.column)))
    return Linked(_validator(linker.draft, root), linker.contents)


def _validator(draft: drafts.Draft, root: Any) -> Any:
    # An empty registry, though nothing is left to look up in it: the default one fetches over the network.
    return draft.validator(root, registry=referencing.Registry[Any]())


@functools.cache
def _metaschema(draft: drafts.Draft) -> Any:
    """The validator of a draft's schemas. The specification's own files are linked like any other."""

    def fetch(path: str) -> bytes:
        published = jsonschema_specifications.REGISTRY.contents(urllib.parse.urljoin(draft.uri, path))
        return json.dumps(published).encode()

    linker = _Linker("schema", fetch, trusted=True)
    linker.draft = draft
    return _validator(draft, linker.link())


_ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
_SEVERAL = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "properties"})
_PLAIN = frozenset(
    {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf", "type"}
    | {"maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength", "minProperties"}
    | {"dependentRequired", "required", "uniqueItems"}
)
_DYNAMIC = frozenset({"$dynamicRef", "$recursiveRef"})
_ANCHOR = re.compile(r"#[A-Za-z_][-A-Za-z0-9._]*\Z")


@dataclasses.dataclass(slots=True)
class _File:
    path: str
    document: Document
    id: str
    anchors: dict[str, Path] = dataclasses.field(default_factory=dict[str, Path])


@dataclasses.dataclass(frozen=True, slots=True)
class _Reference:
    schema: values.Table
    file: _File
    path: Path
    """Where the ``$ref`` stands."""
    target: str


class _Linker:
    def __init__(self, entry: str, fetch: Fetch, *, trusted: bool = False) -> None:
        self.found: list[Finding] = []
        self.contents: dict[str, bytes] = {}
        self.draft = drafts.DEFAULT
        self._entry = entry
        self._fetch = fetch
        self._trusted = trusted
        """Whether these are the specification's files, which need no check and may refer dynamically to the entry."""
        self._files: dict[str, _File | None] = {}
        self._linked: dict[tuple[str, Path], Any] = {}
        self._pending: collections.deque[_Reference] = collections.deque()
        self.patterns_left = MAX_PATTERN_SIZE
        self.budget = Budget(2 * judging.WORK)

    def link(self) -> Any:
        """The linked schema of the entry; it is of use only if nothing was ``found``."""
        self._open(self._entry)
        while self._pending:
            reference = self._pending.popleft()
            reference.schema["$ref"] = self._follow(reference)
        if not self.found:
            self._check_chains()
        return self._linked.get((self._entry, ()), True)

    def _report(self, file: _File, path: Path, message: str) -> None:
        self.found.append(Finding(message, findings.pointer_of(path), *file.document.position(path), file.path))

    def _check_chains(self) -> None:
        try:
            chains.check(self._linked.values())
        except chains.ChainError as error:
            name, path = next(place for place, schema in self._linked.items() if schema is error.schema)
            if file := self._files[name]:
                self._report(file, path, str(error))

    # Files

    def _open(self, path: str) -> _File | None:
        """The file at ``path``, linked; None if it has findings, which are noted.

        Raises:
            UnreadableError: not there, or not to be read.
        """
        if path not in self._files:
            content = self._content(path)
            self._files[path] = None
            try:
                self._files[path] = self._read(path, content)
            except Refused as refused:
                self.found += [finding.in_file(path) for finding in refused.findings]
        return self._files[path]

    def _content(self, path: str) -> bytes:
        if len(self.contents) >= MAX_FILES:
            raise UnreadableError(f"the schema has more than {MAX_FILES} files")
        content = self._fetch(path)
        if content is None:
            raise UnreadableError(f"there is no file {path}")
        self.contents[path] = content
        if sum(len(each) for each in self.contents.values()) > MAX_BYTES:
            raise UnreadableError(f"the schema's files are larger than {MAX_BYTES} bytes together")
        return content

    def _read(self, path: str, content: bytes) -> _File:
        yaml = path.endswith((".yaml", ".yml"))
        if not yaml and not path.endswith(".json") and not self._trusted:
            raise Refused([Finding("a schema file's name must end in .json, .yaml or .yml")])
        document = documents.parse(content, Format.YAML if yaml else Format.JSON, max_bytes=MAX_BYTES)
        if not self._trusted:
            self._check(path, document)
        root = document.value if isinstance(document.value, values.Table) else values.Table()
        file = _File(path, document, root.get("$id", "").removesuffix("#"))
        self._schema(file, (), document.value)
        return file

    def _check(self, path: str, document: Document) -> None:
        for at in _not_finite(document.value, ()):
            message = "a schema cannot hold NaN or infinity"
            raise Refused([Finding(message, findings.pointer_of(at), *document.position(at))])
        draft = _draft_of(document)
        if path == self._entry:
            self.draft = draft or drafts.DEFAULT
        elif draft not in (None, self.draft):
            message = f"all files of a schema use one version: {self._entry} uses {self.draft.name}"
            raise Refused([Finding(message, "/$schema", *document.position(("$schema",)))])
        if wrong := judging.judge(_metaschema(self.draft), document, budget=self.budget):
            raise Refused(wrong)

    # Schemas within a file

    def _schema(self, file: _File, path: Path, raw: Any) -> Any:
        """The linked form of the schema at ``path``, with its references still to be followed."""
        if isinstance(raw, bool):
            self._linked[file.path, path] = raw
            return raw
        schema = values.Table()
        self._linked[file.path, path] = schema
        for keyword, value in raw.items():
            self._keyword(file, (*path, keyword), schema, keyword, value)
        if "$ref" in schema and self.draft.ignores_siblings_of_ref:
            for sibling in schema.keys() - {"$ref"}:
                del schema[sibling]
        return schema

    def _keyword(self, file: _File, path: Path, schema: values.Table, keyword: str, value: Any) -> None:
        if keyword == "$ref":
            schema["$ref"] = True
            self._pending.append(_Reference(schema, file, path, value))
        elif keyword in _DYNAMIC:
            self._dynamic(file, path, schema, keyword)
        elif keyword in ("$id", "$anchor", "$dynamicAnchor"):
            self._name(file, path, keyword, value)
        elif keyword == "pattern":
            schema[keyword] = self._pattern(file, path, value)
        elif keyword == "patternProperties":
            schema[keyword] = [
                (self._pattern(file, (*path, source), source), self._schema(file, (*path, source), each))
                for source, each in value.items()
            ]
        elif keyword in ("enum", "const"):
            schema[keyword] = keywords.Choices.of(value if keyword == "enum" else [value])
        elif keyword == "dependencies" and self.draft is drafts.DRAFT_7:
            self._dependencies(file, path, schema, value)
        elif keyword in _SEVERAL and isinstance(value, values.Row):
            schema[keyword] = [self._schema(file, (*path, index), each) for index, each in enumerate(value)]
        elif keyword in _ONE:
            schema[keyword] = self._schema(file, path, value)
        elif keyword in _NAMED:
            schema[keyword] = {name: self._schema(file, (*path, name), each) for name, each in value.items()}
        elif keyword in _PLAIN:
            schema[keyword] = value

    def _dynamic(self, file: _File, path: Path, schema: values.Table, keyword: str) -> None:
        if not self._trusted:
            self._report(file, path, f"{keyword} is not supported: use $ref")
        schema["$ref"] = True
        self._pending.append(_Reference(schema, self._files[self._entry] or file, path, "#"))

    def _name(self, file: _File, path: Path, keyword: str, value: str) -> None:
        if keyword != "$id":
            file.anchors[value] = path[:-1]
        elif _ANCHOR.match(value):
            file.anchors[value.removeprefix("#")] = path[:-1]
        elif len(path) > 1 and not value.startswith("#"):
            self._report(file, path, "$id is supported only at the top of a file: refer to files by relative path")

    def _pattern(self, file: _File, path: Path, source: str) -> patterns.Pattern | None:
        try:
            pattern = patterns.compile(source)
        except PatternError as error:
            self._report(file, path, str(error))
            return None
        self.patterns_left -= _PATTERN_COST + pattern.size
        if self.patterns_left < 0:
            raise Refused([Finding("the patterns of the schema are too large together")])
        return pattern

    def _dependencies(self, file: _File, path: Path, schema: values.Table, value: Any) -> None:
        """Split draft 7's ``dependencies`` into what later drafts made of it."""
        schema["dependentRequired"] = {name: each for name, each in value.items() if isinstance(each, list)}
        schema["dependentSchemas"] = {
            name: self._schema(file, (*path, name), each) for name, each in value.items() if not isinstance(each, list)
        }

    # References

    def _follow(self, reference: _Reference) -> Any:
        """The linked schema that a reference leads to; a schema that accepts all after something was found."""
        try:
            path, fragment = addresses.target(reference.target, reference.file.path, reference.file.id)
            file = self._open(path)
            if file is None:
                return True
            at = _place_of(file, fragment)
            if (path, at) not in self._linked:
                self._link_aside(file, at)
            return self._linked[path, at]
        except (addresses.AddressError, UnreadableError) as error:
            self._report(reference.file, reference.path, str(error))
        except Refused as refused:
            self.found += [finding.in_file(reference.file.path) for finding in refused.findings]
        return True

    def _link_aside(self, file: _File, path: Path) -> None:
        """Link a schema that stands where the specification expects none, such as below ``components``."""
        raw = file.document.value
        for step in path:
            raw = raw[step]
        wrong = judging.judge(_metaschema(self.draft), file.document, path, budget=self.budget)
        self.found += [finding.in_file(file.path) for finding in wrong]
        self._schema(file, path, True if wrong else raw)


def _place_of(file: _File, fragment: str) -> Path:
    if fragment.startswith("/"):
        path = addresses.walk(file.document.value, fragment)
    else:
        path = file.anchors.get(fragment) if fragment else ()
    if path is None:
        raise addresses.AddressError(f"$ref leads nowhere: there is no {values.show(fragment)} in {file.path}")
    return path


def _draft_of(document: Document) -> drafts.Draft | None:
    """The version that a schema file names, None if it names none."""
    root = document.value if isinstance(document.value, values.Table) else values.Table()
    if "$schema" not in root:
        return None
    draft = drafts.named(str(root["$schema"]))
    if draft is None:
        known = ", ".join(f"{each.uri}" for each in drafts.DRAFTS)
        message = f"{values.show(root['$schema'])} is not a version of JSON Schema that can be used here: use {known}"
        raise Refused([Finding(message, "/$schema", *document.position(("$schema",)))])
    return draft


def _not_finite(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, dict):
        for key, each in cast("dict[str, Any]", value).items():
            yield from _not_finite(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[Any]", value)):
            yield from _not_finite(each, (*path, index))
