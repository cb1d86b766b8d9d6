"""The socket: who may come in, what an agent that died left there, and an agent that has to go on without one."""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path

import door_world
import pytest
from shallop_device import errors
from shallop_device.door import client, listening


@pytest.fixture
def path(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)  # the names of temporary directories are longer than a socket's may be
    return Path("door.sock")


def test_owner_and_group_and_nobody_else(path):
    earlier = os.umask(0)
    try:
        listening.listen(path, "daemon").close()
    finally:
        os.umask(earlier)
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), stat.S_ISSOCK(found.st_mode)) == (0o660, True)
    assert found.st_gid == grp.getgrnam("daemon").gr_gid


def test_what_a_dead_agent_left_is_removed(path):
    listening.listen(path, None).close()
    assert path.exists()
    with listening.listen(path, None), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def test_a_living_agent_keeps_its_socket(path):
    with listening.listen(path, None) as first:
        with pytest.raises(errors.AgentError, match="another process does"):
            listening.listen(path, None)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            first.accept()[0].close()


def test_what_is_no_socket_is_left_alone(path):
    path.write_text("mine")
    with pytest.raises(errors.AgentError, match="something else is there; move it away"):
        listening.listen(path, None)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("place", "group", "words"),
    [
        ("missing/door.sock", None, "there is no directory missing; make it"),
        ("x" * 108, None, "too long for a socket: at most 107 bytes"),
        ("door.sock", "no-such-group", "groupadd --system no-such-group"),
    ],
)
def test_what_cannot_be_says_what_to_do(path, place, group, words):
    with pytest.raises(errors.AgentError, match=words):
        listening.listen(Path(place), group)
    assert not Path(place).exists()


def test_an_agent_without_a_door_works(caplog):
    with door_world.local(place=Path("/nowhere/door.sock")) as local:
        assert not local.is_open
        local.order({"f": "1"})
        assert local.do(local.robot.visible) == {"f": "1"}
    assert "the agent works without its local door: cannot listen on /nowhere/door.sock" in caplog.text


def test_a_socket_that_listens_already(path):
    """As systemd hands it over: the name in the file system is systemd's."""
    listener = listening.listen(path, None)
    with door_world.local(place=listener) as local:
        local.path = path
        assert local.ask("GET", "/v1/health").status == 200
    assert path.exists()


def test_the_socket_goes_with_the_agent():
    with door_world.local() as local:
        assert local.path.exists()
    assert not local.path.exists()


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda path: None, "there is no agent at door.sock: is shallopd running"),
        (lambda path: listening.listen(path, None).close(), "nobody listens at door.sock: shallopd is not running"),
        (lambda path: path.write_text(""), "nobody listens at door.sock"),
    ],
)
def test_a_client_that_finds_nobody(path, prepare, words):
    prepare(path)
    with pytest.raises(errors.AgentError, match=words):
        client.Client(path).get("/v1/health")


def test_a_client_that_may_not(path, monkeypatch):
    """Root may always; so the kernel's answer is made up here."""

    def refuse(_socket: object, _path: object) -> None:
        raise PermissionError(13, "Permission denied")

    with listening.listen(path, "daemon"):
        monkeypatch.setattr(socket.socket, "connect", refuse)
        with pytest.raises(errors.AgentError, match=r"its group is daemon \(usermod -aG daemon USER"):
            client.Client(path).get("/v1/health")
