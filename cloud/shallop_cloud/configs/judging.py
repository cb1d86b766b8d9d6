"""A linked schema applied to a document: what is wrong, said for people, at the place where it is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from shallop_cloud.configs import findings
from shallop_cloud.configs.budget import Budget, TooMuchWorkError, paid_from
from shallop_cloud.configs.documents import Document
from shallop_cloud.configs.findings import Finding, Path

MAX_FINDINGS = 50
"""How many findings a document gets, the first ones by place."""
WORK = 1_000_000
"""The budget of one judgement, in the units of `budget.STEP`: about a third of a second. It suffices for 20,000
numbers with three rules each."""

_MAX_ERRORS = 200
_MAX_MESSAGE = 300


def judge(validator: Any, document: Document, at: Path = (), *, budget: Budget | None = None) -> list[Finding]:
    """All that a validator has to say about a document, or about the part of it at ``at``.

    Sorted by place, at most 50. Takes bounded time: a document that cannot be judged within it gets a finding that
    says so. Judgements that share a ``budget`` take bounded time together. ``validator`` is an instance of one of
    `keywords.validator_class`'s classes (untyped in jsonschema).
    """
    part = document.value
    for step in at:
        part = part[step]
    try:
        with paid_from(budget or Budget(WORK)):
            every = cast("Iterator[ValidationError]", validator.iter_errors(part))
            errors = list(itertools.islice(every, _MAX_ERRORS))
    except TooMuchWorkError:
        message = "takes too long to check: make the document smaller, or its schema simpler"
        return [_finding(document, at, message)]
    except RecursionError:  # 64 levels of document times 64 of schema need more stack than Python has
        return [_finding(document, at, "document and schema together are nested too deep to be checked")]
    found = dict.fromkeys(_explained(document, at, leaf) for error in errors for leaf in _leaves(error))
    return sorted(found, key=lambda each: (each.line, each.column, each.pointer))[:MAX_FINDINGS]


def _explained(document: Document, at: Path, error: ValidationError) -> Finding:
    path = (*at, *error.absolute_path)
    return _finding(document, path, _words(error))


def _words(error: ValidationError) -> str:
    return "nothing is allowed here" if _is_just_false(error) else error.message


def _is_just_false(error: ValidationError) -> bool:
    return not isinstance(error.validator, str)


def _finding(document: Document, path: Path, message: str) -> Finding:
    place = document.position(path)
    short = message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "…"
    return Finding(short, findings.pointer_of(path), *place)


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """The errors worth telling: those of the alternative that was most likely meant, if one stands out."""
    if not error.context:
        yield error
        return
    branches = [list(branch) for _, branch in itertools.groupby(error.context, key=lambda each: each.schema_path[0])]
    ranked = sorted(branches, key=_unlikeliness)
    if len(ranked) == 1 or _unlikeliness(ranked[0]) < _unlikeliness(ranked[1]):
        for each in ranked[0]:
            yield from _leaves(each)
    else:
        error.message += ": " + "; or ".join(_in_place(branch[0]) for branch in branches[:3])
        yield error


def _unlikeliness(branch: list[ValidationError]) -> tuple[int, int]:
    """How little an alternative seems to be the one meant: another type or tag altogether, then more errors."""
    wrong_kind = sum(
        1
        for error in branch
        if _is_just_false(error)
        or (error.validator == "type" and not error.path)
        or (error.validator in ("const", "enum") and len(error.path) <= 1)
    )
    return wrong_kind, len(branch)


def _in_place(error: ValidationError) -> str:
    pointer = findings.pointer_of(tuple(error.path))
    return f"{pointer} {_words(error)}" if pointer else _words(error)
