"""The table of statuses in the documentation is the one in the code."""

from __future__ import annotations

import pathlib
import runpy
import sys

import pytest
from shallop_protocol import lifecycle_table
from shallop_protocol.statuses import CELLS, Possible

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "lifecycle.md"


def test_the_page_has_the_table_of_the_code() -> None:
    table = PAGE.read_text().partition("<!-- the table begins -->\n")[2].partition("<!-- the table ends -->")[0]
    assert table == lifecycle_table.as_markdown(), (
        "update docs/lifecycle.md: its table is what `uv run python -m shallop_protocol.lifecycle_table` prints"
    )


def test_every_combination_has_a_line() -> None:
    head, rule, *lines = lifecycle_table.as_markdown().splitlines()
    assert head == ("| target | activity | error | shown as | what it means, or why it cannot be | may become |")
    assert rule == "| --- | --- | --- | --- | --- | --- |"
    assert [tuple(line.split(" | ")[:3]) for line in lines] == [
        (f"| {cell.target.value}", cell.activity.value, cell.error.value) for cell in CELLS
    ]
    assert sum("*cannot be: " in line for line in lines) == sum(
        not isinstance(cell, Possible) for cell in CELLS.values()
    )


@pytest.mark.parametrize(
    "line",
    [
        "| archived | archived | failed | **failed** | failed, off the device, for ever | the end |",
        "| staged | staged | failed |  | *cannot be: nothing was tried yet, so nothing can have gone wrong* |  |",
    ],
)
def test_a_line_says_it_all(line: str) -> None:
    assert line in lifecycle_table.as_markdown().splitlines()


def test_the_command_prints_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "shallop_protocol.lifecycle_table")
    runpy.run_module("shallop_protocol.lifecycle_table", run_name="__main__")
    assert capsys.readouterr().out == lifecycle_table.as_markdown()
