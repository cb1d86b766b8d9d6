"""The history of a run: what everybody did and saw, one JSON object a line, on one monotonic clock.

A line says ``kind`` and what belongs to it:

=========  ============================================================================================
device     ``name`` and ``id`` of a robot, before anything else is said of it
invoke     operator ``who`` begins operation ``n``: ``act`` on ``device``, with ``key``, ``expected``, ``staged``,
           ``digest`` where they apply
ok         operation ``n`` was acknowledged: ``id`` of the deployment, or of the device
fail       operation ``n`` was refused: ``status`` and ``code``, or it never left (``status`` 0)
info       operation ``n`` may have happened: the answer was lost
api        reader ``who`` read the deployments of ``device`` between ``begin`` and ``end``; ``rows`` are those that
           differ from what it read before
disk       between ``begin`` and ``end``, ``current`` of ``device`` led to ``tree``, with files of this ``digest`` that
           are of the contents ``marks``; ``tree`` is null where there was no ``current``
order      ``client`` sent an order for ``device`` to the broker, signed by ``signers``
keys       ``client`` sent key list ``version`` to the broker, by which these keys are ``active`` in ``epoch``
report     ``device`` sent a report to the broker, and goes by the key list of version ``keys``
fault      the nemesis did ``what`` to ``victim``
exit       a process, ``who``, ended by itself; ``after`` is the last fault that it was hit by
verified   the chain of the whole record was computed anew: ``whole``, or ``reason`` why it is not
healed     every fault is over
settled    ``within`` seconds after that everything agreed, or ``why`` it does not
quiet      ``messages`` that passed between ``begin`` and ``end``, when nobody wanted anything any more
final      all that is known of ``device`` at the end: its ``document``, its deployments (``rows``), what was recorded
           (``entries``), its ``trees``
=========  ============================================================================================

Moments are seconds since the start of the run. A line is written when what it tells of is over.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ANY: Final = "any"
"""``expected`` of an operation that did not say what it believes to be current."""
MAKING: Final = frozenset({"create", "patch", "rollback"})
"""Acts that make a deployment."""
OF_DEVICES: Final = frozenset({"retire", "return"})
"""Acts on a device as such: it is archived, or restored."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line, with its number from 1."""

    number: int
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __str__(self) -> str:
        return f"{self.number}: {json.dumps(dict(self.fields))[:300]}"


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """An operation from its beginning to its end, which is infinity where no answer came.

    Attributes:
        key: the deployment that is acted on; of those that make one, that one, if it is known; None for a device.
        expected: a deployment, None for none, or ``ANY``.
    """

    n: int
    act: str
    device: str
    key: str | None
    expected: str | None
    staged: bool
    digest: str | None
    begin: float
    end: float
    outcome: str
    status: int
    lines: tuple[Line, ...]

    @property
    def makes(self) -> bool:
        """Whether it makes a deployment."""
        return self.act in MAKING

    @property
    def kind(self) -> str:
        """What it does to the record: whatever makes a deployment does the same."""
        return "create" if self.makes else self.act


class Log:
    """A history that is being written, by any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._closed = False

    def now(self) -> float:
        """Seconds since the start."""
        return self.moment(time.monotonic())

    def moment(self, monotonic: float) -> float:
        """A reading of the monotonic clock, which is one for all processes of a machine, as seconds since the start."""
        return round(monotonic - self._start, 6)

    def write(self, kind: str, **fields: Any) -> None:
        """Adds a line; nothing once it is closed."""
        text = json.dumps({"kind": kind, **fields}, separators=(",", ":"))
        with self._lock:
            if not self._closed:
                self._file.write(text + "\n")

    def close(self) -> None:
        """Nothing more is added."""
        with self._lock:
            self._closed = True
            self._file.close()


class History:
    """A history that was written."""

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self.lines = [Line(number, fields) for number, fields in enumerate(entries, 1)]
        self._by_kind: dict[str, list[Line]] = collections.defaultdict(list)
        for line in self.lines:
            self._by_kind[line["kind"]].append(line)

    @classmethod
    def read(cls, path: Path) -> History:
        """From a file."""
        with path.open(encoding="utf-8") as file:
            return cls(json.loads(text) for text in file)

    def of(self, kind: str) -> Sequence[Line]:
        """The lines of one kind, in their order."""
        return self._by_kind.get(kind, ())

    @property
    def devices(self) -> Sequence[str]:
        """The names of the robots."""
        return [line["name"] for line in self.of("device")]

    @functools.cached_property
    def operations(self) -> Sequence[Operation]:
        """Every operation that began."""
        ends = {line["n"]: line for kind in ("ok", "fail", "info") for line in self.of(kind)}
        return [_operation(line, ends.get(line["n"])) for line in self.of("invoke")]

    @functools.cached_property
    def finals(self) -> Mapping[str, Line]:
        """What is known of each robot at the end."""
        return {line["device"]: line for line in self.of("final")}

    @functools.cached_property
    def creates(self) -> Mapping[str, Operation]:
        """The operation that made a deployment, by its id: from its answer, or from the end of the history."""
        by_number = {each.n: each for each in self.operations if each.makes}
        found = {each.key: each for each in by_number.values() if each.key is not None}
        for line in self.finals.values():
            for row in line["rows"]:
                if row["n"] in by_number:
                    found.setdefault(row["id"], by_number[row["n"]])
        return found

    def digest(self, made: Operation) -> str | None:
        """Of the files of the deployment that an operation made; of a rollback, those of what it brought back."""
        if made.act != "rollback":
            return made.digest
        row = self._rows.get(made.n)
        restored = self.creates.get(row["restores"]) if row else None
        return self.digest(restored) if restored is not None and restored.n < made.n else None

    @functools.cached_property
    def _rows(self) -> Mapping[int, Mapping[str, Any]]:
        """The deployments at the end, by the operation that made them."""
        return {row["n"]: row for line in self.finals.values() for row in line["rows"]}


def _key(fields: Mapping[str, Any], answer: Line | None) -> str | None:
    if fields["act"] in OF_DEVICES:
        return None
    if fields["act"] in MAKING:
        return answer["id"] if answer else None
    return fields.get("key")


def _operation(invoke: Line, end: Line | None) -> Operation:
    outcome = end["kind"] if end else "info"
    fields = invoke.fields
    return Operation(
        n=fields["n"],
        act=fields["act"],
        device=fields["device"],
        key=_key(fields, end if outcome == "ok" else None),
        expected=fields.get("expected", ANY),
        staged=fields.get("staged", False),
        digest=fields.get("digest"),
        begin=fields["at"],
        end=end["at"] if end and outcome != "info" else math.inf,
        outcome=outcome,
        status=end.fields.get("status", 0) if end else 0,
        lines=(invoke, end) if end else (invoke,),
    )
