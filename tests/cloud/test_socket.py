"""paho's socket with a buffer each way."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from shallop_cloud.link.socket import CHUNK, Buffered

Ends = tuple[Buffered, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    with theirs:
        buffered = Buffered(ours)
        yield buffered, theirs
        buffered.close()


def test_what_was_read_at_once_is_given_by_the_piece(ends: Ends) -> None:
    buffered, theirs = ends
    theirs.sendall(b"abcdef")
    assert buffered.recv(1) == b"a"
    assert buffered.pending() == 5
    theirs.sendall(b"gh")
    assert [buffered.recv(3), buffered.recv(9), buffered.recv(9)] == [b"bcd", b"ef", b"gh"]
    assert not buffered.has_input
    with pytest.raises(BlockingIOError):
        buffered.recv(1)


def test_the_end_is_the_end(ends: Ends) -> None:
    buffered, theirs = ends
    theirs.close()
    assert buffered.recv(1) == b""


def test_what_is_sent_leaves_by_the_buffer(ends: Ends) -> None:
    buffered, theirs = ends
    assert [buffered.send(b"abc"), buffered.send(b"def")] == [3, 3]
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(10)
    buffered.flush()
    assert (theirs.recv(10), buffered.has_output) == (b"abcdef", False)


def test_what_the_socket_does_not_take_waits(ends: Ends) -> None:
    buffered, theirs = ends
    data = bytes(range(256)) * (40 * CHUNK // 256)
    for start in range(0, len(data), 1_000):
        piece = data[start : start + 1_000]
        assert buffered.send(piece) == len(piece)
    assert buffered.has_output
    received = b""
    while len(received) < len(data):
        buffered.flush()
        received += theirs.recv(CHUNK)
    assert received == data


def test_closing_sends_what_waits(ends: Ends) -> None:
    buffered, theirs = ends
    buffered.send(b"bye")
    buffered.close()
    assert (theirs.recv(10), theirs.recv(10)) == (b"bye", b"")
