"""Single values of a config file set or removed, while all the rest stays byte for byte as its author wrote it.

Comments, the order of keys, quotes and layout are kept, of JSON as of YAML. Where an anchor, alias or merge key would
make a change appear in other places too, it is refused. What comes out is parsed again, and must mean exactly what was
asked for.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from shallop_cloud.configs import documents, findings, locating, operations, pointers, spans, values
from shallop_cloud.configs.documents import Format
from shallop_cloud.configs.findings import Finding, Path, Refused
from shallop_cloud.configs.fingerprints import Fingerprints
from shallop_cloud.configs.layout import Edit, Layout
from shallop_cloud.configs.locating import Change
from shallop_cloud.configs.operations import Operation, Remove, Set

MAX_READ = 4 << 20
"""Characters that one call reads again and again: operations on the same list or mapping each need a new look."""
MAX_OPERATIONS = 1_000
"""How many operations one call takes."""
MAX_WEIGHT = 300_000
"""What all new values may weigh together: more than any file without aliases (see `operations.check`)."""
_BOM = "\ufeff"


def set_value(content: bytes, format: Format, pointer: str, value: Any) -> bytes:  # noqa: A002
    """A file's content with one value set; raises as `apply` does."""
    return apply(content, format, [Set(pointer, value)])


def remove_value(content: bytes, format: Format, pointer: str) -> bytes:  # noqa: A002
    """A file's content with one value removed; raises as `apply` does."""
    return apply(content, format, [Remove(pointer)])


def apply(content: bytes, format: Format, steps: Sequence[Operation]) -> bytes:  # noqa: A002
    """A file's content after some operations, each on what the one before it left. All or nothing.

    What has the value already is left as it is spelled. Takes bounded time.

    Raises:
        Refused: the content cannot be parsed or has no structure (``text``), a pointer leads nowhere, a value cannot
            stand in the format, or the change cannot be made in this place alone. One finding, whose pointer is the
            operation's.
    """
    if format is Format.TEXT:
        raise Refused([Finding("a text has no structure to change one value of: give the whole file")])
    if len(steps) > MAX_OPERATIONS:
        raise Refused([Finding(f"{len(steps)} changes of one file at once are too many: at most {MAX_OPERATIONS}")])
    try:
        return _all_at_once(content, format, steps)
    except _NotInPlaceError:
        if len(steps) == 1 or len(steps) * len(content) > MAX_READ:
            raise
        for operation in steps:  # one by one, to name the one that cannot be done
            content = _all_at_once(content, format, [operation])
        return content


class _NotInPlaceError(Refused):
    """What came out did not mean what was asked for."""


def _all_at_once(content: bytes, format: Format, steps: Sequence[Operation]) -> bytes:  # noqa: A002
    patch = _Patch(content, format)
    for operation in steps:
        patch.add(operation)
    patch.flush()
    return patch.content()


class _Patch:
    """A document on its way. Edits are gathered while they are independent of each other, then made at once."""

    def __init__(self, content: bytes, format: Format) -> None:  # noqa: A002
        self._format = format
        self._left = MAX_READ
        self._weight = 0
        text = documents.decode(content)
        self._bom = _BOM if text.startswith(_BOM) else ""
        self._read(text.removeprefix(self._bom))
        self._intended: Any = self._source.document.value

    def _read(self, text: str) -> None:
        self._text = text
        document = documents.parse(text.encode(), self._format, any_keys=True)
        self._source = locating.Source(document, spans.read(text, self._format), Layout(text, self._format))
        self._edits: list[Edit] = []
        self._touched: set[tuple[str, ...]] = set()
        self._above: set[tuple[str, ...]] = set()
        self._reshaped: dict[Path, bool] = {}

    def content(self) -> bytes:
        """The document as it is now."""
        return (self._bom + self._text).encode()

    def add(self, operation: Operation) -> None:
        """Prepare one operation."""
        self._weight += operations.check(operation)
        if self._weight > MAX_WEIGHT:
            raise Refused([Finding("the new values are too large together", operation.pointer)])
        if self._depends(pointers.steps(operation.pointer)):
            self.flush()
        change = locating.locate(self._source, operation)
        if change is None:
            return
        if not self._is_free(change):
            self.flush()
            change = locating.locate(self._source, operation)
            assert change is not None, "what was done before it does not make it needless"
        for edit in change.edits:
            bisect.insort_right(self._edits, edit, key=_place)
        touched = tuple(map(str, change.touches))
        self._touched.add(touched)
        self._above.update(touched[:length] for length in range(len(touched)))
        if change.reshapes is not None:
            self._reshaped[change.reshapes] = change.is_new_line
        self._intended = operations.outcome(self._intended, change.path, operation)

    def _depends(self, steps: tuple[str, ...]) -> bool:
        """Whether the place is above or below one that waits to be changed."""
        return steps in self._above or any(steps[:length] in self._touched for length in range(len(steps) + 1))

    def _is_free(self, change: Change) -> bool:
        """Whether a change can be made together with those that wait."""
        if self._depends(tuple(map(str, change.touches))):
            return False
        if change.reshapes in self._reshaped:
            return change.is_new_line and self._reshaped[change.reshapes]
        for edit in change.edits:
            at = bisect.bisect_left(self._edits, edit.start, key=lambda each: each.end)
            if at < len(self._edits) and self._edits[at].start <= edit.end:
                return False
        return True

    def flush(self) -> None:
        """Make the edits that wait."""
        if not self._edits:
            return
        self._left -= len(self._text)
        if self._left < 0:
            raise Refused([Finding("these are too many changes of one file at once: send the whole file instead")])
        parts: list[str] = []
        at = 0
        for edit in self._edits:
            parts += [self._text[at : edit.start], edit.new]
            at = edit.end
        touched = min(self._touched)
        try:
            self._read("".join([*parts, self._text[at:]]))
            fingerprints = Fingerprints(exact=True)
            if fingerprints.of(self._source.document.value) == fingerprints.of(self._intended):
                return
            why = "other values would change with it"
        except Refused as refused:
            why = refused.findings[0].message
        pointer = findings.pointer_of(touched)
        place = self._source.document.position(touched)
        message = f"this cannot be changed in place ({values.show(why)}): send the whole file instead"
        raise _NotInPlaceError([Finding(message, pointer, *place)])


def _place(edit: Edit) -> int:
    return edit.start
