"""What a broker asks that has no password file and no access list of its own: who may log in, and do what.

The rules are those of the bench broker and of the generated configurations: ``Topics.allows``, and a client id that
nobody else can use.
"""

from __future__ import annotations

import hmac

from shallop_protocol import ids
from shallop_protocol.topics import CLOUD, MONITOR, Access

from shallop_cloud import passwords
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import devices

_NOBODY = passwords.hash_password("of a device that does not exist")


def may_log_in(shore: Shore, username: str, password: str, client_id: str) -> bool:
    """Whether a user's password is right, and the client id one that the user may have. It takes as long for a device
    that does not exist, or is revoked.
    """
    own = {CLOUD: shore.credentials.cloud, MONITOR: shore.credentials.monitor}.get(username)
    if own is not None:
        is_right = hmac.compare_digest(password.encode(), own.encode())
    else:
        hashed = _hashed_password(shore, username)
        is_right = passwords.verify_password(password, hashed or _NOBODY) and hashed is not None
    return is_right and _may_have(username, client_id)


def may(shore: Shore, username: str, client_id: str, access: Access, topic: str) -> bool:
    """Whether a user that logged in may do this now; one whose credentials were taken away may not."""
    is_known = username in (CLOUD, MONITOR) or _hashed_password(shore, username) is not None
    return is_known and _may_have(username, client_id) and shore.topics.allows(username, access, topic)


def _may_have(username: str, client_id: str) -> bool:
    """A device's client id is its user name. The cloud's begin with ``cloud``; people who watch have any other that is
    no device's.
    """
    if username not in (CLOUD, MONITOR):
        return client_id == username
    if _key(client_id) is not None:
        return False
    return client_id.startswith(CLOUD) == (username == CLOUD)


def _hashed_password(shore: Shore, username: str) -> str | None:
    key = _key(username)
    with shore.database.read() as connection:
        row = devices.find_many(connection, [key] if key else []).get(key or "")
    return None if row is None else row["mqtt_password"]


def _key(wire: str) -> str | None:
    """The id of a device that goes by this name on the wire."""
    key = ids.from_wire(wire)
    return key if ids.is_id(key) and ids.on_wire(key) == wire else None
