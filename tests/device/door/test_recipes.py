"""``docs/local-door.md``: its recipes work as printed, and its table of codes is true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import door_world
import pytest
from shallop_device.door import document, feed, server, serving, stream

PAGE = (Path(__file__).parents[3] / "docs" / "local-door.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (apt install curl)")
def test_every_recipe_works(tmp_path: Path) -> None:
    script = "\n".join(["set -e", *re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)])
    with door_world.local() as local:
        manifest = local.order({"nav2/params.yaml": "planner: smac\n"})
        environment = {**os.environ, "SOCKET": str(local.path)}
        ran = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        local.do(lambda: None)
    assert re.sub(r"curl: \(28\).*\n", "", ran.stderr) == ""
    for told in (
        "planner: smac\n",
        '"id":"DEV-0123456789ABCDEF"',
        f"Shallop-Deployment: {manifest.id}",
        '"code":"hold_too_long"',
    ):
        assert told in ran.stdout
    assert '"name":"docking","reason":"parking"' in ran.stdout
    assert f'{{"deployment":"{manifest.id}","on_trial":false}}' in ran.stdout
    first, later = (tmp_path / name for name in ("events.txt", "later.txt"))
    assert re.findall(r"^event: (.*)$", first.read_text(), re.MULTILINE) == ["snapshot"]
    assert later.read_text() == "retry: 1000\n\n", "nothing happened meanwhile, and nothing is told twice"


def test_the_table_of_codes_is_true() -> None:
    listed = {
        code: int(status)
        for codes, status in re.findall(r"^\| (`.*?) \| (\d{3}) \|", PAGE, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    said: dict[str, set[int]] = {}
    for path in document.make()["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                for code in re.findall(r"`(\w+)`", answer["description"]):
                    said.setdefault(code, set()).add(int(status))
    assert len(listed) > 10
    for code, status in listed.items():
        assert status in said[code], code


def test_the_figures_are_true() -> None:
    words = " ".join(PAGE.split())
    assert f"newest {feed.KEPT:,} events, and of those at most {feed.KEPT_BYTES >> 20} MiB" in words
    assert f"a request's head {serving.MAX_HEAD_BYTES >> 10} KiB. A request has {serving.PATIENCE_S:g} seconds" in words
    assert f"at most {server.MAX_CONNECTIONS} at once, and {server.MAX_STREAMS} that follow events" in words
    assert f"A comment comes every {stream.HEARTBEAT_S:g} seconds" in words
