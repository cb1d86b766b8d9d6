"""What can go wrong with a bench, by consequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
"""An object of the API."""


class BenchError(Exception):
    """The bench cannot do what it was asked to. The message says what, why, and what to do."""


class NotRunning(BenchError):
    """There is no bench to ask."""


class Refused(BenchError):
    """What was asked for makes no sense here; nothing was done."""


class Invalid(BenchError):
    """A release that is none. The lines say why."""


class NotConverged(BenchError):
    """The fleet is not where it should be, though it had its time. The lines say who is where."""

    def __init__(self, within: float, astray: Sequence[str], logs: object) -> None:
        shown = [*astray[:20], *([f"and {len(astray) - 20} more"] if len(astray) > 20 else [])]
        super().__init__("\n  ".join([f"after {within:g} s the fleet has not converged; logs: {logs}", *shown]))
        self.astray = tuple(astray)


class DevicesFailed(BenchError):
    """Robots could not, or would not, run their deployment. The lines say which, and why."""


class ApiError(BenchError):
    """An answer that is not success, or none.

    Attributes:
        status: the HTTP status; 0 for no answer.
        errors: each single thing that is wrong, as the API tells it.
    """

    def __init__(self, detail: str, status: int = 0, errors: Sequence[Json] = ()) -> None:
        super().__init__("\n  ".join([detail, *map(_line, errors)]))
        self.detail = detail
        self.status = status
        self.errors = tuple(errors)

    def said_of(self, files: Mapping[str, Path]) -> ApiError:
        """The same, with the names of files in place of those that the API knows them by."""
        errors = [{**each, "source": str(files.get(each["source"], each["source"]))} for each in self.errors]
        return ApiError(self.detail, self.status, errors)


def _line(error: Json) -> str:
    place = f"{error['source']}:{error['line']}:{error['column']} " if error["source"] else ""
    return f"{place}{error['pointer']}: {error['message']}"
