"""What differs between two versions of a file, in meaning or in lines."""

from __future__ import annotations

import difflib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shallop_cloud.configs import Format, Position, alignment, diff, lines
from shallop_cloud.configs.diff import Change, FileDiff, Kind

OLD = """\
limits:
  max_speed: 1.8   # site rule
  mode: velocity
  gone: [1]
frames: [base, odom, map]
"""
NEW = """\
# reviewed
frames: [odom, wheels, map, tool]
limits:
  max_speed: 2.2
  mode: velocity
  new: {a: .inf}
"""


def test_changes_come_in_order_with_both_values_and_places() -> None:
    assert diff.compare(OLD.encode(), NEW.encode(), Format.YAML) == FileDiff(
        same_bytes=False,
        same_meaning=False,
        changes=(
            Change(Kind.REMOVED, "/frames/0", "base", None, Position(5, 10), None),
            Change(Kind.ADDED, "/frames/1", None, "wheels", None, Position(2, 16)),
            Change(Kind.ADDED, "/frames/3", None, "tool", None, Position(2, 29)),
            Change(Kind.CHANGED, "/limits/max_speed", 1.8, 2.2, Position(2, 3), Position(4, 3)),
            Change(Kind.REMOVED, "/limits/gone", [1], None, Position(4, 3), None),
            Change(Kind.ADDED, "/limits/new", None, {"a": ".inf"}, None, Position(6, 3)),
        ),
    )


def changes(before: Any, after: Any) -> list[tuple[str, str, Any, Any]]:
    """Kind, pointer, before and after of each change between two values."""
    compared = diff.compare(json.dumps(before).encode(), json.dumps(after).encode(), Format.YAML)
    assert compared.same_meaning == (not compared.changes)
    return [(each.kind.value, each.pointer, each.before, each.after) for each in compared.changes]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (1, 1.0, []),
        (1, True, [("changed", "", 1, True)]),
        (None, "null", [("changed", "", None, "null")]),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, []),
        ({"a/b~": 1}, {"a/b~": 2}, [("changed", "/a~1b~0", 1, 2)]),
        ({"a": {}}, {"a": []}, [("changed", "/a", {}, [])]),
        ([1, 2, 3], [1, 3], [("removed", "/1", 2, None)]),
        ([1, 3], [1, 2, 3], [("added", "/1", None, 2)]),
        ([{"a": 1}, 5], [{"a": 2}, 5, 6], [("changed", "/0/a", 1, 2), ("added", "/2", None, 6)]),
        ([[1, 2], 7], [7, [1]], [("removed", "/0", [1, 2], None), ("added", "/1", None, [1])]),
        ({"a": 1, "b": 2}, {"b": 2, "d": 4}, [("removed", "/a", 1, None), ("added", "/d", None, 4)]),
    ],
)  # fmt: skip
def test_meaning(before: Any, after: Any, found: list[Any]) -> None:
    assert changes(before, after) == found


def test_a_pointer_into_a_list_is_that_of_the_new_version_and_the_places_are_of_each() -> None:
    (gone, change) = diff.compare(b"- 0\n- 1\n- a: 1\n- 9", b"- 1\n- a: 2\n- 9", Format.YAML).changes
    assert (gone.pointer, gone.before_at) == ("/0", (1, 3))
    assert (change.pointer, change.before_at, change.after_at) == ("/1/a", (3, 3), (2, 3))


def test_comments_order_and_layout_have_no_meaning() -> None:
    compared = diff.compare(b"a: 1\nb: [x]\n", b"# note\nb:\n- 'x'\na: 0x1\n", Format.YAML)
    assert compared == FileDiff(same_bytes=False, same_meaning=True)
    assert diff.compare(b"a: 1", b"a: 1", Format.YAML) == FileDiff(same_bytes=True, same_meaning=True)
    assert diff.compare(None, None, Format.JSON) == FileDiff(same_bytes=True, same_meaning=True)
    assert diff.compare(b"a: .nan", b"a: .NaN", Format.YAML).same_meaning


def test_a_file_that_was_not_there() -> None:
    (added,) = diff.compare(None, b"\na: .nan", Format.YAML).changes
    assert added == Change(Kind.ADDED, "", None, {"a": ".nan"}, None, Position(2, 1))
    (removed,) = diff.compare(b"[-.inf]", None, Format.YAML).changes
    assert removed == Change(Kind.REMOVED, "", ["-.inf"], None, Position(1, 1), None)


@pytest.mark.parametrize("kind", [Format.TEXT, Format.JSON])
def test_texts_and_what_cannot_be_parsed_are_compared_by_lines(kind: Format) -> None:
    compared = diff.compare(b"one\ntwo\n", b"one\ntoo\n\xff", kind)
    assert compared == FileDiff(
        same_bytes=False,
        same_meaning=False,
        lines=("@@ -1,2 +1,3 @@", " one", "-two", "+too", "+\\xff", "\\ No newline at end of file"),
    )


def test_values_are_plain_and_their_size_is_bounded() -> None:
    shared = b"a: &a " + b"x" * 500_000 + b"\n"
    many = b"b: {" + b", ".join(b"k%d: *a" % n for n in range(5_000)) + b"}"
    compared = diff.compare(shared + b"b: {}", shared + many, Format.YAML)
    assert (len(compared.changes), compared.omitted) == (1_000, 4_000)
    assert len(json.dumps([each.after for each in compared.changes], allow_nan=False)) < 4_000_000
    assert compared.changes[0].after == "x" * 500_000
    assert compared.changes[-1].after == "'" + "x" * 79 + "…"


def test_adversarial_files_take_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    efforts: list[alignment.Effort] = []
    made = alignment.Effort
    monkeypatch.setattr(diff, "Effort", lambda: efforts.append(made()) or efforts[-1])
    lists = [[choose * n for n in range(300)] for choose in range(1, 60)]
    reversed_ = [[-each for each in row] for row in lists]
    compared = diff.compare(json.dumps({"l": lists}).encode(), json.dumps({"l": reversed_}).encode(), Format.JSON)
    assert compared.omitted > 15_000
    (effort,) = efforts
    assert -1_000 < effort.left <= 0


def test_where_too_much_differs_items_are_paired_by_index() -> None:
    before, after = [b"h", b"x", b"y", b"z", b"t"], [b"h", b"y", b"z", b"z", b"n", b"t"]
    assert alignment.matches(before, after, alignment.Effort(0)) == [(0, 0), (3, 3), (4, 5)]
    assert alignment.matches(before, after, alignment.Effort()) == [(0, 0), (2, 1), (3, 2), (4, 5)]


def longest(one: str, other: str) -> int:
    """The length of the longest common subsequence, by trying all."""
    return max(
        size
        for size in range(len(one) + 1)
        if {*itertools.combinations(one, size)} & {*itertools.combinations(other, size)}
    )


@settings(max_examples=100, deadline=None)
@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_matches_are_a_longest_common_subsequence(one: str, other: str) -> None:
    before, after = [each.encode() for each in one], [each.encode() for each in other]
    found = alignment.matches(before, after, alignment.Effort())
    assert len(found) == longest(one, other)
    assert all(before[index] == after[later] for index, later in found)
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(found))
    gaps = list(alignment.gaps(found, len(before), len(after)))
    assert sum(gap.end - gap.start for gap in gaps) == len(before) - len(found)
    assert sum(gap.after_end - gap.after_start for gap in gaps) == len(after) - len(found)


def test_a_comparison_in_lines_is_bounded() -> None:
    before = "".join(f"{n}\n" for n in range(9_000))
    told = lines.unified(before.encode(), before.replace("5", "6").encode())
    assert len(told) <= lines.MAX_LINES + 1
    far = lines.unified(before.encode(), "".join(f"-{n}\n" for n in range(9_000)).encode())
    assert far[-1] == f"… {18_001 - lines.MAX_LINES} more lines"
    assert lines.unified(None, None) == lines.unified(b"a", b"a") == ()
    assert lines.unified(None, b"a\n") == ("@@ -0,0 +1 @@", "+a")


@pytest.mark.parametrize("second", range(4, 24))
def test_hunks_are_those_of_diff(second: int) -> None:
    before = [f"{n}\n" for n in range(25)]
    after = [f"new {line}" if n in (3, second) else line for n, line in enumerate(before)]
    told = lines.unified("".join(before).encode(), "".join(after).encode())
    assert list(told) == [line.removesuffix("\n") for line in difflib.unified_diff(before, after)][2:]


texts = st.lists(st.sampled_from(["a", "b", "c", "", "x" * 70, "\r"]), max_size=25).map("\n".join)


@settings(max_examples=150, deadline=None)
@given(texts, texts)
def test_patch_can_apply_a_comparison_in_lines(before: str, after: str) -> None:
    """Read back as ``patch`` does it, and no longer than what difflib says."""
    told = lines.unified(before.encode(), after.encode())
    old, new = lines.split(before.encode()), []
    at, kept = 0, ""
    for line in told:
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            until = int(start) - (length != "0")
            new += old[at:until]
            at = until
        elif line.startswith("\\"):
            new = [*new[:-1], new[-1].removesuffix("\n")] if kept != "-" else new
        elif line[0] in " -":
            assert old[at].removesuffix("\n") == line[1:]
            at += 1
        if line[0] in " +":
            new.append(f"{line[1:]}\n")
        kept = line[0]
    assert "".join([*new, *old[at:]]) == after
    theirs = list(difflib.unified_diff(old, lines.split(after.encode())))
    count = [sum(line[0] in "+-" for line in each) for each in (told, theirs[2:])]
    assert count[0] <= count[1]


# Whatever differs, the changes make one of the other.

keys = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.sampled_from([None, True, 0, 1, 2.5, "", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=15,
)


def steps(pointer: str) -> list[str]:
    return pointer.split("/")[1:]


@settings(max_examples=100, deadline=None)
@given(values, values)
def test_changes_are_all_there_is(before: Any, after: Any) -> None:
    for kind, pointer, old, new in changes(before, after):
        if kind != "removed":
            value = after
            for step in steps(pointer):
                value = value[int(step)] if isinstance(value, list) else value[step]
            assert value == new
        if kind == "changed":
            assert old != new or type(old) is not type(new)
    assert (changes(before, after) == []) == (json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True))
