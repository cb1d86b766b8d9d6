"""Bytes become documents, or one finding that says what is wrong with the file."""

from __future__ import annotations

import pytest
from shallop_cloud.configs import ConfigSchema, Finding, Format, Position, Refused, parse, pointer_of


@pytest.mark.parametrize("kind", Format)
@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"a: \xff", Finding("not UTF-8 text: byte 0xFF", line=1, column=4)),
        ("# ü\nb: \xe4".encode("latin-1"), Finding("not UTF-8 text: byte 0xFC", line=1, column=3)),
        (b"ok\n\xc3\xbc \xed\xa0\x80", Finding("not UTF-8 text: byte 0xED", line=2, column=3)),
        (b"a: 1\nb: \0", Finding("a NUL character is not allowed in a config file", line=2, column=4)),
        (b"x" * 101, Finding("101 bytes is too large: at most 100")),
    ],
)
def test_files_that_are_no_text(kind: Format, content: bytes, finding: Finding) -> None:
    with pytest.raises(Refused) as refused:
        parse(content, kind, max_bytes=100)
    assert refused.value.findings == (finding,)


def test_a_text_is_any_text() -> None:
    document = parse("[{ü: \n".encode(), Format.TEXT)
    assert document.value == "[{ü: \n"
    assert document.position(("anything",)) == Position(1, 1)


def test_opaque_accepts_what_can_be_parsed_and_no_more() -> None:
    opaque = ConfigSchema.opaque()
    assert opaque.check(b"1: a\n/**: [b]\n", Format.YAML) == []
    assert opaque.check(b"any text", Format.TEXT) == []
    (twice,) = opaque.check(b"a: 1\na: 2", Format.YAML)
    assert str(twice) == "2:1: key 'a' occurs twice: first at 1:1"
    (open_end,) = opaque.check(b"{", Format.JSON)
    assert str(open_end) == "1:2: a key in double quotes is expected here"
    assert len(opaque.check(b"a: 1", Format.YAML, max_bytes=3)) == 1


def test_a_finding_reads_as_editors_expect() -> None:
    finding = Finding("too fast", "/limits/max_speed", 3, 3)
    assert str(finding) == "3:3 /limits/max_speed: too fast"
    assert str(finding.in_file("motion.yaml")) == "motion.yaml:3:3 /limits/max_speed: too fast"
    assert str(Refused([finding, Finding("no")])) == "3:3 /limits/max_speed: too fast\n1:1: no"


def test_pointers_are_escaped() -> None:
    assert pointer_of(("/**", "a~b", 3, "")) == "/~1**/a~0b/3/"
