"""The floor is what the agent does, and nothing else: recorded from its worker, replayed on the same disk."""

from __future__ import annotations

from pathlib import Path

import latency_floor

CONTENTS = {"a/one.yaml": "1\n" * 100, "b/two.json": "{}"}


def test_the_recipe_is_what_a_deployment_waits_for(tmp_path: Path):
    recipe = latency_floor.record(tmp_path / "robot", CONTENTS)

    kinds = [step.kind for step in recipe.steps]
    assert [step.size for step in recipe.steps if step.kind == "write"] == [200, 2]
    assert kinds.count("commit") == 2
    assert kinds.count("commit_unsynced") == 1
    # Two directories and the tree itself, the directory of the trees, and the root in which the link changes.
    assert kinds.count("sync_directory") == 5
    assert recipe.syncs == 2 + 2 + 5
    assert recipe.order_bytes > 202
    assert recipe.report_bytes > 200


def test_the_replay_does_the_same_to_the_disk_again_and_again(tmp_path: Path):
    recipe = latency_floor.record(tmp_path / "robot", CONTENTS)
    replay = latency_floor.Replay(tmp_path / "floor", recipe)

    for _ in range(3):
        replay.run()
        replay.prepare()
    replay.close()

    roots = [tmp_path / "floor" / str(number) for number in (1, 2, 3)]
    for root in roots:
        assert sorted(path.stat().st_size for path in (root / "current").rglob("*") if path.is_file()) == [2, 200]
