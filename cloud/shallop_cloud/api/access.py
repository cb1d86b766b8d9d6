"""Who asks, and what they may do."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Annotated

import fastapi
from fastapi import Depends, security

from shallop_cloud import errors
from shallop_cloud.services.guesses import Guesses
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import tokens
from shallop_cloud.store.tokens import Holder, Role

bearer = security.HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token of this server, such as the one in admin.token. Each has one of the roles viewer, operator "
    "and admin, and may do what those before it may; every operation says which one it takes.",
)
_RANKS = list(Role)


def _shore(request: fastapi.Request) -> Shore:
    return request.app.state.shore


S = Annotated[Shore, Depends(_shore)]
Given = Annotated[security.HTTPAuthorizationCredentials | None, Depends(bearer)]


@contextlib.contextmanager
def guessed(request: fastapi.Request) -> Generator[None]:
    """What is refused with 401 within the block is a wrong credential of who asks, and counted.

    Raises:
        errors.Problem: 429 ``too_many_failures`` in place of the 401.
    """
    guesses: Guesses = request.app.state.guesses
    try:
        yield
    except errors.Problem as problem:
        if problem.status != 401:
            raise
        raise guesses.wrong(request.client.host if request.client else "", problem) from None


def _holder(request: fastapi.Request, shore: S, given: Given) -> Holder:
    if given is None:
        raise errors.Problem(401, "token_missing", "send a token: Authorization: Bearer TOKEN")
    with guessed(request):
        with shore.database.read() as connection:
            holder = tokens.holder(connection, given.credentials, shore.now())
        if holder is None:
            words = "this server knows no such token; it may have expired or been revoked"
            raise errors.Problem(401, "token_invalid", words)
    return holder


class AtLeast:
    """A dependency: the holder of the token that was sent, who must have this role or one above it."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(self, holder: Annotated[Holder, Depends(_holder)]) -> Holder:
        """The holder.

        Raises:
            errors.Problem: 403 ``role_insufficient``.
        """
        if _RANKS.index(holder.role) < _RANKS.index(self.role):
            words = f"this takes the role {self.role}, and {holder.name!r} has the role {holder.role}"
            raise errors.Problem(403, "role_insufficient", f"{words}; ask an admin for a token that has it")
        return holder


Viewer = Annotated[Holder, Depends(AtLeast(Role.VIEWER))]
Operator = Annotated[Holder, Depends(AtLeast(Role.OPERATOR))]
Admin = Annotated[Holder, Depends(AtLeast(Role.ADMIN))]
