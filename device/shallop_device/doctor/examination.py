"""All of it, in the order in which one thing needs the other."""

from __future__ import annotations

from collections.abc import Iterator

from shallop_device import clock, daemon, settings
from shallop_device.doctor import machine, robot, shore
from shallop_device.doctor.finding import Finding, ok


def examine(loaded: settings.Loaded, time: clock.Clock = daemon.SYSTEM_CLOCK) -> Iterator[Finding]:
    """What is found, one after another, as soon as it is known."""
    chosen = loaded.settings
    given = len([name for name in loaded.origins if "." in name or name == "state"])
    yield ok("settings", f"{given} are set, the others have their defaults: shallopd config show")
    yield machine.time(time)
    yield from machine.limits(watches=chosen.integrity.watch)
    yield from machine.directory("state", chosen.state)
    yield from robot.secrets(chosen.state)
    who, finding = robot.enrolled(chosen.state)
    yield finding
    yield from robot.hooks(chosen.hooks)
    running = robot.is_running(chosen.state)
    yield ok("agent", "it runs" if running else "it does not run")
    yield from robot.door(chosen, running=running)
    if who is None:
        return
    yield from machine.directory("root", who.root)
    if who.root.is_dir() and chosen.state.is_dir():
        same = "the same file system" if machine.is_one_file_system(who.root, chosen.state) else "two file systems"
        yield ok("root", f"root and state are on {same}")
    yield from robot.links(chosen, who.root)
    who = daemon.identity_of(chosen, who)
    trust = daemon.trust_of(chosen, who)
    yield from shore.broker(who, trust, running=running)
    yield from shore.cloud(who, trust)
