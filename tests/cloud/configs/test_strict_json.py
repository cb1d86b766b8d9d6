"""Strict JSON agrees with Python's ``json``, except where two programs could read a text differently."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shallop_cloud.configs import Document, Format, Position, Refused, parse


def read(text: str) -> Document:
    return parse(text.encode(), Format.JSON)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "1:1: the document is empty: JSON needs a value"),
        (" \n ", "2:2: the document is empty: JSON needs a value"),
        ('{"a": 1,\n "a": 2}', "2:2: key 'a' occurs twice: first at 1:2"),
        ('{"a": 1, "\\u0061": 2}', "1:10: key 'a' occurs twice: first at 1:2"),
        ("[NaN]", "1:2: JSON has no NaN: use a number or null"),
        ("Infinity", "1:1: JSON has no Infinity: use a number or null"),
        ("[1, -Infinity]", "1:5: JSON has no -Infinity: use a number or null"),
        ("1e999", "1:1: 1e999 is beyond the range of a float"),
        ("9" * 401, "1:1: a number of 401 characters is too long: at most 400"),
        ('["\\ud800"]', "1:2: a text with half of a surrogate pair is not valid Unicode"),
        ('{"\\udc00x": 1}', "1:2: a text with half of a surrogate pair is not valid Unicode"),
        ("\ufeff{}", "1:1: JSON does not begin with a byte order mark: save the file as UTF-8 without BOM"),
        ("[" * 65, "1:65: nested deeper than 64 levels"),
        ('{"a":' * 65, "1:321: nested deeper than 64 levels"),
        ("[1,]", "1:4: JSON has no comma before ']'"),
        ('{"a": 1,}', "1:9: JSON has no comma before '}'"),
        ("{'a': 1}", "1:2: a key in double quotes is expected here"),
        ("{1: 1}", "1:2: a key in double quotes is expected here"),
        ('{"a" 1}', "1:6: ':' is expected after a key"),
        ('{"a": }', "1:7: a JSON value is expected here"),
        ('{"a": 1 "b": 2}', "1:9: ',' or '}' is expected here"),
        ("[1 2]", "1:4: ',' or ']' is expected here"),
        ("[1", "1:3: ',' or ']' is expected here"),
        ("[", "1:2: a JSON value is expected here"),
        ("{} x", "1:4: text after the end of the JSON value"),
        ("01", "1:2: text after the end of the JSON value"),
        ("-", "1:1: a JSON value is expected here"),
        ("-x", "1:1: '-x' is not a JSON value: texts need double quotes"),
        ("fast", "1:1: 'fast' is not a JSON value: texts need double quotes"),
        ("True", "1:1: 'True' is not a JSON value: texts need double quotes"),
        ('"abc', "1:5: the text does not end"),
        ('"a\tb"', "1:3: a control character in a text must be escaped"),
        ('"a\\x"', "1:3: unknown escape in a text"),
        ("// comment\n{}", "1:1: a JSON value is expected here"),
        ("[" + "1," * 100_000 + "1]", "1:200000: more than 100000 values"),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_what_is_refused_says_where_and_why(text: str, finding: str) -> None:
    with pytest.raises(Refused) as refused:
        read(text)
    assert [str(each) for each in refused.value.findings] == [finding]


def test_places() -> None:
    document = read('{\n  "a": [10,\n    {"b": "x"}],\r\n  "ü": {}\n}')
    assert document.position(()) == Position(1, 1)
    assert document.position(("a",)) == Position(2, 3)
    assert document.position(("a", 1)) == Position(3, 5)
    assert document.position(("a", 1, "b")) == Position(3, 6)
    assert document.position(("ü",)) == Position(4, 3)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values, st.sampled_from([None, 0, 2]), st.booleans())
def test_valid_documents_are_read_as_json_loads_does(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    read_here, read_there = read(text).value, json.loads(text)
    assert read_here == read_there
    assert json.dumps(read_here) == json.dumps(read_there)  # the same types, the same order


@given(st.text(st.sampled_from('{}[]",:0123456789.eE+-truefalsn \n\\ux'), max_size=40))
def test_what_is_accepted_json_loads_accepts_too(text: str) -> None:
    try:
        value = read(text).value
    except Refused:
        return
    assert json.loads(text) == value
