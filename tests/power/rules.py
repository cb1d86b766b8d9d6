"""What must hold after a cut: at once, before anybody recovers anything, and when the robot rests again."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from power import cloud
from power.life import Told
from power.violation import Violation
from shallop_device import applier, store
from shallop_protocol.messages import Report
from shallop_protocol.statuses import Activity, Error

MOST_BLOCKS = 1200
"""Of 4096 bytes, in a file system at rest: SQLite's log grows to a thousand pages, then it is begun anew."""
_AT_REST = {(Activity.DEPLOYED, Error.NONE), (Activity.ARCHIVED, Error.NONE), (Activity.ARCHIVED, Error.FAILED)}


def read_tree(tree: Path) -> cloud.Files:
    """All files below a directory, which is opened once.

    Raises:
        Violation: something is there that no deployment has.
    """
    found: cloud.Files = {}
    top = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for place, _, names, directory in os.fwalk(".", dir_fd=top):
            for name in names:
                path = os.path.normpath(f"{place}/{name}")
                mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
                if not stat.S_ISREG(mode):
                    raise Violation("S2", f"{path} is no file")
                with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as file:
                    found[path] = (file.read(), stat.S_IMODE(mode))
    finally:
        os.close(top)
    return found


def in_sight(root: Path, ashore: cloud.Cloud) -> str | None:
    """The deployment whose files a reader of ``current`` finds.

    Raises:
        Violation: it finds a part, a mixture, or what was never ordered.
    """
    link = root / applier.CURRENT
    if not link.is_symlink():
        return None
    if not link.exists():
        raise Violation("S2", f"current leads to {link.readlink()}, which is not there")
    deployment = link.readlink().name.partition(".")[0]
    found = read_tree(link)
    manifest = ashore.manifests.get(deployment)
    if manifest is None:
        raise Violation("S2", f"current leads to {link.readlink()}, which nobody ordered")
    if found not in (cloud.contents(manifest), ashore.damaged.get(deployment)):
        raise Violation("S2", f"a reader finds {_brief(found)} instead of {_brief(cloud.contents(manifest))}")
    return deployment


def at_the_cut(root: Path, ashore: cloud.Cloud) -> None:
    """S2 and S13, on the disk as the cut left it.

    Raises:
        Violation: one does not hold.
    """
    seen = in_sight(root, ashore)
    allowed = ashore.may_be_in_sight()
    if seen not in allowed:
        words = f"{seen or 'nothing'} is in sight, and it must be one of {sorted(map(str, allowed))}"
        raise Violation("S13", f"{words}; {_acknowledged(ashore.heard)}")
    for deployment in sorted(ashore.must_be_there()):
        trees = _trees(root, deployment)
        files = [read_tree(tree) for tree in trees]
        wanted = (cloud.contents(ashore.manifests[deployment]), ashore.damaged.get(deployment))
        if not any(found in wanted for found in files):
            raise Violation("S13", f"there is no whole tree of {deployment}; {_acknowledged(ashore.heard)}")


def opened(told: Told, ashore: cloud.Cloud) -> None:
    """S1: the database remembers what was acknowledged.

    Raises:
        Violation: it does not.
    """
    heard, found = ashore.heard, told.opened
    if heard is None or found is None:
        return
    if found["incarnation"] != str(heard.incarnation):
        raise Violation("S14", f"the database is another one; {_acknowledged(heard)}")
    if found["generation"] < heard.generation:
        raise Violation("S1", f"the database remembers order {found['generation']}; {_acknowledged(heard)}")
    if found["seq"] < heard.seq:
        raise Violation("S1", f"the database remembers report {found['seq']}; {_acknowledged(heard)}")


def at_rest(root: Path, state: Path, report: Report, expected: cloud.Rest, ashore: cloud.Cloud) -> None:
    """S2, S9, S14 and S22: disk, database and report agree on where the robot should be, and nothing else is there.

    Raises:
        Violation: one does not hold.
    """
    seen = in_sight(root, ashore)
    if seen != expected.current or seen in ashore.damaged:
        words = f"{seen or 'nothing'} is in sight instead of {expected.current or 'nothing'}"
        raise Violation("S14", f"{words} after order {report.generation}; it says {report.to_bytes().decode()}")
    memory = store.Store.open_to_read(state)
    try:
        held = {each.id for each in memory.memory.holdings if not each.is_finished}
        entries = {each.id: (each.activity, each.error) for each in memory.memory.holdings}
        position = memory.memory.position[1]
    finally:
        memory.close()
    said = {entry.id: (entry.activity, entry.error) for entry in report.deployments}
    if (report.current, report.generation) != (seen, position) or said != entries:
        raise Violation("S14", f"the report is not what the database has: {report.to_bytes().decode()}, {entries}")
    if held != expected.held:
        raise Violation("S14", f"the database holds {sorted(held)} instead of {sorted(expected.held)}")
    if not _AT_REST.issuperset(said.values()):
        raise Violation("S14", f"the robot rests and says {report.to_bytes().decode()}")
    _nothing_else(root, expected, ashore)


def blocks_of_files(point: Path) -> int:
    """How many blocks all files and directories below a mount point take."""
    return sum(path.lstat().st_blocks for path in point.rglob("*")) // 8


def space(point: Path, used: int, own: int) -> None:
    """S22: a file system at rest uses what its files take and nothing more, and that is bounded.

    Args:
        used: blocks in use; ``own`` of them were so when it was empty.

    Raises:
        Violation: it uses more.
    """
    taken = blocks_of_files(point)
    if used != own + taken or used > MOST_BLOCKS:
        raise Violation("S22", f"{point.name}: {used} blocks are in use, {own} of its own and {taken} of its files")


def _nothing_else(root: Path, expected: cloud.Rest, ashore: cloud.Cloud) -> None:
    names = {path.name for path in root.iterdir()} - {applier.CURRENT, applier.DEPLOYMENTS}
    directory = root / applier.DEPLOYMENTS
    trees = {path.name for path in directory.iterdir()} if directory.exists() else set[str]()
    by_deployment = sorted(name.partition(".")[0] for name in trees)
    if names or by_deployment != sorted(expected.held):
        words = f"{sorted(names | trees)} is there for {sorted(expected.held)}"
        raise Violation("S22", f"the robot rests and something is left over: {words}")
    for name in trees:
        found = read_tree(directory / name)
        if found != cloud.contents(ashore.manifests[name.partition(".")[0]]):
            raise Violation("S14", f"the tree {name} holds {_brief(found)}")


def _trees(root: Path, deployment: str) -> list[Path]:
    directory = root / applier.DEPLOYMENTS
    if not directory.exists():
        return []
    return [path for path in directory.iterdir() if path.name.partition(".")[0] == deployment]


def _acknowledged(report: Report | None) -> str:
    if report is None:
        return "nothing was acknowledged"
    return f"report {report.seq} acknowledged {report.current or 'nothing'} at order {report.generation}"


def _brief(files: cloud.Files) -> str:
    return ", ".join(f"{path} ({len(data)} bytes, {mode:04o})" for path, (data, mode) in sorted(files.items())) or "{}"
