"""What was set up on this robot: its identity, its hooks, its door."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shallop_device import errors, identity, settings, state, store
from shallop_device.doctor.finding import Finding, fail, ok, warn
from shallop_device.door import client

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def secrets(directory: Path) -> Iterator[Finding]:
    """Whether only the agent can read the state, which holds a password."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        return  # whoever looks at the disk says so
    if mode & 0o077:
        advice = f"chmod 700 {directory}"
        yield warn("permissions", f"others may look into {directory} (mode {stat.S_IMODE(mode):04o})", advice)
    else:
        yield ok("permissions", f"{directory} is closed to others")


def is_running(directory: Path) -> bool:
    """Whether an agent holds the state directory. Looks only."""
    try:
        lock = os.open(directory / state.LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def enrolled(directory: Path) -> tuple[identity.Identity | None, Finding]:
    """Who this robot is, and what there is to say to that."""
    advice = "shallopd enroll --help"
    try:
        memory = store.Store.open_to_read(directory)
        try:
            who = memory.identity
            known = memory.trust(who.anchor) if who else None
        finally:
            memory.close()
    except errors.AgentError as error:
        return None, fail("identity", str(error), advice)
    if who is None or known is None:
        return None, fail("identity", f"{directory} is not enrolled", advice)
    signing = ", ".join(keyid[:12] for keyid in known.listed.active)
    listed = f"key list {known.listed.version}: orders are signed by {signing}"
    return who, ok("identity", f"{who.name} ({who.device}) of {who.server}; {listed}")


def hooks(wanted: settings.Hooks) -> Iterator[Finding]:
    """Whether each hook can be run, and whether only its owner can change it."""
    for name, command in (("check", wanted.check), ("applied", wanted.applied), ("health", wanted.health)):
        if command:
            yield _hook(name, Path(command[0]))


def _hook(name: str, program: Path) -> Finding:
    try:
        found = program.stat()
    except OSError as error:
        return fail("hooks", f"{name}: {program}: {error.strerror}", "install it, or take it out of the settings")
    if not stat.S_ISREG(found.st_mode) or not os.access(program, os.X_OK):
        return fail("hooks", f"{name}: {program} cannot be run", f"chmod 755 {program}")
    if found.st_mode & _WRITABLE_BY_OTHERS:
        advice = f"chmod go-w {program}"
        return warn("hooks", f"{name}: others than its owner may change {program}", advice)
    return ok("hooks", f"{name}: {program}")


def door(wanted: settings.Settings, *, running: bool) -> Iterator[Finding]:
    """Whether robot software finds the door open."""
    if not wanted.door.enabled:
        yield ok("door", "switched off by the settings")
        return
    path = wanted.door_path
    if not running:
        parent = path.parent
        if parent.is_dir():
            yield ok("door", f"it will be {path}")
        else:
            yield warn("door", f"there is no {parent} for the door", "make it, or set [door] path")
        return
    asked = client.Client(path)
    try:
        said, status = asked.get("/v1/device"), asked.get("/v1/status")
    except errors.AgentError as error:
        yield warn("door", str(error), "see the agent's log: journalctl -u shallopd")
        return
    yield ok("door", f"{path} answers")
    if said["online"]:
        yield ok("broker", f"the agent is connected, since {said['online_since']}")
    else:
        yield fail("broker", "the agent is not connected", "see the agent's log: journalctl -u shallopd")
    yield _freshness(status["freshness"])


def _freshness(said: Any) -> Finding:  # Any: as the door has it in JSON
    """Whether the cloud has proven that this robot has its newest order."""
    if said["stale"]:
        advice = "see docs/freshness.md: is the cloud there, and does the broker pass on what it says?"
        return warn("freshness", f"stale: {said['message']}", advice)
    if said["proven_at"] is None:
        return ok("freshness", "the cloud has not answered yet since the agent started")
    return ok("freshness", f"the cloud answered: this robot had its newest order at {said['proven_at']}")


def links(wanted: settings.Settings, root: Path) -> Iterator[Finding]:
    """Whether the links that the settings ask for lead where they should."""
    for path, target in wanted.links.items():
        try:
            leads = path.readlink()
        except OSError as error:
            words = "is no link" if path.exists() else str(error.strerror)
            yield warn("links", f"{path}: {words}", "the agent makes it when it starts; move away what is in its place")
            continue
        if leads == root / "current" / target:
            yield ok("links", f"{path} leads to {leads}")
        else:
            yield warn("links", f"{path} leads to {leads}", "remove it and restart the agent")
