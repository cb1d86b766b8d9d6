"""docs/cli.md, held against the commands."""

from __future__ import annotations

import re
from pathlib import Path

from shallop_cloud.cli import catalogue
from shallop_cloud.cli.exits import Exit

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()


def test_the_document_has_the_table_of_all_commands():
    table = DOCUMENT.partition("## All commands")[2].partition("| command")
    assert table[1] + table[2] == catalogue.as_markdown(), (
        "update docs/cli.md: its last table is what `uv run python -m shallop_cloud.cli.catalogue` prints"
    )


def test_it_has_every_exit_code():
    assert [int(code) for code in re.findall(r"^\| (\d+) \| ", DOCUMENT, re.MULTILINE)] == [each.value for each in Exit]


def test_every_command_in_a_shell_block_is_one(run):
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    paths = {path for path, _ in catalogue.commands()}
    named = [found for block in blocks for found in re.findall(r"shallop(?: [a-z-]+)+", block)]

    assert named
    assert [each for each in named if each not in paths and each.rpartition(" ")[0] not in paths] == []
