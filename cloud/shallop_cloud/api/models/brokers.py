"""What brokers ask."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from shallop_cloud.api.models.base import Shown, Taken

Text = Annotated[str, pydantic.Field(max_length=65_535)]
"""As long as MQTT has them."""


class LogIn(Taken):
    """A client that connects; what it did not send is left out, null or empty."""

    username: Text | None = None
    password: Text | None = None
    clientid: Text | None = None


class LoggedIn(Shown):
    """Whether it may."""

    result: Literal["allow", "deny"]
    is_superuser: Literal[False] = False


class Wish(Taken):
    """What a client that logged in wants to do with a topic, or a topic filter."""

    username: Text | None = None
    clientid: Text | None = None
    topic: Text
    action: Literal["publish", "subscribe"]


class Granted(Shown):
    """Whether it may."""

    result: Literal["allow", "deny"]
