"""The MQTT password file: mosquitto's format, read and written whole."""

import base64
import hashlib
import os
import shutil
import stat
import subprocess

import pytest
from shallop_cloud import files
from shallop_cloud.passwords import (
    PasswordFileError,
    hash_password,
    parse_passwords,
    read_passwords,
    verify_password,
    write_passwords,
)

# Written by mosquitto_passwd 2.0.11: `mosquitto_passwd -b -c FILE dev-a 'correct horse'`.
FROM_MOSQUITTO = (
    "$7$101$1DREk7pRVlhqsPkZ$zkKyW/zBGaPWP0Tfj4OqN/1IP/Q2LYSnMpHJbiJU/6S6gf1J3JxKik8WDyQpTIrpI5fG5/dvLwf+gkczW7CWbQ=="
)


def test_a_hash_is_what_mosquitto_expects():
    empty, scheme, iterations, salt, key = hash_password("token").split("$")
    assert (empty, scheme, iterations) == ("", "7", "101")
    raw_salt = base64.b64decode(salt)
    assert len(raw_salt) == 12
    assert base64.b64decode(key) == hashlib.pbkdf2_hmac("sha512", b"token", raw_salt, 101, 64)


def test_a_password_verifies_against_its_own_hash_only():
    hashed = hash_password("tökén")
    assert verify_password("tökén", hashed)
    assert not verify_password("token", hashed)
    assert not verify_password("", hashed)


def test_two_hashes_of_one_password_share_nothing():
    assert hash_password("token") != hash_password("token")


def test_a_hash_written_by_mosquitto_passwd_verifies():
    assert verify_password("correct horse", FROM_MOSQUITTO)
    assert not verify_password("correct house", FROM_MOSQUITTO)


@pytest.mark.parametrize(
    "hashed",
    ["", "token", "$6$c2FsdA==$a2V5", "$7$101$c2FsdA==", "$7$0$c2FsdA==$a2V5", "$7$x$c2FsdA==$a2V5", "$7$101$$a2V5",
     "$7$101$c2FsdA==$", "$7$101$c2FsdA==$a2V", "$7$101$c2FsdA==$a2V5$", "$7$101$c2 FsdA==$a2V5"],
)  # fmt: skip
def test_what_is_no_hash_is_an_error_and_not_a_wrong_password(hashed: str):
    with pytest.raises(PasswordFileError):
        verify_password("token", hashed)


def test_what_is_written_is_what_is_read(tmp_path):
    users = {"cloud": hash_password("a"), "dev-7k3qf": hash_password("b")}
    write_passwords(tmp_path / "mqtt", users)
    assert read_passwords(tmp_path / "mqtt") == users
    write_passwords(tmp_path / "mqtt", {})
    assert read_passwords(tmp_path / "mqtt") == {}


def test_only_its_owner_can_read_it_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_passwords(tmp_path / "mqtt", {"cloud": hash_password("a")})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mqtt").stat().st_mode) == 0o600


def test_comments_and_empty_lines_are_skipped():
    hashed = hash_password("a")
    assert parse_passwords(f"# by hand\n\n  \ncloud:{hashed}\r\n") == {"cloud": hashed}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cloud", "line 1: expected user:"),
        ("# ok\ncloud:plain", "line 2: expected user:"),
        (":$7$101$c2FsdA==$a2V5", "line 1: '' cannot be a user name"),
        ("a b:$7$101$c2FsdA==$a2V5", "line 1: 'a b' cannot be a user name"),
        ("a:$7$101$c2FsdA==$a2V5\na:$7$101$c2FsdA==$a2V5", "line 2: user 'a' stands there twice"),
    ],
)
def test_a_malformed_line_is_named(text: str, message: str):
    with pytest.raises(PasswordFileError) as caught:
        parse_passwords(text)
    assert str(caught.value).startswith(message)


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "mqtt"
    with pytest.raises(PasswordFileError, match=r"mqtt: No such file"):
        read_passwords(path)
    path.write_bytes(b"\xff")
    with pytest.raises(PasswordFileError, match=r"mqtt: not UTF-8"):
        read_passwords(path)
    path.write_text("x")
    with pytest.raises(PasswordFileError, match=r"mqtt: line 1: "):
        read_passwords(path)


@pytest.mark.parametrize("user", ["", "a:b", "a\nb", "#a", "a b", "a\0"])
def test_a_user_that_cannot_stand_in_the_file_leaves_it_as_it_was(tmp_path, user: str):
    path = tmp_path / "mqtt"
    write_passwords(path, {"cloud": hash_password("a")})
    before = path.read_bytes()
    with pytest.raises(PasswordFileError):
        write_passwords(path, {"cloud": hash_password("b"), user: hash_password("c")})
    assert path.read_bytes() == before


class PowerCut(BaseException):
    """The machine is gone; nothing after it runs."""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_cut_before_the_switch_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, step: str):
    path = tmp_path / "mqtt"
    write_passwords(path, {"cloud": hash_password("a")})
    before = path.read_bytes()

    def cut(*_: object):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(*((files.os, "fsync", cut) if step == "fsync" else (files.Path, "replace", cut)))
        with pytest.raises(PowerCut):
            write_passwords(path, {"cloud": hash_password("b")})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="mosquitto_passwd is not installed")
def test_the_mosquitto_on_this_machine_writes_what_we_read(tmp_path):
    path = tmp_path / "mqtt"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(path), "dev-a", "correct horse"], check=True)
    assert verify_password("correct horse", read_passwords(path)["dev-a"])
