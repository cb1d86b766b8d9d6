"""``docs/api.md``: its examples work, and its table has every code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import shallop_cloud
import shallop_protocol
from api_world import served
from cloud_world import World
from shallop_cloud.api import problems
from shallop_cloud.testing.ashore import TOKEN


@pytest.fixture
def database_url() -> None:
    """SQLite: nothing here depends on the kind of database."""


PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
WITHIN = 30
"""Seconds for all examples together."""


def test_every_example_works(world: World) -> None:
    script = "\n".join(["set -e", *re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)])
    with served(world) as url:
        environment = {**os.environ, "SHALLOP_URL": url, "SHALLOP_TOKEN": TOKEN, "no_proxy": "*"}
        ran = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=WITHIN)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "event: device_created" in ran.stdout
    assert "etag:" in ran.stdout
    assert [each["name"] for each in world.must("GET", "/v1/devices")["data"]] == ["amr-07", "amr-08"]


def test_the_table_has_every_code(world: World) -> None:
    listed = {code: int(status) for codes, status in re.findall(r"^\| (`.*?) \| (\d{3}) \|", PAGE, re.MULTILINE)
              for code in re.findall(r"`(\w+)`", codes)}  # fmt: skip
    raised = dict(_raised()) | {code: status for status, code in problems.CODES.items()}
    assert len(raised) > 40
    assert listed == raised


def _raised() -> Iterator[tuple[str, int]]:
    """Every code that the source names, with its status."""
    for package in (shallop_cloud, shallop_protocol):
        root = Path(str(package.__file__)).parent
        for path in root.rglob("*.py"):
            if path.relative_to(root).parts[0] not in ("cli", "bench"):
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.Call):
                        yield from _of(node)


def _of(call: ast.Call) -> Iterator[tuple[str, int]]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    match name, [each.value for each in call.args if isinstance(each, ast.Constant)]:
        case "Problem" | "__init__", [int(status), str(code), *_]:
            yield code, status
        case "Conflict", [str(code), *_] if code:
            yield code, 409
        case "Invalid", [str(code), *_]:
            yield code, 422
        case "NotFound", [str(what), *_]:
            yield f"{what.replace(' ', '_')}_not_found", 404
        case _:
            pass
