"""What an operation means in a document's text, or why it cannot be done there."""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

from shallop_cloud.configs import findings, pointers, values, writing
from shallop_cloud.configs.documents import Document
from shallop_cloud.configs.findings import Finding, Path, Refused, meant
from shallop_cloud.configs.fingerprints import Fingerprints
from shallop_cloud.configs.layout import Edit, Layout
from shallop_cloud.configs.operations import Operation, Set
from shallop_cloud.configs.spans import Entry, Kind, Node


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What an operation comes to."""

    path: Path
    edits: list[Edit]
    touches: Path
    """The highest place whose nodes are another afterwards."""
    reshapes: Path | None = None
    """The collection that gets or loses an entry."""
    is_new_line: bool = False
    """Whether more such changes of the same collection can be made at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A document: what it means, how it is written, and how it is changed."""

    document: Document
    root: Node
    layout: Layout


def locate(source: Source, operation: Operation) -> Change | None:
    """What an operation comes to, None if it changes nothing.

    Raises:
        Refused: its pointer leads nowhere, its value cannot be written, or it would change other places, too.
    """
    return _Walk(source, operation).change()


class _Walk:
    """The way from the root to the place of an operation."""

    def __init__(self, source: Source, operation: Operation) -> None:
        self._document = source.document
        self._layout = source.layout
        self._operation = operation
        self._steps = pointers.steps(operation.pointer)
        self._path: Path = ()
        self._value: Any = source.document.value
        self._node = source.root
        self._parent: Node | None = None
        self._entry: Entry | None = None

    def change(self) -> Change | None:
        """The change, None if there is nothing to do."""
        for step in self._steps[:-1]:
            self._enter(step)
        try:
            return self._set(self._operation) if isinstance(self._operation, Set) else self._remove()
        except writing.Unwritable as error:
            self._refuse(str(error))

    def _set(self, operation: Set) -> Change | None:
        if not self._steps:
            return self._replace(operation.value)
        step = self._steps[-1]
        self._check_own()
        if isinstance(self._value, values.Row) and step == pointers.APPEND:
            edits = self._layout.appending(self._node, operation.value)
            return Change((*self._path, len(self._value)), edits, self._path, self._path)
        if isinstance(self._value, values.Table) and self._node.entry(step) is None:
            if step in self._value and _is_same(self._value[step], operation.value):
                return None
            is_block = not self._node.flow and bool(self._node.entries)
            edits = self._layout.adding(self._node, step, operation.value)
            return Change((*self._path, step), edits, (*self._path, step), self._path, is_block)
        self._enter(step)
        return self._replace(operation.value)

    def _replace(self, value: Any) -> Change | None:
        if _is_same(self._value, value):
            return None
        if self._node.kind is not Kind.ALIAS:
            self._check_own()
        return Change(self._path, self._layout.replacing(self._node, value, self._parent, self._entry), self._path)

    def _remove(self) -> Change:
        if not self._steps:
            self._refuse("the whole document cannot be removed: leave the file out instead")
        self._check_own()
        parent, path, holder, held = self._node, self._path, self._parent, self._entry
        self._enter(self._steps[-1])
        if self._node.kind is not Kind.ALIAS:
            self._check_own()
        if len(parent.entries) == 1:
            empty: Any = {} if parent.kind is Kind.MAPPING else []
            return Change(self._path, self._layout.replacing(parent, empty, holder, held), path)
        index = next(index for index, each in enumerate(parent.entries) if each is self._entry)
        edits = self._layout.removing(parent, index)
        touches = self._path if parent.kind is Kind.MAPPING else path
        return Change(self._path, edits, touches, path)

    def _enter(self, step: str) -> None:
        """Goes one step down."""
        if isinstance(self._value, values.Table):
            if step not in self._value:
                self._refuse(f"there is no key {values.show(step)} in {self._here()}{meant(step, self._value)}")
            self._check_own()
            if (entry := self._node.entry(step)) is None:
                self._refuse(f"{values.show(step)} comes from a merge key ('<<'): set it where it is written")
            part: str | int = step
            value = self._value[step]
        elif isinstance(self._value, values.Row):
            length = len(self._value)
            if (found := pointers.index(step, length)) is None:
                shown = values.show(step)
                self._refuse(f"there is no item {shown} in {self._here()}, which has {length}{_counted(length)}")
            self._check_own()
            part, entry, value = found, self._node.entries[found], self._value[found]
        else:
            self._refuse(f"{self._here()} is {values.show(self._value)}, which has no parts")
        self._path = (*self._path, part)
        self._value = value
        self._parent, self._entry, self._node = self._node, entry, entry.value

    def _check_own(self) -> None:
        """Pass if the node that was reached may be changed: it appears nowhere else."""
        if self._node.kind is Kind.ALIAS:
            self._refuse(f"{self._here()} is an alias, *{self._node.anchor}: a change would appear at its anchor, too")
        if self._node.anchor is not None:
            words = f"{self._here()} is used elsewhere, too, as *{self._node.anchor}: a change would appear there"
            self._refuse(words)

    def _here(self) -> str:
        return values.show(findings.pointer_of(self._path)).strip("'") or "the document"

    def _refuse(self, message: str) -> NoReturn:
        pointer = findings.pointer_of(self._steps)
        raise Refused([Finding(message, pointer, *self._document.position(self._path))])


def _is_same(one: Any, other: Any) -> bool:
    fingerprints = Fingerprints(exact=True)
    return fingerprints.of(one) == fingerprints.of(other)


def _counted(length: int) -> str:
    return f": use 0 to {length - 1}, or - for a new last one" if length else ": use - for a new one"
