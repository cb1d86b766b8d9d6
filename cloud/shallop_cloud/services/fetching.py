"""What robots fetch by themselves: contents that were too large to travel with their orders."""

from __future__ import annotations

from shallop_protocol import ids

from shallop_cloud import errors, passwords
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents, deployments, devices
from shallop_cloud.store.contents import Content

_NOBODY = passwords.hash_password("of a device that does not exist")


def device(shore: Shore, username: str, password: str) -> str:
    """The id of the device whose credential this is: its id on the wire, and its MQTT password.

    It takes as long for a device that does not exist, and says the same.

    Raises:
        errors.Problem: 401 ``device_unknown`` if it is none, or that of an archived device.
    """
    key = ids.from_wire(username)
    is_one = ids.is_id(key) and ids.on_wire(key) == username
    with shore.database.read() as connection:
        row = devices.find_many(connection, [key] if is_one else []).get(key)
    hashed = row["mqtt_password"] if row is not None else None
    is_right = passwords.verify_password(password, hashed or _NOBODY)
    if row is None or hashed is None or not is_right or row["archived_at"] is not None:
        words = "a device gives its id as its MQTT client has it, and its MQTT password (HTTP Basic)"
        raise errors.Problem(401, "device_unknown", f"this credential is not accepted; {words}")
    return key


def content(shore: Shore, device: str, digest: str) -> Content:
    """A content that belongs to a deployment which the device shall have.

    Raises:
        errors.NotFound: it does not, or there is none.
    """
    with shore.database.read() as connection:
        found = contents.find(connection, [digest])
        if digest not in found or not deployments.is_wanted(connection, device, digest):
            raise errors.NotFound("content", digest[:100], "only what is ordered for this device is given to it")
    return found[digest]
