"""The planted mistakes still fit the source, and the runner tells a mistake that is found from one that is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from planted import run

PATCHES = sorted(run.HERE.glob("*.patch"))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_patch_applies_to_the_source(patch: Path) -> None:
    checked = subprocess.run(
        ["git", "apply", "--check", str(patch)], cwd=run.ROOT, capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_patch_that_does_not_apply_is_said_to_be_made_anew(tmp_path):
    patch = tmp_path / "old.patch"
    patch.write_text("--- a/none.py\n+++ b/none.py\n@@ -1 +1 @@\n-a\n+b\n")

    with pytest.raises(run.PlantingError, match=r"old\.patch does not apply any more; make it anew"):
        run.plant(tmp_path, patch)


@pytest.mark.slow
def test_a_mistake_is_found(capsys):
    assert run.main(["no-file-fsync"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "planted: 1, found: 1"


@pytest.mark.slow
def test_what_is_no_mistake_is_not_found(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "SEEDS", 4)
    monkeypatch.setattr(run, "HERE", tmp_path)
    source = "device/shallop_device/__init__.py"
    first = (run.ROOT / source).read_text().splitlines()[0]
    (tmp_path / "harmless.patch").write_text(f"--- a/{source}\n+++ b/{source}\n@@ -1 +1,2 @@\n {first}\n+# harmless\n")

    assert run.main(["harmless"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "planted: 1, found: 0"
