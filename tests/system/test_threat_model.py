"""docs/threat-model.md has each attack, as the file of attacks says it, and names no test that there is not."""

from __future__ import annotations

import ast
import re

import system_world

DOCUMENT = system_world.REPOSITORY / "docs" / "threat-model.md"
ATTACKS = system_world.REPOSITORY / "tests" / "system" / "test_attacks.py"
_DOCSTRING = re.compile(r"Has: (.+?)\. Wants: (.+)\.")
_ROW = re.compile(r"^\| `(test_\w+)` \| (.+?) \| (.+?) \| .+ \|$", re.MULTILINE)


def _attacks() -> list[tuple[str, str, str]]:
    """Name of each attack, what the attacker has, and wants."""
    found: list[tuple[str, str, str]] = []
    for node in ast.parse(ATTACKS.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            said = _DOCSTRING.fullmatch(" ".join((ast.get_docstring(node) or "").split()))
            assert said, f"{node.name} does not say what the attacker has, and wants"
            found.append((node.name, said[1], said[2]))
    return found


def test_the_table_is_the_file() -> None:
    assert _ROW.findall(DOCUMENT.read_text()) == _attacks()


def test_every_test_that_is_named_is_there() -> None:
    known = {name for name, _, _ in _attacks()}
    text = DOCUMENT.read_text()
    assert set(re.findall(r"`(test_\w+)`", text)) == known
    for path in re.findall(r"tests/[\w/.]+\w", text):
        assert (system_world.REPOSITORY / path).exists(), path
