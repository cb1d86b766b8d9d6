"""Nothing that a client does, or does not do, holds the agent or the other clients up."""

from __future__ import annotations

import contextlib
import socket
import threading

import door_world
import pytest
from door_world import eventually
from shallop_device import errors, inbox
from shallop_device.door import client, desk, routes, server, serving


def said(connection: socket.socket) -> tuple[int, bytes]:
    """The status of an answer, and all of it; 0 if the connection just ended."""
    found = b"".join(iter(lambda: connection.recv(65_536), b""))
    return (int(found.split()[1]), found) if found else (0, found)


@pytest.fixture
def impatient():
    with door_world.local(patience=0.1) as local:
        yield local


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /v1/status HTTP/1.1\r\n" + b"X: " + b"y" * serving.MAX_HEAD_BYTES + b"\r\n\r\n", 431, b"head_too_large"),
        (b"GET /" + b"y" * serving.MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431, b"head_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, b"head_too_large"),
        (b"PUT /v1/holds/x HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", 413, b"body_too_large"),
        (b"PUT /v1/holds/x HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, b"body_too_large"),
        (b"PUT /v1/holds/x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, b"request_invalid"),
        (b"PUT /v1/holds/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, b"request_invalid"),
        (b"PUT /v1/holds/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, b"length_required"),
        (b"PUT /v1/holds/x HTTP/1.1\r\nContent-Length: 5\r\n\r\n{", 408, b"too_slow"),
        (b"GET /v1/status HTTP/1.1\r\nHost: x\r\n", 408, b"too_slow"),
        (b"GET /v1/status HTTP/9.9\r\n\r\n", 505, b"version_not_supported"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400, b"request_invalid"),
        (b"{}\r\n\r\n", 400, b"request_invalid"),
    ],
)
def test_a_request_that_is_none(impatient, request_, status, code):
    with impatient.raw() as connection:
        connection.sendall(request_)
        found, answer = said(connection)
    assert (found, code in answer) == (status, True), answer
    assert impatient.ask("GET", "/v1/health").status == 200


def test_who_says_nothing_is_let_go(impatient):
    with impatient.raw() as connection:
        assert said(connection) == (0, b"")


def test_who_ends_in_the_middle_does_no_harm(impatient):
    for text in (b"", b"GET", b"PUT /v1/holds/x HTTP/1.1\r\nContent-Length: 5\r\n\r\n{"):
        with impatient.raw() as connection:
            connection.sendall(text)
    eventually(lambda: not impatient.door._open)
    assert impatient.ask("GET", "/v1/health").status == 200


def test_one_connection_takes_many_requests(local):
    connection = client.Connection(local.path, 10)
    for _ in range(3):
        connection.request("GET", "/v1/health")
        assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.request("PUT", "/v1/holds/x", b"[]")
    refused = connection.getresponse()
    assert (refused.status, refused.read()[:1]) == (422, b"{")
    connection.request("GET", "/v1/health")
    assert connection.getresponse().status == 200
    connection.close()


def test_only_so_many_connections(local):
    with contextlib.ExitStack() as stack:
        for _ in range(server.MAX_CONNECTIONS):
            stack.enter_context(local.raw())
        eventually(lambda: len(local.door._open) == server.MAX_CONNECTIONS)
        answer = local.ask("GET", "/v1/health")
        assert (answer.status, answer.json["code"]) == (503, "too_many_connections")
    eventually(lambda: not local.door._open)
    assert local.ask("GET", "/v1/health").status == 200


def test_streams_leave_room_for_acts(local):
    with contextlib.ExitStack() as stack:
        for _ in range(server.MAX_STREAMS):
            connection = stack.enter_context(local.raw())
            connection.sendall(b"GET /v1/events HTTP/1.1\r\n\r\n")
            assert b"200 OK" in connection.recv(100_000)
        answer = local.ask("GET", "/v1/events")
        assert (answer.status, answer.json["code"]) == (503, "too_many_streams")
        assert local.ask("PUT", "/v1/holds/x", {"expires_in_s": 1}).status == 201


def test_a_reader_that_takes_nothing_is_dropped_and_holds_nobody_up():
    with door_world.local(patience=0.05) as local, local.raw() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /v1/events HTTP/1.1\r\n\r\n")
        eventually(lambda: local.door._open)
        for _ in range(200):
            local.do(lambda: local.robot.worker.tell("noise", "x" * 2000))
        eventually(lambda: not local.door._open)
        assert local.ask("GET", "/v1/health").status == 200


def test_an_agent_that_is_at_work_is_said_to_be(local, monkeypatch):
    """Acts are not done later behind the client's back; what is to be seen is what was last known."""
    monkeypatch.setattr(desk, "ACT_S", 0.05)
    monkeypatch.setattr(desk, "LOOK_S", 0.05)
    manifest = local.order({"f": "1"})
    is_busy, go_on = threading.Event(), threading.Event()

    def work() -> None:
        is_busy.set()
        assert go_on.wait(10)

    worker = threading.Thread(target=local.do, args=(work,))
    worker.start()
    assert is_busy.wait(10)
    hold = local.ask("PUT", "/v1/holds/x", {"expires_in_s": 60})
    health = local.ask("GET", "/v1/health")
    seen = [local.ask("GET", "/v1/status") for _ in range(5)]
    waiting = local.items._queue.qsize()
    go_on.set()
    worker.join(10)

    assert [(each.status, each.json["code"]) for each in (hold, health)] == [(503, "agent_busy")] * 2
    assert hold.headers["retry-after"] == "1"
    assert {(each.status, each.json["current"]["id"]) for each in seen} == {(200, manifest.id)}
    assert waiting == 3, "the hold, the health, and one look for all who wanted one"
    assert local.ask("GET", "/v1/holds").json == {"holds": []}


def test_a_defect_is_said_and_logged(local, monkeypatch, caplog):
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(local.robot.worker, "retry_now", fail)
    answer = local.ask("POST", "/v1/retry")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert "a request brought out a defect of the agent" in caplog.messages
    assert local.ask("GET", "/v1/health").status == 200


def test_a_body_of_the_greatest_size_is_read(local):
    answer = local.ask("PUT", "/v1/holds/x", b" " * routes.MAX_BODY_BYTES)
    assert (answer.status, answer.json["code"]) == (400, "json_invalid")


def test_the_agent_ends_while_clients_are_there(local):
    with local.raw() as idle, local.raw() as stream:
        stream.sendall(b"GET /v1/events HTTP/1.1\r\n\r\n")
        eventually(lambda: len(local.door._open) == 2)
        local.items.put(inbox.Stop())
        said(stream)
        assert said(idle) == (0, b"")
    eventually(lambda: not local.path.exists())
    with pytest.raises(errors.AgentError, match="there is no agent at"):
        client.Client(local.path).get("/v1/health")
