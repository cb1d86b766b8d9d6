"""What both sides changed is in the outcome, and where they contradict it says so."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shallop_cloud.configs import Format, Position, parse
from shallop_cloud.configs.merge import Conflict, Merge, Side, merge

NAV2 = sorted((pathlib.Path(__file__).parents[3].parent / "shared" / "robots").glob("nav2/*.yaml"))

BASE = """\
limits:
  max_speed: 1.8
  mode: velocity
frames: [base, odom]
old: 1
"""
THEIRS = """\
limits: {max_speed: 2.2, mode: velocity, jerk: 1e1}
frames: [base, odom]
"""
OURS = """\
# For the loaded robot.
frames: [base, odom, tool]   # the gripper
limits:
  max_speed: 1.80            # site rule
  mode: "torque"
old: 1
"""


def merged(base: str | None, theirs: str | None, ours: str | None, format_: Format = Format.YAML) -> Merge:
    return merge(*(None if each is None else each.encode() for each in (base, theirs, ours)), format_)


def conflicts(base: str | None, theirs: str | None, ours: str | None, format_: Format = Format.YAML) -> list[str]:
    outcome = merged(base, theirs, ours, format_)
    assert (outcome.content, outcome.is_clean) == (None, False)
    return [f"{each.pointer}: {each.message}" for each in outcome.conflicts]


def test_the_text_is_ours_with_the_values_that_only_they_changed() -> None:
    outcome = merged(BASE, THEIRS, OURS)
    assert outcome.is_clean
    assert outcome.content == (
        b"# For the loaded robot.\n"
        b"frames: [base, odom, tool]   # the gripper\n"
        b"limits:\n"
        b"  max_speed: 2.2            # site rule\n"
        b'  mode: "torque"\n'
        b"  jerk: 10.0\n"
    )


@pytest.mark.parametrize("kind", Format)
@pytest.mark.parametrize(
    ("base", "theirs", "ours", "content"),
    [
        ("1", "2", "1", "2"),
        ("1", "1", "2", "2"),
        ("1", "2", "2", "2"),
        ("1", None, "1", None),
        ("1", "1", None, None),
        ("1", None, None, None),
        (None, "2", "2", "2"),
        (None, None, "2", "2"),
        (None, "2", None, "2"),
    ],
)
def test_one_side_or_both_alike(
    kind: Format, base: str | None, theirs: str | None, ours: str | None, content: str | None
) -> None:
    assert merged(base, theirs, ours, kind) == Merge(content.encode() if content else None)


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "found"),
    [
        ("a: 1", "a: 2", "a: 3", ["/a: changed since, and differently here"]),
        ("a: 1", "a: 1.0", "a: 1.00", []),
        ("a: 2", "a: 1", "a: 1.0", ["/a: changed since, and differently here"]),
        ("{}", "a: 2", "a: 3", ["/a: added since, and differently here"]),
        ("a: 1\nb: 1", "b: 1", "a: 2\nb: 1", ["/a: removed since, and changed here"]),
        ("a: 1\nb: 1", "a: 2\nb: 1", "b: 1", ["/a: changed since, and removed here"]),
        ("a: [1]", "a: [1, 2]", "a: [0, 1]", ["/a: changed since, and differently here"]),
        ("a: {x: 1}", "a: 5", "a: {x: 2}", ["/a: changed since, and differently here"]),
        ("a: 1", "a: {x: 1}", "a: {x: 2}", ["/a: changed since, and differently here"]),
        ("a: {x/: 1}", "a: {x/: 2}\nb: 1", "a: {x/: 3}\nb: 2",
         ["/a/x~1: changed since, and differently here", "/b: added since, and differently here"]),
        ("1", "2", "3", [": changed since, and differently here"]),
        (None, "a: 1\nb: 2", "b: 2\nc: 3", []),
        (None, "a: 1", "a: 2", ["/a: added since, and differently here"]),
        (None, "- 1", "a: 2", [": added since, and differently here"]),
        ("a: 1", None, "a: 2", [": the file was removed since, and changed here"]),
        ("a: 1", "a: 2", None, [": the file was changed since, and removed here"]),
    ],
)  # fmt: skip
def test_contradictions(base: str | None, theirs: str | None, ours: str | None, found: list[str]) -> None:
    if found:
        assert conflicts(base, theirs, ours) == found
    else:
        assert merged(base, theirs, ours).is_clean


def test_a_conflict_shows_all_sides_with_their_places() -> None:
    outcome = merged("a: {x: 1, y: .nan}", "\na: {x: 1, y: [.inf]}", "a:\n  x: 1\n  y: 2")
    message = "changed since, and differently here"
    sides = Side(".nan", Position(1, 11)), Side([".inf"], Position(2, 11)), Side(2, Position(3, 3))
    assert outcome == Merge(None, (Conflict("/a/y", message, *sides),))
    (gone,) = merged("a: 1", None, "a: 2").conflicts
    assert (gone.base, gone.theirs, gone.ours) == (Side("'a: 1'", (1, 1)), None, Side("'a: 2'", (1, 1)))


def test_the_same_change_on_both_sides_stays_as_we_wrote_it() -> None:
    outcome = merged("a: 1\nb: 1", "a: 16\nb: 2", "a: 0x10 # hex\nb: 1")
    assert outcome.content == b"a: 0x10 # hex\nb: 2"


@pytest.mark.parametrize(
    ("theirs", "content"),
    [
        ("[{x: 1}, {y: 3}]", "l:  # list\n- x: 1  # one\n- y: 3  # two\nb: 1"),
        ("[{x: 1}, {y: 2}, 3, 4]", "l:  # list\n- x: 1  # one\n- y: 2  # two\n- 3\n- 4\nb: 1"),
        ("[{k: 2}, {x: 1}, 3]", "l:  # list\n- k: 2\n- x: 1\n- 3\nb: 1"),
        ("[{x: 1}]", "l:  # list\n- x: 1\nb: 1"),
        ("[]", "l: []  # list\nb: 1"),
    ],
)
def test_a_list_that_only_they_changed_keeps_what_stands_around_its_items(theirs: str, content: str) -> None:
    ours = "l:  # list\n- x: 1  # one\n- y: 2  # two\nb: 1"
    outcome = merged("l: [{x: 1}, {y: 2}]", f"l: {theirs}", ours)
    assert (outcome.content or b"").decode() == content


def test_what_cannot_be_changed_in_our_text_is_a_conflict() -> None:
    (conflict,) = merged("b: {x: 1}", "b: {x: 2}", "a: &a {x: 1, y: 1}\nb: *a").conflicts
    assert conflict.pointer == "/b/x"
    assert conflict.message.startswith("changed since, and cannot be changed here: /b is an alias, *a")
    assert (conflict.theirs, conflict.ours) == (Side(2, Position(1, 5)), Side(1, Position(1, 8)))


def test_values_that_grow_through_aliases_are_not_written_out() -> None:
    theirs = f"a: &a {'x' * 400_000}\nb: [{', '.join(['*a'] * 500)}]\nc: 1"
    (conflict,) = merged("c: 1", theirs, "c: 1\nd: 2").conflicts
    assert conflict.message == "changed since, and cannot be changed here: the new values are too large together"


def test_conflicts_are_bounded() -> None:
    texts = ["\n".join(f"k{n}: {n + more}" for n in range(1_500)) for more in (0, 1, 2)]
    assert len(conflicts(*texts)) == 1_000
    lined = ["\n".join(f"{n}\n{n + more}" for n in range(0, 9_000, 5)) for more in (1, 2, 3)]
    assert len(conflicts(*lined, Format.TEXT)) == 1_000


def test_texts_are_merged_by_lines() -> None:
    base, theirs, ours = "1\n2\n3\n4\n5\n", "1\ntwo\n3\n4\n5\n6\n", "0\n1\n2\n3\n4\nfive\n"
    assert merged(base, "0\n1\n2\n3\n4\n5\n", theirs, Format.TEXT).content == b"0\n1\ntwo\n3\n4\n5\n6\n"
    outcome = merged(base, theirs, ours, Format.TEXT)
    message = "these lines were changed since, and differently here"
    sides = Side("5\n", Position(5, 1)), Side("5\n6\n", Position(5, 1)), Side("five\n", Position(6, 1))
    assert outcome == Merge(None, (Conflict("", message, *sides),))


def test_what_cannot_be_parsed_is_merged_by_lines() -> None:
    assert merged("a: 1\n\n\nb: [", "a: 2\n\n\nb: [", "a: 1\n\n\nb: [[").content == b"a: 2\n\n\nb: [["
    assert len(conflicts(None, "a: [", "b: [")) == 1


lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=8).map("".join)


@settings(max_examples=80, deadline=None)
@given(lines, lines, lines)
def test_a_merge_by_lines_treats_both_sides_alike(base: str, theirs: str, ours: str) -> None:
    one, other = merged(base, theirs, ours, Format.TEXT), merged(base, ours, theirs, Format.TEXT)
    assert one.content == other.content
    assert [(each.theirs, each.ours) for each in one.conflicts] == [
        (each.ours, each.theirs) for each in other.conflicts
    ]


@settings(max_examples=60, deadline=None)
@given(lines, lines)
def test_a_change_far_from_all_others_is_taken_over(theirs: str, ours: str) -> None:
    far = "".join(f"{n}\n" for n in range(5))
    assert (
        merged(f"{far}z\n", f"{theirs}{far}z\n", f"{far}{ours}z\n", Format.TEXT).content
        == f"{theirs}{far}{ours}z\n".encode()
    )


keys = st.sampled_from(["a", "b", "c", "d"])
values = st.recursive(
    st.sampled_from([None, True, 0, 1, 2.5, "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
tables = st.dictionaries(keys, values, max_size=4)


def flat(value: Any, path: str = "") -> dict[str, str]:
    """Every leaf by its path; lists are leaves."""
    if isinstance(value, dict) and value:
        return {each: leaf for key in value for each, leaf in flat(value[key], f"{path}/{key}").items()}
    return {path: json.dumps(value, sort_keys=True)}


@settings(max_examples=120, deadline=None)
@given(tables, tables, tables, st.sampled_from([Format.JSON, Format.YAML]))
def test_any_three_values(base: Any, theirs: Any, ours: Any, kind: Format) -> None:
    texts = [json.dumps(each, indent=1) for each in (base, theirs, ours)]
    outcome = merged(*texts, kind)
    swapped = merged(texts[0], texts[2], texts[1], kind)
    assert [each.pointer for each in sorted(outcome.conflicts, key=lambda each: each.pointer)] == [
        each.pointer for each in sorted(swapped.conflicts, key=lambda each: each.pointer)
    ]
    if outcome.is_clean:
        value = parse(outcome.content or b"", kind).value
        assert value == parse(swapped.content or b"", kind).value
        old, new, own, got = (flat(each) for each in (base, theirs, ours, value))
        for path in got:
            assert got[path] in (new.get(path), own.get(path)) or got[path] == "{}"
        for path in {**new, **own}:
            if new.get(path) == own.get(path) != old.get(path):
                assert got[path] == new[path]


@pytest.mark.skipif(not NAV2, reason="the public robots' files are not at ../shared/robots beside the project")
def test_a_public_robots_file_with_changes_on_both_sides() -> None:
    text = NAV2[-1].read_text()
    theirs = text.replace("z_hit: 0.5", "z_hit: 0.6").replace("robot_radius: 0.22", "robot_radius: 0.25")
    ours = f"# ours\n{text}".replace("inflation_radius: 0.70", "inflation_radius: 0.9 # wider")
    both = ours.replace("z_hit: 0.5", "z_hit: 0.6").replace("robot_radius: 0.22", "robot_radius: 0.25")
    assert len({text, theirs, ours, both}) == 4
    assert merged(text, theirs, ours) == Merge(both.encode())
