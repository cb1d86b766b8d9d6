"""What the server answered instead of success, or that it did not answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from shallop_cloud.cli import exits

if TYPE_CHECKING:
    from shallop_cloud.configs.findings import Finding

AUTHENTICATE = (
    "`shallop serve` keeps the administrator's token in admin.token in its data directory DIR: "
    'export SHALLOP_TOKEN="$(cat DIR/admin.token)", or keep it by `shallop login`'
)


class Unreachable(exits.Failure):
    """No answer: nothing listens there, the network failed, or it took too long."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            exits.Exit.FAILED,
            f"no answer from {url}: {why}; `shallop serve` starts a server, SHALLOP_URL or --url says where it is",
        )


class Problem(exits.Failure):
    """An answer that is not success (RFC 9457). Each error is a line that editors can jump to.

    Attributes:
        status: the HTTP status.
        passing: whether the same request may well be answered later.
    """

    def __init__(self, status: int, detail: str, errors: Iterable[Finding] = ()) -> None:
        self._errors = tuple(errors)
        self._detail = detail
        self.status = status
        self.passing = status == 429 or status >= 500
        hint = [AUTHENTICATE] if status == 401 else []
        super().__init__(exits.of_http(status), detail, [*map(_line, self._errors), *hint])

    @classmethod
    def of(cls, status: int, answer: Any, otherwise: str) -> Problem:
        """The problem that a JSON body tells, in whatever shape it came; ``otherwise`` if it tells none."""
        fields = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
        detail = fields.get("detail") or fields.get("title")
        errors = fields.get("errors")
        listed = cast("list[dict[str, Any]]", errors) if isinstance(errors, list) else []
        return cls(status, detail if isinstance(detail, str) else otherwise, map(_finding, listed))

    def said_of(self, files: Mapping[str, str]) -> Problem:
        """The same problem, with the names of ``files`` in place of those that the server knows them by."""
        return Problem(
            self.status, self._detail, [each.in_file(files.get(each.file, each.file)) for each in self._errors]
        )


def invalid(detail: str, findings: Iterable[Finding]) -> exits.Failure:
    """A failure for what was found to be wrong on this side, before anything was sent."""
    return exits.Failure(exits.Exit.INVALID, detail, map(_line, findings))


def _line(finding: Finding) -> str:
    """With a line and column only for what stands in a file: nobody can jump to a line of the request's body."""
    if finding.file and finding.line:
        return str(finding)
    where = f"{finding.file} {finding.pointer}".strip()
    return f"{where}: {finding.message}" if where else finding.message


def _finding(fields: Mapping[str, Any]) -> Finding:
    from shallop_cloud.configs.findings import Finding  # the package brings jsonschema with it, which is slow to load

    return Finding(
        message=str(fields.get("message", "")),
        pointer=str(fields.get("pointer", "")),
        line=int(fields.get("line", 1)),
        column=int(fields.get("column", 1)),
        file=str(fields.get("source", "")),
    )
