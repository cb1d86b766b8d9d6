"""A server in memory, and the command that talks to it."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cli_world
import pytest
from shallop_cloud import cli


@dataclasses.dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str = ""
    err: str = ""


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs ``shallop`` with arguments, as a script would: no terminal, and an environment without its variables."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("SHALLOP_URL", "SHALLOP_TOKEN", "NO_COLOR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = cli.main(arguments)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def world(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[cli_world.World]:
    """A server, which the environment names."""
    with cli_world.serving() as world:
        monkeypatch.setenv("SHALLOP_URL", world.url)
        monkeypatch.setenv("SHALLOP_TOKEN", cli_world.TOKEN)
        yield world
