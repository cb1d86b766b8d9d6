"""A config schema: what the instances of one config type must satisfy."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, cast

from shallop_protocol import paths

from shallop_cloud.configs import documents, judging, linking, values
from shallop_cloud.configs.budget import Budget, share
from shallop_cloud.configs.documents import Document, Format
from shallop_cloud.configs.findings import Finding, Refused

OPAQUE = "opaque"
"""The word for a schema that accepts every document of its format."""


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigSchema:
    """A JSON Schema in one or several files, or ``opaque``. Immutable; equal if the digests are equal.

    Made by `opaque`, `link` or `from_json`, which check it; a schema that exists is sound, and compiled. Keep it by
    digest where it is used often.
    """

    entry: str | None
    """Path of the file that the others belong to; None if opaque."""
    files: tuple[tuple[str, str], ...] = dataclasses.field(repr=False)
    """Path and text of every file, sorted by path."""
    digest: str
    """``sha256:`` and 64 hex digits over entry, paths and texts."""
    _validator: Any = dataclasses.field(repr=False, compare=False)

    @classmethod
    def opaque(cls) -> ConfigSchema:
        """The schema that accepts every document which can be parsed."""
        return cls(None, (), _digest(None, {}), None)

    @classmethod
    def link(cls, entry: str, fetch: linking.Fetch, allowance: linking.Allowance | None = None) -> ConfigSchema:
        """Read and check a schema. ``fetch`` gives the content of the entry and of what it refers to; ``allowance`` is
        what schemas that come together may cost together.

        Raises:
            Refused: a finding for each thing that is wrong, its ``file`` being the schema file's path.
        """
        linked = linking.link(entry, fetch, allowance)
        files = tuple((path, linked.files[path].decode()) for path in sorted(linked.files))
        return cls(entry, files, _digest(entry, linked.files), linked.validator)

    @classmethod
    def from_json(cls, wire: Any, allowance: linking.Allowance | None = None) -> ConfigSchema:
        """The schema that `to_json` gave, checked anew: whoever sent it is not trusted. ``allowance`` as for `link`.

        Raises:
            Refused: not of that form, a file that nothing refers to, or anything that `link` refuses.
        """
        if wire == OPAQUE:
            return cls.opaque()
        entry, texts = _checked_form(wire)
        # A lone surrogate becomes bytes that are not UTF-8, which is then found where it stands.
        contents = {path: text.encode(errors="surrogatepass") for path, text in texts.items()}
        schema = cls.link(entry, contents.get, allowance)
        unused = sorted(contents.keys() - dict(schema.files).keys())
        if unused:
            raise Refused([Finding("nothing refers to this file: leave it out", file=path) for path in unused])
        return schema

    def to_json(self) -> str | dict[str, Any]:
        """The form for the API: ``"opaque"``, or ``{"entry": path, "documents": {path: text}}``."""
        if self.entry is None:
            return OPAQUE
        return {"entry": self.entry, "documents": dict(self.files)}

    @property
    def is_opaque(self) -> bool:
        """Whether every document which can be parsed is accepted."""
        return self.entry is None

    def validate(self, document: Document, purse: Budget | None = None) -> list[Finding]:
        """What is wrong with a document, sorted by place, at most 50; empty if nothing is. Takes bounded time, and
        those that share a ``purse`` do so together.
        """
        if self.entry is None:
            return []
        with share(purse or Budget(judging.WORK), judging.WORK) as budget:
            return judging.judge(self._validator, document, budget=budget)

    def check(
        self,
        content: bytes,
        format: Format,  # noqa: A002
        *,
        max_bytes: int = documents.MAX_BYTES,
        purse: Budget | None = None,
    ) -> list[Finding]:
        """Parse a file's content and validate it: all that can be wrong with a config instance."""
        try:
            document = documents.parse(content, format, max_bytes=max_bytes, any_keys=self.is_opaque)
        except Refused as refused:
            return list(refused.findings)
        return self.validate(document, purse)


def _digest(entry: str | None, files: dict[str, bytes]) -> str:
    hashes = [[path, hashlib.sha256(files[path]).hexdigest()] for path in sorted(files)]
    encoded = json.dumps(["shallop config schema 1", entry, hashes], ensure_ascii=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(encoded.encode()).hexdigest()}"


def _checked_form(wire: Any) -> tuple[str, dict[str, str]]:
    form = cast("dict[str, Any]", wire) if isinstance(wire, dict) else {}
    entry, texts = form.get("entry"), form.get("documents")
    if form.keys() != {"entry", "documents"} or not isinstance(entry, str) or not isinstance(texts, dict):
        message = f'a schema is "opaque" or {{"entry": path, "documents": {{path: text}}}}, not {values.show(wire)}'
        raise Refused([Finding(message)])
    named = cast("dict[Any, Any]", texts)
    if len(named) > linking.MAX_FILES:
        raise Refused([Finding(f"the schema has more than {linking.MAX_FILES} files", "/documents")])
    if not all(isinstance(path, str) and isinstance(text, str) for path, text in named.items()):
        raise Refused([Finding("paths and documents of a schema are texts", "/documents")])
    try:
        paths.check_paths(named)
    except paths.PathError as error:
        raise Refused([Finding(str(error), "/documents")]) from None
    return entry, named
