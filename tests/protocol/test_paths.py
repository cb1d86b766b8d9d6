"""The rules for paths below a robot's configuration root, tried with the usual ways around such rules."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shallop_protocol import paths

ACCEPTED = [
    "motion.yaml",
    "nav2/nav2_params.yaml",
    ".shallop",
    ".config/robot/a.b.c",
    "a/.hidden",
    "a..b",
    "a/b..",
    "with space/and-ümlaut_1.json",
    "~root",
    "-rf",
    "a" * 255,
    "/".join(["a" * 127] * 8),
]

REFUSED = {
    "": "empty",
    "/etc/passwd": "absolute",
    "//etc": "absolute",
    "../x": "begins with '..'",
    "..": "begins with '..'",
    "a/../../x": "begins with '..'",
    "a/..": "begins with '..'",
    "..x/y": "begins with '..'",
    "a/...": "begins with '..'",
    ".": "segment '.'",
    "./a": "segment '.'",
    "a/./b": "segment '.'",
    "a//b": "empty segment",
    "a/": "empty segment",
    "a\0b": "U+0000",
    "a\nb": "U+000A",
    "a\x7f": "U+007F",
    "a\x85b": "U+0085",
    "a\\b": "backslash",
    "..\\x": "backslash",
    "\udcff": "Unicode",
    "a" * 256: "255 bytes",
    "ü" * 128: "255 bytes",
    "a/" * 512 + "a": "1024 bytes",
}


@pytest.mark.parametrize("path", ACCEPTED)
def test_ordinary_paths_pass(path: str) -> None:
    paths.check_path(path)


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: ascii(path)[:20])
def test_attacks_are_refused_with_the_reason(path: str) -> None:
    with pytest.raises(paths.PathError) as refused:
        paths.check_path(path)
    assert REFUSED[path] in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_set_of_files_that_fit_in_one_tree_passes() -> None:
    paths.check_paths(ACCEPTED)
    paths.check_paths(["a/b", "a/c", "ab", "a.b/c"])
    paths.check_paths([])


@pytest.mark.parametrize(
    ("together", "reason"),
    [
        (["x", "../x"], "begins with '..'"),
        (["a/b", "c", "a/b"], "'a/b' occurs twice"),
        (["nav2/Params.yaml", "nav2/params.yaml"], "differ only in upper and lower case"),
        (["straße", "STRASSE"], "differ only in upper and lower case"),
        (["a", "a/b"], "'a' cannot be a file: 'a/b' needs it as a directory"),
        (["a/b/c/d", "a/b"], "'a/b' cannot be a file"),
        (["A", "a/b"], "'A' cannot be a file"),
    ],
)
def test_files_that_get_in_each_others_way_are_refused(together: list[str], reason: str) -> None:
    with pytest.raises(paths.PathError) as refused:
        paths.check_paths(together)
    assert reason in str(refused.value)


@given(st.text(st.sampled_from("ab./\\\0~é\n"), max_size=12) | st.text(max_size=40))
def test_a_path_that_passes_stays_below_the_root_and_has_one_spelling(path: str) -> None:
    try:
        paths.check_path(path)
    except paths.PathError:
        return
    assert posixpath.normpath(path) == path
    assert posixpath.join("/base", path) == f"/base/{path}"
    assert posixpath.normpath(f"/base/{path}").startswith("/base/")
