"""For a broker that asks over HTTP who may log in and do what, such as EMQX. It has a token of its own.

Every question gets an answer with status 200, so that no broker takes a refusal for a server out of order.
"""

from __future__ import annotations

import hmac
from typing import Annotated

import fastapi
from fastapi import Depends, security
from shallop_protocol.topics import Access

from shallop_cloud import errors
from shallop_cloud.api import access, asking, models
from shallop_cloud.api.asking import S
from shallop_cloud.services import broker_access

_bearer = security.HTTPBearer(
    auto_error=False,
    scheme_name="broker",
    description="The broker's token, which is in mqtt/broker.token in the data directory. No other token opens these.",
)


def _is_broker(
    request: fastapi.Request,
    shore: S,
    given: Annotated[security.HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    if given is None:
        raise errors.Problem(401, "token_missing", "send the broker's token: Authorization: Bearer TOKEN")
    with access.guessed(request):
        if not hmac.compare_digest(given.credentials.encode(), shore.credentials.broker_token.encode()):
            words = "this is not the token in mqtt/broker.token of the data directory"
            raise errors.Problem(401, "token_invalid", words)


router = asking.open_to_all()
Broker = Annotated[None, Depends(_is_broker)]


@router.post("/broker/authenticate", responses={401: {}, 429: {}})
def authenticate(shore: S, _: Broker, body: models.LogIn) -> models.LoggedIn:
    """Whether a client may log in: with its password, and a client id that is its own."""
    who = body.username or "", body.password or "", body.clientid or ""
    return models.LoggedIn(result="allow" if broker_access.may_log_in(shore, *who) else "deny")


@router.post("/broker/authorize", responses={401: {}, 429: {}})
def authorize(shore: S, _: Broker, body: models.Wish) -> models.Granted:
    """Whether a client that logged in may publish to a topic, or subscribe to a filter."""
    access = Access.PUBLISH if body.action == "publish" else Access.SUBSCRIBE
    is_granted = broker_access.may(shore, body.username or "", body.clientid or "", access, body.topic)
    return models.Granted(result="allow" if is_granted else "deny")
