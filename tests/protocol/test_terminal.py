"""Text that a terminal only shows."""

from __future__ import annotations

import json

from shallop_protocol import terminal

EVIL = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\u200be\u2066f\x00g\x7fh"
CLEAN = "abcdefgh"
OBEYED = set("\x1b\x07\x9b\u202e\u200b\u2066\x00\x7f\x85\u2028\ud800")


def test_lines_and_a_line():
    assert terminal.lines(f"{EVIL}\r\nsecond\rthird\t.") == f"{CLEAN}\nsecond\nthird\t."
    assert terminal.line(f"{EVIL}\r\nsecond") == f"{CLEAN} second"
    assert terminal.line("\ud800\x85\u2028\u061cx") == "x"
    assert terminal.lines("caf\u00e9 \U0001f916 <b>") == "caf\u00e9 \U0001f916 <b>"


def test_json_is_the_same_value_in_letters_that_do_no_harm():
    value = {EVIL: [EVIL, "caf\u00e9", 1, None]}

    text = terminal.as_json(value, 2)

    assert json.loads(text) == value
    assert not OBEYED & set(text)
    assert "caf\u00e9" in text
