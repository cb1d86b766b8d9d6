"""One value is another afterwards, and every other byte is what it was."""

from __future__ import annotations

import copy
import json
import math
import pathlib
import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from shallop_cloud.configs import Format, Refused, parse, patching, pointer_of
from shallop_cloud.configs.layout import Edit, Layout
from shallop_cloud.configs.patching import Remove, Set

ROBOTS = sorted((pathlib.Path(__file__).parents[3].parent / "shared" / "robots").rglob("*.*"))
ROBOTS = [path for path in ROBOTS if path.suffix in (".yaml", ".json")]

MOTION = """\
# Motion of the AMR-2.
limits:            # never exceeded
  # measured in May
  max_speed: 1.80  # m/s
  mode: 'velocity'

frames:
- base
- 'odom'           # wheels
stations:
  - id: dock-1
    pose: {x: 1.0, y: [2, 3]}
  - id: dock-2
none:
note: |
  first

  second

last:
  deep: 1          # tail
# the end
"""


LIMITS = "            # never exceeded\n  # measured in May"


def patched(*operations: patching.Operation, text: str = MOTION, format_: Format = Format.YAML) -> str:
    return patching.apply(text.encode(), format_, operations).decode()


def refusal(*operations: patching.Operation, text: str = MOTION, format_: Format = Format.YAML) -> str:
    with pytest.raises(Refused) as refused:
        patched(*operations, text=text, format_=format_)
    (finding,) = refused.value.findings
    return str(finding)


@pytest.mark.parametrize(
    ("operation", "old", "new"),
    [
        (Set("/limits/max_speed", 2.5), "max_speed: 1.80  # m/s", "max_speed: 2.5  # m/s"),
        (Set("/limits/mode", "torque"), "mode: 'velocity'", "mode: torque"),
        (Set("/limits/new", "on"), "'velocity'\n", "'velocity'\n  new: \"on\"\n"),
        (Set("/limits/new", {"a": {"b": []}, "c": [1]}), "'velocity'\n",
         "'velocity'\n  new:\n    a:\n      b: []\n    c: [1]\n"),
        (Set("/limits", 5), f"limits:{LIMITS}\n  max_speed: 1.80  # m/s\n  mode: 'velocity'", f"limits: 5{LIMITS}"),
        (Set("/limits", {"a": {"b": 1}}), "  max_speed: 1.80  # m/s\n  mode: 'velocity'", "  a:\n    b: 1"),
        (Set("/frames/0", "map"), "- base", "- map"),
        (Set("/frames/-", "tool"), "# wheels\n", "# wheels\n- tool\n"),
        (Set("/frames/-", {"a": 1, "b": [{"c": 2}]}), "# wheels\n", "# wheels\n- a: 1\n  b:\n    - c: 2\n"),
        (Set("/frames", {"a": 1}), "- base\n- 'odom'           # wheels", "  a: 1"),
        (Set("/frames", []), "frames:\n- base\n- 'odom'           # wheels", "frames: []"),
        (Set("/frames", [[1], {}]), "- base\n- 'odom'           # wheels", "- [1]\n- {}"),
        (Set("/stations/0", {"k": 1, "l": [2]}), "- id: dock-1\n    pose: {x: 1.0, y: [2, 3]}", "- k: 1\n    l: [2]"),
        (Set("/stations/0", 7), "- id: dock-1\n    pose: {x: 1.0, y: [2, 3]}", "- 7"),
        (Set("/stations/0/pose/z", 3), "y: [2, 3]}", "y: [2, 3], z: 3}"),
        (Set("/stations/0/pose/y/-", 4), "y: [2, 3]}", "y: [2, 3, 4]}"),
        (Set("/stations/0/pose", {"x": {"a": 1}}), "{x: 1.0, y: [2, 3]}", "{x: {a: 1}}"),
        (Set("/none", False), "none:\n", "none: false\n"),
        (Set("/note", "short"), "note: |\n  first\n\n  second\n", "note: short\n"),
        (Set("/more", 1), "# tail\n", "# tail\nmore: 1\n"),
        (Set("/a~1b~0c", math.inf), "# tail\n", '# tail\n"a/b~c": .inf\n'),
        (Set("/", None), "# tail\n", '# tail\n"": null\n'),
        (Remove("/limits/max_speed"), "  max_speed: 1.80  # m/s\n", ""),
        (Remove("/frames/0"), "- base\n", ""),
        (Remove("/frames/1"), "- 'odom'           # wheels\n", ""),
        (Remove("/stations/0/id"), "- id: dock-1\n    pose:", "- pose:"),
        (Remove("/stations/0"), "  - id: dock-1\n    pose: {x: 1.0, y: [2, 3]}\n", ""),
        (Remove("/stations/0/pose/x"), "{x: 1.0, y:", "{y:"),
        (Remove("/stations/0/pose/y"), "x: 1.0, y: [2, 3]}", "x: 1.0}"),
        (Remove("/stations/1/id"), "- id: dock-2", "- {}"),
        (Remove("/last/deep"), "last:\n  deep: 1          # tail", "last: {}"),
        (Remove("/last"), "last:\n  deep: 1          # tail\n", ""),
    ],
)  # fmt: skip
def test_yaml(operation: patching.Operation, old: str, new: str) -> None:
    assert MOTION.count(old) == 1
    assert patched(operation) == MOTION.replace(old, new)


SITE = """\
{
  "name": "lyon",
  "pose": {"x": 1.0,\t"y": 2},
  "zones": [
    { "id": 1 },
    { "id": 2 }
  ],
  "empty": []
}
"""


@pytest.mark.parametrize(
    ("operation", "old", "new"),
    [
        (Set("/name", 'a"\u00e9\n'), '"lyon"', '"a\\"\u00e9\\n"'),
        (Set("/pose/z", True), '"y": 2}', '"y": 2, "z": true}'),
        (Set("/zones/-", {"id": 3, "of": [1, 2]}), '"id": 2 }\n',
         '"id": 2 },\n    {\n      "id": 3,\n      "of": [1, 2]\n    }\n'),
        (Set("/zones/1", [{}, []]), '{ "id": 2 }', "[\n      {},\n      []\n    ]"),
        (Set("/more", {}), '"empty": []\n', '"empty": [],\n  "more": {}\n'),
        (Set("/empty/-", 1), "[]", "[1]"),
        (Remove("/name"), '"name": "lyon",\n  ', ""),
        (Remove("/pose/x"), '"x": 1.0,\t', ""),
        (Remove("/pose/y"), ',\t"y": 2', ""),
        (Remove("/zones/1"), ' },\n    { "id": 2 }\n', " }\n"),
        (Remove("/zones/0/id"), '{ "id": 1 }', "{}"),
        (Remove("/empty"), '],\n  "empty": []\n', "]\n"),
    ],
)  # fmt: skip
def test_json(operation: patching.Operation, old: str, new: str) -> None:
    assert SITE.count(old) == 1
    assert patched(operation, text=SITE, format_=Format.JSON) == SITE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "operation", "outcome"),
    [
        ("a: 1", Set("/b", 2), "a: 1\nb: 2"),
        ("a: 1\nb: 2", Remove("/b"), "a: 1"),
        ("a: 1\r\nb:\r\n  c: 2\r\n", Set("/b/d", 3), "a: 1\r\nb:\r\n  c: 2\r\n  d: 3\r\n"),
        ("a: 1\r\nb:\r\n  c: 2\r\n", Set("/b", 3), "a: 1\r\nb: 3\r\n"),
        ("a: 1\r\nb: 2", Remove("/b"), "a: 1"),
        ("\ufeffa: 1\n", Set("/a", 2), "\ufeffa: 2\n"),
        ("a: [\n  1, # one\n  2  # two\n]\n", Set("/a/-", 3), "a: [\n  1, # one\n  2,  # two\n  3\n]\n"),
        ("a: [\n  1,\n  2, # two\n]\n", Set("/a/-", 3), "a: [\n  1,\n  2, # two\n  3,\n]\n"),
        ("a: [\n  1, # one\n  2  # two\n]\n", Remove("/a/1"), "a: [\n  1 # one\n]\n"),
        ("a: [\n  1,\n  2, # two\n]\n", Remove("/a/1"), "a: [\n  1,\n]\n"),
        ("a: [1, 2, ]\n", Set("/a/-", 3), "a: [1, 2, 3, ]\n"),
        ("a: [1, ]\n", Remove("/a/0"), "a: []\n"),
        ("a: {}\n", Set("/a/b", [1]), "a: {b: [1]}\n"),
        ("a: |+\n  x\n\nb: |+\n  y\n\n", Set("/c", 1), "a: |+\n  x\n\nb: |+\n  y\n\nc: 1\n"),
        ("a: |+\n  x\n\nb: 1\n", Set("/a", 1), "a: 1\n\nb: 1\n"),
        ("- - a\n  - b\n- # re-used\n  c\n", Remove("/0/0"), "- - b\n- # re-used\n  c\n"),
        ("- - a\n  - b\n- # re-used\n  c\n", Remove("/1"), "- - a\n  - b\n"),
        ("- 1\n", Set("", {"a": 1}), "a: 1\n"),
        ("5 # five\n", Set("", [1]), "[1] # five\n"),
        ("a: 1\n", Set("/a", 1), "a: 1\n"),
        ("a: 0x10\n", Set("/a", 16), "a: 0x10\n"),
        ("a: 1\n", Set("/a", 1.0), "a: 1.0\n"),
        ("1: a\n", Set("/1", "b"), "1: b\n"),
        ("x: !!str 5\n", Set("/x", 6), "x: 6\n"),
        ("- # c\n  a: 1 # one\n- 2\n", Set("/0", 5), "- 5 # c\n- 2\n"),
        ("a: 1\nb: |+\n  x\n\n", Remove("/b"), "a: 1\n"),
        ("", Set("", {"a": 1}), "{a: 1}"),
        ("# nothing\n", Set("", "x"), "# nothing\nx"),
        ("&k a: 1\nb: *k\n", Set("", 5), "5\n"),
        ("? a\n: b\n", Set("", 5), "5\n"),
        ("? a\n: b\n", Set("/c", 5), "? a\n: b\nc: 5\n"),
        ("e: &e # c\n  a: 1\n", Set("/e/b", 2), "e: &e # c\n  a: 1\n  b: 2\n"),
        ("e: !!seq\n  - 1\n", Set("/e/-", 2), "e: !!seq\n  - 1\n  - 2\n"),
    ],
)
def test_corners_of_layout(text: str, operation: patching.Operation, outcome: str) -> None:
    assert patched(operation, text=text) == outcome


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Set("/limts/x", 1), "2:1 /limts/x: there is no key 'limts' in the document (did you mean 'limits'?)"),
        (Set("/limits/x/y", 1), "2:1 /limits/x/y: there is no key 'x' in /limits"),
        (Remove("/limits/max_sped"), "2:1 /limits/max_sped: there is no key 'max_sped' in /limits (did you mean 'max"),
        (Set("/limits/mode/x", 1), "5:3 /limits/mode/x: /limits/mode is 'velocity', which has no parts"),
        (Set("/frames/2", 1), "7:1 /frames/2: there is no item '2' in /frames, which has 2: use 0 to 1, or - for a"),
        (Set("/frames/01", 1), "7:1 /frames/01: there is no item '01'"),
        (Remove("/frames/-"), "7:1 /frames/-: there is no item '-'"),
        (Set("limits", 1), "1:1: 'limits' is no JSON pointer: begin with '/', as in /limits/max_speed"),
        (Set("/a~2", 1), "1:1: '/a~2' is no JSON pointer: write '~0' for '~'"),
        (Remove(""), "2:1: the whole document cannot be removed"),
        (Set("/x", (1,)), "2:1 /x: a value of the type tuple cannot stand in a config file"),
        (Set("/x", {1: 2}), "2:1 /x: mapping keys must be text"),
        (Set("/x", "\ud800"), "2:1 /x: a text with half of a surrogate pair is not valid Unicode"),
        (Set("/x", 10**2000), "2:1 /x: the number is too long"),
        (Set("/x", 10**500), "2:1 /x: this cannot be changed in place ('a number of 501 characters is too long"),
    ],
)
def test_what_is_refused(operation: patching.Operation, message: str) -> None:
    assert refusal(operation).startswith(message)


def test_a_change_that_went_wrong_is_never_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layout, "adding", lambda *_: [Edit(0, 1, "b")])
    assert refusal(Set("/new", 1), text="a: 1").startswith(
        "1:1 /new: this cannot be changed in place ('other values would change with it')"
    )


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("- ? a\n  : 1\n  ? b\n  : 2\n", Remove("/0/b")),
        ("a: 1\rb: 2\r", Remove("/a")),
        ("[a: 1]", Set("/0/b", 2)),
        ("{x, y}", Set("/x", 1)),
        ("a: &q !!map\n  b: 1\n", Set("/a", 1)),
    ],
)
def test_rare_layouts_are_refused_rather_than_guessed(text: str, operation: patching.Operation) -> None:
    assert "this cannot be changed in place" in refusal(operation, text=text)


def test_of_several_changes_the_one_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: 1\nb: &q !!map\n  c: 1\n"
    assert refusal(Set("/a", 2), Set("/b", 1), text=text).startswith("2:1 /b: this cannot be changed in place")
    monkeypatch.setattr(patching, "MAX_READ", len(text))
    assert refusal(Set("/a", 2), Set("/b", 1), text=text).startswith("1:1 /a: this cannot be changed in place")


def test_changes_that_go_wrong_together_are_made_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shallop_cloud.configs.patching._Patch._is_free", lambda *_: True)
    assert patched(Set("/a/x", 1), Set("/a/y", 2), text="a: {}") == 'a: {x: 1, "y": 2}'


def test_json_has_no_infinity() -> None:
    assert "JSON has no NaN and no infinity" in refusal(Set("/a", math.inf), text='{"a": 1}', format_=Format.JSON)


def test_an_empty_list_has_no_items() -> None:
    assert refusal(Set("/a/0", 1), text="a: []").endswith("which has 0: use - for a new one")


def test_values_that_are_nested_too_deep() -> None:
    value: Any = 1
    for _ in range(64):
        value = [value]
    assert "nested deeper than 64 levels" in refusal(Set("/x", value))
    assert "nested deeper than 64 levels" in refusal(Set("/x", [[value]]))
    assert parse(patched(Set("/x", value[0])).encode(), Format.YAML).value["x"] == value[0]


def test_a_text_has_no_values() -> None:
    assert refusal(Set("/a", 1), format_=Format.TEXT).endswith("give the whole file")
    assert "mapping values are not allowed" in refusal(Set("/a", 1), text="a: b: c")


SHARED = """\
base: &base
  rate: 10
  list: [1, 2]
copy: *base
merged:
  <<: *base
  own: 1
items: [*base, 2]
unused: &unused {a: 1}
inner:
  part: &part 5
  rest: 6
far: *part
"""


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Set("/base/rate", 11), "1:1 /base/rate: /base is used elsewhere, too, as *base: a change would appear there"),
        (Set("/base/new", 11), "1:1 /base/new: /base is used elsewhere"),
        (Set("/base", 11), "1:1 /base: /base is used elsewhere"),
        (Remove("/base"), "1:1 /base: /base is used elsewhere"),
        (Set("/copy/rate", 11), "4:1 /copy/rate: /copy is an alias, *base: a change would appear at its anchor, too"),
        (Remove("/items/0/rate"), "8:9 /items/0/rate: /items/0 is an alias"),
        (Set("/merged/list/0", 3), "5:1 /merged/list/0: 'list' comes from a merge key ('<<')"),
        (Remove("/merged/rate"), "5:1 /merged/rate: 'rate' comes from a merge key ('<<')"),
        (Set("/inner/part", 7), "11:3 /inner/part: /inner/part is used elsewhere"),
        (Set("/inner", 7), "10:1 /inner: this cannot be changed in place ('alias *part refers to nothing"),
    ],
)
def test_what_would_change_elsewhere_too_is_refused(operation: patching.Operation, message: str) -> None:
    assert refusal(operation, text=SHARED).startswith(message)


@pytest.mark.parametrize(
    ("operation", "old", "new"),
    [
        (Set("/copy", {"rate": 11}), "copy: *base", "copy: {rate: 11}"),
        (Remove("/copy"), "copy: *base\n", ""),
        (Set("/merged/rate", 11), "own: 1\n", "own: 1\n  rate: 11\n"),
        (Set("/merged/rate", 10), "own: 1\n", "own: 1\n"),
        (Set("/items/0", 1), "[*base, 2]", "[1, 2]"),
        (Set("/unused/a", 2), "{a: 1}", "{a: 2}"),
        (Set("/inner/rest", 7), "rest: 6", "rest: 7"),
    ],
)
def test_what_changes_here_alone_is_done(operation: patching.Operation, old: str, new: str) -> None:
    assert patched(operation, text=SHARED) == SHARED.replace(old, new)


def test_operations_follow_each_other() -> None:
    outcome = patched(
        Set("/more", {"a": 1}), Set("/more/b", 2), Remove("/more/a"), Set("/more/b", [1]), Set("/more/b/-", 2),
        Set("/more/b/-", 3), Remove("/more/b/0"), Set("/last/x", 1), Set("/yet", 1), Set("/last/y", 2), Remove("/note"),
    )  # fmt: skip
    tail = '  x: 1\n  "y": 2\nmore:\n  b: [2, 3]\nyet: 1\n# the end\n'
    assert outcome == MOTION.replace("note: |\n  first\n\n  second\n", "").replace("# the end\n", tail)


def test_it_is_all_or_nothing() -> None:
    assert refusal(Set("/limits/mode", "x"), Set("/none/x", 1)).startswith("14:1 /none/x: /none is null, which has no")


def test_many_operations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patching, "MAX_READ", 400_000)
    text = json.dumps({"list": list(range(900)), "b": {str(n): n for n in range(900)}}, indent=1)
    some = [Set(f"/b/{n}", n + 1) for n in range(900)]
    assert json.loads(patched(*some, text=text, format_=Format.JSON))["b"]["899"] == 900
    appended = [Set("/list/-", n) for n in range(100)]
    assert "too many changes of one file at once" in refusal(*appended, text=text, format_=Format.JSON)
    assert "at most 1000" in refusal(*appended * 11, text=text, format_=Format.JSON)


# Whatever is written is read alike by everyone.

TRAPS = ["on", "No", "y", "TRUE", "null", "~", "", " ", "a ", "010", "0o7", "0x1F", "1e3", "1_000", "12:30", ".inf"]
TRAPS += ["nan", "Infinity", "2026-01-01", "a: b", "a #b", "- a", "#", "&a", "*a", "!a", "%a", "@a", "`", "'", '"', "{"]
TRAPS += [
    "]",
    "\t",
    "a\nb",
    "\x85",
    "\u2028",
    "\ufeff",
    "\x7f",
    "\u00e9",
    "\U0001f916",
    "---",
    "...",
    "<<",
    "=",
    "?",
    "|",
]


@pytest.mark.parametrize("trap", TRAPS)
def test_texts_are_texts_for_every_reader(trap: str) -> None:
    content = patched(Set("/a", trap), Set("/b", {trap: [trap]}), text="a: 1\n").encode()
    meant = {"a": trap, "b": {trap: [trap]}}
    assert yaml.safe_load(content) == meant
    assert parse(content, Format.YAML).value == meant


@pytest.mark.parametrize("number", [0, -1, 10**30, 1.0, 1e-7, 1e16, 1.5e300, -2.5e-10, 5e-324, math.inf, -math.inf])
def test_numbers_are_numbers_for_every_reader(number: float) -> None:
    content = patched(Set("/a", number), text="a: 1\n").encode()
    for value in (yaml.safe_load(content)["a"], parse(content, Format.YAML).value["a"]):
        assert (type(value), value) == (type(number), number)
    assert math.isnan(yaml.safe_load(patched(Set("/a", math.nan), text="a: 1\n"))["a"])


# Any document, any operation: what comes out means what was asked for.

keys = st.sampled_from(["a", "b", "on", "1", "a/b", "x~y", "", "\u00e9 \u00fc", "key: #"])
scalars = st.sampled_from([None, True, 0, -7, 1.5, 1e30, "", "text", "no", "a: b", "two\nlines", "\u00e9"])
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


chooser = st.integers(0, 2**32).map(random.Random)


def spelled(value: Any, choose: random.Random, margin: str = "") -> str:
    """YAML for a value, in one of many layouts, to be put behind ``key:``, ``-`` or nothing."""
    if not isinstance(value, (dict, list)) or not value or choose.random() < 0.3:
        return " " + json.dumps(value, indent=choose.choice([None, 2]), ensure_ascii=False).replace(
            "\n", f"\n {margin}"
        )
    comment = choose.choice(["", "", " # note - a: b", "\n\n# note"])
    inner = margin + choose.choice(["  ", " ", "    "])
    lines = []
    for key in value:
        name, each = (f"{json.dumps(key)}:", value[key]) if isinstance(value, dict) else ("-", key)
        tail = choose.choice(["", "", "  # tail", f"\n{inner}# below"])
        text = spelled(each, choose, inner)
        lines.append(f"{inner}{name}{text}{tail}")
    return f"{comment}\n" + "\n".join(lines)


def written(value: Any, choose: random.Random) -> str:
    return spelled(value, choose).removeprefix(" ") + choose.choice(["", "\n", "\n# end\n"])


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def some_operation(value: Any, choose: random.Random, new: Any) -> tuple[patching.Operation, Any]:
    """An operation that can be done, and the document's value after it."""
    changed = copy.deepcopy(value)
    path = choose.choice(places(value))
    target = changed
    for step in path:
        target = target[step]
    kind = choose.choice(["set", "add", "remove"])
    if kind == "add" and isinstance(target, list):
        target.append(new)
        return Set(f"{pointer_of(path)}/-", new), changed
    if kind == "add" and isinstance(target, dict):
        target["new key"] = new
        return Set(f"{pointer_of(path)}/new key", new), changed
    if not path:
        return Set("", new), new
    parent = changed
    for step in path[:-1]:
        parent = parent[step]
    if kind == "remove":
        del parent[path[-1]]
        return Remove(pointer_of(path)), changed
    parent[path[-1]] = new
    return Set(pointer_of(path), new), changed


def check_operations(value: Any, news: list[Any], choose: random.Random, format_: Format) -> None:
    """Done at once and one by one, random operations on a random document leave the value that they should."""
    as_json = json.dumps(value, indent=choose.choice([None, 2, 4]))
    text = as_json if format_ is Format.JSON else written(value, choose)
    assert parse(text.encode(), format_).value == value
    operations: list[patching.Operation] = []
    for new in news:
        operation, value = some_operation(value, choose, new)
        operations.append(operation)
    outcome = patched(*operations, text=text, format_=format_)
    assert parse(outcome.encode(), format_).value == value
    one_by_one = text
    for operation in operations:
        one_by_one = patched(operation, text=one_by_one, format_=format_)
    assert parse(one_by_one.encode(), format_).value == value


anything = (
    documents,
    st.lists(documents, min_size=1, max_size=4),
    chooser,
    st.sampled_from([Format.JSON, Format.YAML]),
)


@settings(max_examples=100, deadline=None)
@given(*anything)
def test_any_document_any_operations(value: Any, news: list[Any], choose: random.Random, format_: Format) -> None:
    check_operations(value, news, choose, format_)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(*anything)
def test_any_document_any_operations_at_length(
    value: Any, news: list[Any], choose: random.Random, format_: Format
) -> None:
    check_operations(value, news, choose, format_)


@settings(max_examples=60, deadline=None)
@given(documents, scalars, chooser)
def test_a_scalar_is_replaced_where_it_stands_and_nothing_else(value: Any, new: Any, choose: random.Random) -> None:
    text = written(value, choose)
    for path in places(value):
        old = value
        for step in path:
            old = old[step]
        if not isinstance(old, (dict, list)):
            outcome = patched(Set(pointer_of(path), new), text=text)
            before = text[: next((n for n, (a, b) in enumerate(zip(text, outcome, strict=False)) if a != b), len(text))]
            behind = text[len(before) :]
            written_as = json.dumps(old, ensure_ascii=False)
            kept = next(n for n in range(len(written_as) + 1) if outcome.endswith(behind[n:]))
            assert kept <= len(written_as)


@pytest.mark.skipif(not ROBOTS, reason="the public robots' files are not at ../shared/robots beside the project")
@pytest.mark.parametrize("path", ROBOTS, ids=lambda path: path.name)
def test_public_robots_files(path: pathlib.Path) -> None:
    content = path.read_bytes()
    format_ = Format.JSON if path.suffix == ".json" else Format.YAML
    choose = random.Random(path.name)
    value = parse(content, format_, any_keys=True).value
    for new in (7, "on", {"a": [1, {"b": 2}]}, [1.5]):
        for place in choose.sample(everything := places(value), min(5, len(everything))):
            if place:
                outcome = patching.set_value(content, format_, pointer_of(place), new)
                changed = copy.deepcopy(json.loads(json.dumps(value)))
                parent = changed
                for step in place[:-1]:
                    parent = parent[step]
                parent[place[-1]] = new
                assert json.loads(json.dumps(parse(outcome, format_, any_keys=True).value)) == changed
                comments = [line for line in content.decode().splitlines() if line.startswith("#")]
                assert [line for line in outcome.decode().splitlines() if line.startswith("#")] == comments
                patching.remove_value(content, format_, pointer_of(place))
