"""The other side of the door: what the commands of ``shallopd`` use, with nothing but the standard library's HTTP."""

from __future__ import annotations

import grp
import http.client
import json
import socket
import urllib.parse
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from shallop_device import errors

TIMEOUT_S = 15.0
SILENCE_S = 60.0
"""A stream of events that is silent for so long is dead: a comment comes more often."""
_EXIT_CODES = {404: 5, 409: 6, 422: 7}


class Refused(errors.AgentError):
    """The agent says no. ``code`` is that of its problem."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.exit_code = _EXIT_CODES.get(status, 1)


class Event(NamedTuple):
    """Something that the agent told."""

    id: str
    kind: str
    data: Any  # as the kind has it; the document of the door says how


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Opens it.

        Raises:
            errors.AgentError: there is nobody, or one may not.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError as error:
            self.sock.close()
            raise errors.AgentError(_advice(error, self._path)) from None


class Client:
    """The agent behind a socket. Every method raises errors.AgentError, with words for a person."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str) -> Any:  # Any: as the door's document has it
        """What is to be seen there."""
        return self._call("GET", path)

    def hold(self, name: str, reason: str, seconds: float, while_pid: int | None = None) -> Any:
        """Holds back what would come into sight, or renews that."""
        wish: dict[str, object] = {"reason": reason, "expires_in_s": seconds}
        return self._call("PUT", _hold(name), wish if while_pid is None else {**wish, "while_pid": while_pid})

    def release(self, name: str) -> None:
        """Ends a hold."""
        self._call("DELETE", _hold(name))

    def retry(self) -> None:
        """Has the agent try again now."""
        self._call("POST", "/v1/retry")

    def order(self, envelope: bytes) -> Any:
        """Hands over an order."""
        return self._send("POST", "/v1/orders", envelope)

    def key_list(self, envelope: bytes) -> Any:
        """Hands over a key list."""
        return self._send("POST", "/v1/keys", envelope)

    def acknowledge(self, name: str, deployment: str, *, ok: bool, message: str) -> Any:
        """Says that a deployment is well, or not."""
        word = {"name": name, "deployment": deployment, "ok": ok, "message": message}
        return self._call("POST", "/v1/acks", word)

    def events(self, last_id: str | None = None) -> Generator[Event]:
        """What happens, until the agent ends the stream. The first is a ``snapshot`` if what came after the last one
        that is known is not to be had."""
        connection = Connection(self._path, SILENCE_S)
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        try:
            connection.request("GET", "/v1/events", headers=headers)
            with connection.getresponse() as answer:
                if answer.status != http.client.OK:
                    raise _refusal(answer.status, answer.read())
                yield from parse(answer)
        except (OSError, http.client.HTTPException) as error:
            raise errors.AgentError(f"{self._path}: the stream of events broke off: {error}") from None
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: object = None) -> Any:
        return self._send(method, path, None if body is None else json.dumps(body).encode())

    def _send(self, method: str, path: str, data: bytes | None) -> Any:
        connection = Connection(self._path, TIMEOUT_S)
        try:
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            found = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise errors.AgentError(f"{self._path}: the agent does not answer: {error}") from None
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise _refusal(answer.status, found)
        return json.loads(found) if found else None


def parse(lines: BinaryIO | http.client.HTTPResponse) -> Iterator[Event]:
    """The events in a stream (WHATWG HTML, section 9.2.6), as far as the door makes use of it."""
    event_id, kind, data = "", "", ""
    for line in lines:
        text = line.decode().rstrip("\r\n")
        field, _, value = text.partition(": ")
        if field == "id":
            event_id = value
        elif field == "event":
            kind = value
        elif field == "data":
            data = value
        elif not text and data:
            yield Event(event_id, kind, json.loads(data))
            kind, data = "", ""


def _hold(name: str) -> str:
    return f"/v1/holds/{urllib.parse.quote(name, safe='')}"


def _refusal(status: int, body: bytes) -> Refused:
    try:
        problem = json.loads(body)
        return Refused(status, str(problem["code"]), str(problem["detail"]))
    except (ValueError, KeyError, TypeError):
        return Refused(status, "unreadable", f"the agent answered {status}, and not as shallopd does")


def _advice(error: OSError, path: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no agent at {path}: is shallopd running? --socket names another place"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {path}: shallopd is not running"
    if isinstance(error, PermissionError):
        return f"you may not talk to the agent at {path}{_group_of(path)}"
    return f"cannot talk to the agent at {path}: {error.strerror or error}"


def _group_of(path: Path) -> str:
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return ": ask who set this robot up"
    return f": its group is {group} (usermod -aG {group} USER, then log in again)"
