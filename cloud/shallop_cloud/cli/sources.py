"""Config files on this machine: read byte for byte, and named in what is said about them."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from shallop_cloud.cli import progress
from shallop_cloud.cli.parameters import Config

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api

STDIN = "-"
INLINE_BYTES = 65_536
"""What is larger, or no text, is uploaded by itself before the request that names it."""
PIECE_BYTES = 1_048_576
SLOW_BYTES = 8_388_608
"""From so many bytes on it is said how far an upload is."""


def check_once(configs: Sequence[Config]) -> None:
    """Sees to it that each place of a release is given once, and stdin too.

    Raises:
        click.UsageError: it is not so.
    """
    files: dict[str, str] = {}
    for each in configs:
        if each.place in files:
            both = f"{files[each.place]} and {each.file}"
            raise click.UsageError(f"config type {each.place!r} is given twice: {both}")
        if each.file == STDIN and STDIN in files.values():
            raise click.UsageError("stdin (-) can be read for one config only")
        files[each.place] = each.file


def bodies(api: Api, configs: Sequence[Config]) -> list[dict[str, Any]]:
    """The configs as the API takes them. What is binary or large is uploaded, unless the server has it.

    Raises:
        click.UsageError: a place is given twice, or a file cannot be read.
        shallop_cloud.cli.problems.Problem: the server does not take a file.
    """
    check_once(configs)
    opened = [(each, _opened(each.file)) for each in configs]
    return [
        {"config_type": each.config_type, "slot": each.slot, **_body(api, each.file, file)} for each, file in opened
    ]


def _opened(file: str) -> IO[bytes]:
    """A file that can be read twice; raises as `bodies` does."""
    try:
        return io.BytesIO(sys.stdin.buffer.read()) if file == STDIN else Path(file).open("rb")
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: Exception) -> click.UsageError:
    return click.UsageError(f"cannot read {file!r}: {getattr(error, 'strerror', None) or error}")


def _body(api: Api, name: str, file: IO[bytes]) -> dict[str, str]:
    with file:
        try:
            start = file.read(INLINE_BYTES + 1)
            if len(start) <= INLINE_BYTES:
                try:
                    return {"content": start.decode()}
                except UnicodeDecodeError:
                    pass
            file.seek(0)
            hashed = hashlib.sha256()
            size = 0
            while piece := file.read(PIECE_BYTES):
                hashed.update(piece)
                size += len(piece)
            digest = f"sha256:{hashed.hexdigest()}"
            if not api.has_content(digest, size):
                file.seek(0)
                _upload(api, name, file, digest, size)
        except OSError as error:
            raise _unreadable(name, error) from None
    return {"content_digest": digest}


def _upload(api: Api, name: str, file: IO[bytes], digest: str, size: int) -> None:
    if size < SLOW_BYTES:
        api.upload(digest, size, _pieces(file))
        return
    with progress.counted(f"uploading {shown(name)}") as tell:
        api.upload(digest, size, _told(_pieces(file), size, tell))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _told(pieces: Iterator[bytes], size: int, tell: progress.Tell) -> Iterator[bytes]:
    """The same pieces; with every tenth part of them it is said how far they are."""
    sent, due = 0, size / 10
    for piece in pieces:
        yield piece
        sent += len(piece)
        if sent >= due:
            tell(f"{sent / 1e6:.0f} of {size / 1e6:.0f} MB")
            due = sent + size / 10


def names(configs: Sequence[Config]) -> dict[str, str]:
    """What people call the file of each place; the API knows it by config type, with or without the slot."""
    told = {f"{each.config_type}/{each.slot}": shown(each.file) for each in configs}
    return {**told, **{each.place: shown(each.file) for each in configs}}


def data(file: str) -> bytes:
    """The bytes of a file.

    Raises:
        click.UsageError: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None


def shown(file: str) -> str:
    """The name of a file, for people."""
    return "<stdin>" if file == STDIN else file
