"""Programs of the operator's: what they say comes back, and none of them outlives its bound."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from pathlib import Path

import pytest
from shallop_cloud import commands


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_what_it_is_given_and_what_it_says() -> None:
    given = b"x" * 1_000_000
    assert commands.run(sh("cat"), given, within_s=10, output=2_000_000) == given
    said = commands.run(sh('printf "%s" "$SHALLOP_DEVICE"'), b"", within_s=10, output=100, told={"SHALLOP_DEVICE": "a"})
    assert said == b"a"


def test_who_does_not_listen_is_not_told_the_rest() -> None:
    assert commands.run(sh("exec 0<&-; echo done"), b"x" * 1_000_000, within_s=10, output=100) == b"done\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/nonexistent"], "/nonexistent cannot be started: No such file or directory"),
        (sh("echo out of paper >&2; exit 3"), "sh ended with code 3: out of paper"),
        (sh("kill -9 $$"), "sh ended with signal 9"),
        (sh("yes"), "sh wrote more than 1000 bytes"),
        (sh("exec 1>&- 2>&-; sleep 60"), "sh did not end within 0.3 s"),
        (sh("sleep 60"), "sh did not end within 0.3 s"),
    ],
)
def test_what_goes_wrong_is_said(command: list[str], words: str) -> None:
    began = time.monotonic()
    with pytest.raises(commands.CommandFailed, match=words):
        commands.run(command, b"", within_s=0.3 if "within" in words else 10, output=1_000)
    assert time.monotonic() - began < 5


def test_what_it_started_is_killed_with_it(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {shlex.quote(str(child))}; wait"
    with pytest.raises(commands.CommandFailed):
        commands.run(sh(script), b"", within_s=0.5, output=100)
    number = int(child.read_text())
    end = time.monotonic() + 5
    while _runs(number) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(number)


def _runs(number: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_no_descriptor_is_left() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for script in ("true", "exit 1", "sleep 60"):
        with contextlib.suppress(commands.CommandFailed):
            commands.run(sh(script), b"", within_s=0.2 if "sleep" in script else 10, output=10)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_words_of_a_command() -> None:
    assert commands.parse(f"{sys.executable} -c 'a b'") == (sys.executable, "-c", "a b")
    for text in ("", "  ", "a 'b"):
        with pytest.raises(ValueError, match=r"empty|quotation"):
            commands.parse(text)
