"""YAML 1.2's core schema, strictly, with places: what a robot engineer writes is what is read."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from shallop_cloud.configs import Document, Finding, Format, Position, Refused, parse, yaml12


def read(text: str, **options: bool) -> Document:
    return parse(text.encode(), Format.YAML, **options)


def refusal(text: str, **options: bool) -> str:
    with pytest.raises(Refused) as refused:
        read(text, **options)
    (finding,) = refused.value.findings
    return str(finding)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, word) for word in ("on", "off", "yes", "no", "y", "n", "On", "NO", "nUll", "tRue")),
        *((word, word) for word in ("2024-05-01", "12:30:45", "1_000", "0b11", "1.2.3", "+0x1F", ".", "+.e3")),
        *((word, word) for word in ("..", "1e", "0o8", "inf", ".infinity", "nan", "0x", "=", "1,000")),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-17", -17),
        ("+3", 3),
        ("00", 0),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-0.0", -0.0),
        ("6.02E+23", 6.02e23),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("+.INF", math.inf),
        ("'010'", "010"),
        ('"true"', "true"),
        ("! 12", "12"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("!!float 3", 3.0),
        ("!!bool 'true'", True),
        ("!!null ''", None),
        ("|\n 1\n", "1\n"),
    ],
)
def test_scalars_are_read_by_the_core_schema(written: str, meant: object) -> None:
    value = read(f"key: {written}").value["key"]
    assert value == meant
    assert type(value) is type(meant)


def test_nan_is_a_float() -> None:
    assert all(math.isnan(value) for value in read("[.nan, .NaN, .NAN]").value)


def test_an_empty_text_is_null() -> None:
    assert read("").value is None
    assert read("# only a comment\n").value is None


def test_keys_that_yaml_11_takes_for_booleans_are_text() -> None:
    assert read("{x: 1, y: 2, on: 3, no: 4}").value == {"x": 1, "y": 2, "on": 3, "no": 4}
    assert read("/**:\n  ros__parameters: {}").value == {"/**": {"ros__parameters": {}}}


def test_a_byte_order_mark_is_left_out() -> None:
    assert read("\ufeffa: 1").value == {"a": 1}


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: key 'a' occurs twice: first at 1:1"),
        ("l: {x: 1, 'x': 2}", "1:11: key 'x' occurs twice: first at 1:5"),
        ("a: {<<: {}, <<: {}}", "1:13: key '<<' occurs twice: first at 1:5"),
        ("a:\n\tb: 1", "2:1: YAML does not allow tabs for indentation: use spaces"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document begins here: a config file holds exactly one"),
        ("a: 1\n...\n---\n", "3:1: a second document begins here: a config file holds exactly one"),
        ("1: x", '1:1: mapping keys must be text: write "1" with quotes'),
        ("a:\n  true: x", '2:3: mapping keys must be text: write "true" with quotes'),
        ("? [a]\n: b", "1:3: mapping keys must be text, not lists or mappings"),
        ("a: &n 5\n*n : 1", '2:1: mapping keys must be text: write "5" with quotes'),
        ("a: *b", "1:4: alias *b refers to nothing: no anchor &b before it"),
        ("a: &a {b: *a}", "1:11: alias *a contains itself"),
        ("a: 1\n<<: 5", "2:5: a merge key '<<' takes a mapping or a list of mappings"),
        ("<<: [{a: 1}, 2]", "1:5: a merge key '<<' takes a mapping or a list of mappings"),
        ("a: 1e999", "1:4: 1e999 is beyond the range of a float"),
        ("a: " + "9" * 401, "1:4: a number of 401 characters is too long: at most 400"),
        ("a: !!int x", "1:4: 'x' is not a !!int"),
        ("a: \x07", "1:4: the character U+0007 is not allowed in YAML"),
        ("[" * 65, "1:65: nested deeper than 64 levels"),
        ("a: [1\nb: 2", "2:2: did not find expected ',' or ']' while parsing a flow sequence"),
        ("%YAML 2.0\n--- a", "1:1: found incompatible YAML document"),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, finding: str) -> None:
    assert refusal(text) == finding


@pytest.mark.parametrize(
    "tag",
    ["!foo", "!!python/object/apply:os.system", "!<tag:yaml.org,2002:binary>", "!!set", "!!timestamp", "!!map"],
)
def test_tags_outside_the_core_schema_are_refused(tag: str) -> None:
    message = refusal(f"a: 1\nb: {tag} x")
    assert message.startswith("2:4: tag '!")


def test_a_collection_with_a_foreign_tag_is_refused() -> None:
    assert refusal("!!omap [a: 1]").startswith("1:1: tag '!!omap'")
    assert refusal("!!seq {a: 1}").startswith("1:1: tag '!!seq'")
    assert read("!!map {a: !!seq [1]}").value == {"a": [1]}


def test_aliases_and_merge_keys() -> None:
    text = """
base: &base {speed: 1.0, mode: slow}
fast:
  <<: *base
  speed: 2.0
both:
  <<: [{mode: first}, *base]
same: *base
quoted: {"<<": 1}
"""
    assert read(text).value == {
        "base": {"speed": 1.0, "mode": "slow"},
        "fast": {"speed": 2.0, "mode": "slow"},
        "both": {"mode": "first", "speed": 1.0},
        "same": {"speed": 1.0, "mode": "slow"},
        "quoted": {"<<": 1},
    }


def bomb(fan_out: int, levels: int) -> str:
    """A few hundred bytes that stand for ``fan_out ** levels`` values."""
    lines = ["a0: &a0 [" + ",".join("x" * fan_out) + "]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * fan_out)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_what_aliases_expand_to_is_bounded() -> None:
    assert refusal(bomb(9, 9)).endswith(f"more than {yaml12.MAX_NODES} values, aliases expanded")
    merges = "\n".join(
        ["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9))]
    )
    assert refusal(merges).endswith("aliases expanded")
    assert len(read(bomb(9, 4)).value["a3"]) == 9


def test_depth_counts_through_aliases() -> None:
    text = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 64))])
    assert refusal(text) == "64:12: nested deeper than 64 levels through alias *a62"


def test_keys_of_any_kind_are_tolerated_where_asked() -> None:
    document = read("1: a\ntrue: b\n~: c\n0x10: {2.5: d}", any_keys=True)
    assert document.value == {"1": "a", "true": "b", "~": "c", "0x10": {"2.5": "d"}}
    assert refusal("1: a\n1: b", any_keys=True) == "2:1: key '1' occurs twice: first at 1:1"


def test_places() -> None:
    document = read("""\
# comment
limits:
  max_speed: 12.5
  empty:
flow: {a: [1, {b: 2}]}
list:
  - x
  - k: v
alias: &v [9]
use: *v
base: &b {k: 1}
over: {<<: *b, own: 2}
""")
    assert document.position(()) == Position(2, 1)
    assert document.position(("limits", "max_speed")) == Position(3, 3)
    assert document.position(("limits",)) == Position(2, 1)
    assert document.position(("limits", "empty")) == Position(4, 3)
    assert document.position(("flow", "a", 1, "b")) == Position(5, 16)
    assert document.position(("list", 1)) == Position(8, 5)
    assert document.position(("list", 1, "k")) == Position(8, 5)
    assert document.position(("use",)) == Position(10, 1)
    assert document.position(("use", 0)) == Position(9, 12)
    assert document.position(("over", "k")) == Position(11, 11)
    assert document.position(("over", "own")) == Position(12, 16)
    assert document.position(("limits", "nowhere", 3)) == Position(2, 1)


@given(st.text(st.sampled_from("ab01:-[]{},&*<>!|'\"\n\t #?%@~.") | st.characters(), max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        content = text.encode()
    except UnicodeEncodeError:
        return
    for any_keys in (False, True):
        finding = Finding("none")
        try:
            parse(content, Format.YAML, any_keys=any_keys)
        except Refused as refused:
            (finding,) = refused.findings
        assert finding.message
        assert min(finding.line, finding.column) >= 1


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(plain)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    # Quoted throughout, since PyYAML writes for YAML 1.1.
    written = yaml.safe_dump(value, default_style='"', allow_unicode=False)
    assert read(written).value == value


def test_without_libyaml_it_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x {b: [1, .inf, 'q']}\nc:\n  <<: *x\n  d:\n"
    fast = read(text)
    monkeypatch.setattr(yaml12, "LOADER", yaml.SafeLoader)
    slow = read(text)
    assert slow.value == fast.value
    assert slow.position(("c", "d")) == fast.position(("c", "d"))
    assert refusal("a: 1\na: 2") == "2:1: key 'a' occurs twice: first at 1:1"
