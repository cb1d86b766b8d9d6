"""How tables fit a terminal."""

from __future__ import annotations

import pytest
from shallop_cloud.cli import grid

TITLES = ("ID", "DEVICE", "STATUS", "REASON")
ROWS = [("DPL-7K3QF", 30 * "d", "retrying", 40 * "r"), ("DPL-M2W8R", "amr-07", "deployed", "-")]


@pytest.mark.parametrize(
    ("room", "widths"),
    [
        (None, [9, 30, 8, 40]),
        (93, [9, 30, 8, 40]),
        (80, [9, 30, 8, 27]),
        (60, [9, 25, 8, 12]),
        (47, [9, 12, 8, 12]),
        (39, [9, 12, 8, 4]),
        (33, [9, 6, 8, 4]),
        (20, [3, 3, 4, 4]),
        (3, [3, 3, 3, 3]),
    ],
)
def test_free_texts_give_way_before_names_and_states_last(room, widths):
    assert grid.fitted(TITLES, ROWS, room) == widths


def test_a_table_without_rows_is_as_wide_as_its_titles():
    assert grid.fitted(TITLES, [], 80) == [2, 6, 6, 6]


@pytest.mark.parametrize(
    ("text", "to", "shown"),
    [
        ("hall", 4, "hall"),
        ("hallway", 4, "hal…"),
        ("", 4, ""),
        ("\u4f1a\u8bae\u5ba4", 6, "\u4f1a\u8bae\u5ba4"),
        ("\u4f1a\u8bae\u5ba4", 5, "\u4f1a\u8bae…"),
        ("\u4f1a\u8bae\u5ba4", 4, "\u4f1a…"),
    ],
)
def test_texts_are_cut_to_cells(text, to, shown):
    assert grid.cut(text, to) == shown
    assert grid.width(shown) <= to


@pytest.mark.parametrize(
    ("texts", "room", "shown"),
    [
        (["ab", "cd", "ef"], 5, ["ab", "cd", "…"]),
        (["ab", "cd", "ef"], 4, ["ab", "c…", ""]),
        (["ab", "", "cdef"], 3, ["ab", "", "…"]),
        (["abcdef", "g"], 1, ["…", ""]),
    ],
)
def test_lines_are_cut_once(texts, room, shown):
    assert grid.cut_line(texts, room) == shown
    assert sum(map(grid.width, shown)) == room


@pytest.mark.parametrize(
    ("texts", "length"),
    [([], 9), (["DPL-7K3QF0", "DPL-7K3QF0"], 9), (["DPL-7K3QF0", "DPL-7K3QF1"], 10), (["DPL-7K3QF", "DPL-7K3QF1"], 10)],
)
def test_ids_are_told_apart(texts, length):
    assert grid.apart(texts, 9) == length
