"""Digests of bytes and of sets of files."""

from __future__ import annotations

import hashlib
import re

import pytest
from shallop_protocol import digests
from shallop_protocol.digests import FileDigest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ONE = FileDigest("nav2/params.yaml", "0644", 12, digests.of_bytes(b"speed: 1.5\r\n"))
TWO = FileDigest("a.json", "0755", 0, EMPTY)


def test_the_digest_of_bytes_is_sha256() -> None:
    assert digests.of_bytes(b"") == EMPTY
    assert re.match(digests.PATTERN, EMPTY)


def test_bytes_may_come_in_pieces() -> None:
    counted = digests.Counted()
    assert (counted.size, counted.digest) == (0, EMPTY)
    for piece in (b"speed:", b"", b" 1.5\r\n"):
        counted.add(piece)
    assert (counted.size, counted.digest) == (ONE.size, ONE.digest)


def test_the_digest_of_files_is_the_documented_formula() -> None:
    text = f"a.json\x000755 0 {EMPTY}\nnav2/params.yaml\x000644 12 {ONE.digest}\n"
    assert digests.of_files([ONE, TWO]) == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert digests.of_files([]) == EMPTY


def test_the_order_of_files_does_not_matter() -> None:
    assert digests.of_files([ONE, TWO]) == digests.of_files(iter([TWO, ONE]))


@pytest.mark.parametrize(
    "other",
    [
        [ONE],
        [ONE, TWO._replace(path="b.json")],
        [ONE, TWO._replace(mode="0644")],
        [ONE, TWO._replace(size=1)],
        [ONE, TWO._replace(digest=ONE.digest)],
        [ONE, TWO, TWO],
    ],
)
def test_every_part_of_every_file_counts(other: list[FileDigest]) -> None:
    assert digests.of_files(other) != digests.of_files([ONE, TWO])
