"""What goes wrong ashore, by consequence: an answer to a caller, or a server that cannot start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the package brings jsonschema with it, which not everyone who may fail needs
    from shallop_cloud.configs.findings import Finding


class Problem(Exception):
    """An answer that is not success (RFC 9457).

    Attributes:
        status: the HTTP status.
        code: what is wrong, stable and short; programs decide by it.
        detail: what, where, why, and what to do next, for a person.
        errors: each single thing that is wrong with a document or the request's body, with its place.
    """

    def __init__(self, status: int, code: str, detail: str, errors: tuple[Finding, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors


class NotFound(Problem):
    """Nothing has that id or name."""

    def __init__(self, what: str, key: str, hint: str = "") -> None:
        super().__init__(
            404, f"{what.replace(' ', '_')}_not_found", f"there is no {what} {key!r}{hint and '; ' + hint}"
        )


class Conflict(Problem):
    """The present state forbids it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(409, code, detail)


class Invalid(Problem):
    """What was sent can be read, and is not right."""

    def __init__(self, code: str, detail: str, errors: tuple[Finding, ...] = ()) -> None:
        super().__init__(422, code, detail, errors)


class Busy(Problem):
    """The database cannot take it now. Nothing was done, and the same may be asked again."""

    def __init__(self, why: str) -> None:
        super().__init__(503, "database_busy", f"the database cannot take this now ({why}); ask again in a second")


class StartupError(Exception):
    """The server cannot start. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}; {hint}")
