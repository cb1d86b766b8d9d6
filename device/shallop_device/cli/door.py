"""``shallopd hold``, ``release``, ``ack``, ``retry`` and ``events``: what the agent that runs is asked at its door."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from shallop_protocol import terminal

from shallop_device import errors
from shallop_device.cli import options
from shallop_device.door import client

RENEWED_FOR_S = 60.0
"""A hold for a command is asked for in pieces of this length, so that one that is forgotten does not last."""
_NOT_FOUND, _NOT_RUNNABLE = 127, 126
_SIGNALLED = 128

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")

_SOCKET = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="SHALLOPD_SOCKET",
    show_envvar=True,
    help="The agent's socket; else that of the settings.",
)


class Duration(click.ParamType[float]):
    """Seconds, as ``90``, ``90s``, ``5m`` or ``1h``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # as click has it
        """The seconds."""
        found = _DURATION.fullmatch(str(value))
        if not found or float(found[1]) <= 0:
            self.fail(f"{value!r} is no time: expected something like 90s, 5m or 1h", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


def _at_the_door(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which a command finds the agent."""
    return _SOCKET(options.STATE(options.CONFIG(command)))


def _client(socket_path: Path | None, state_dir: Path | None, config_file: Path | None) -> client.Client:
    return client.Client(socket_path or options.load(config_file, state_dir).settings.door_path)


@click.command()
@click.option("--reason", default="", help="Why, for people: the cloud shows it.")
@click.option(
    "--for", "seconds", type=Duration(), default="5m", show_default=True, help="It ends by itself after this."
)
@_at_the_door
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def hold(
    name: str,
    reason: str,
    seconds: float,
    command: Sequence[str],
    socket_path: Path | None,
    state_dir: Path | None,
    config_file: Path | None,
) -> None:
    """Let nothing change for a while, or while a command runs.

    No deployment comes into sight, and none goes out of it, until all holds have ended. With a COMMAND the hold lasts
    as long as it runs, --for does not count, and the exit code is that of the command.

    \b
    Example: shallopd hold --reason docking --for 2m dock
             shallopd hold --reason "on a mission" mission -- ros2 run fleet mission
    """
    agent = _client(socket_path, state_dir, config_file)
    if command:
        sys.exit(_while_it_runs(agent, name, reason, command))
    made = agent.hold(name, reason, seconds)
    click.echo(f"held by {name} until {made['expires_at']}")


@click.command()
@_at_the_door
@click.argument("name")
def release(name: str, socket_path: Path | None, state_dir: Path | None, config_file: Path | None) -> None:
    """End a hold.

    Example: shallopd release dock
    """
    _client(socket_path, state_dir, config_file).release(name)
    click.echo(f"released {name}")


@click.command()
@click.option("--failed", "veto", metavar="WHY", help="It is not well, and must not stay in force.")
@click.option("--deployment", help="Which one; else the one that is in sight now.")
@_at_the_door
@click.argument("name")
def ack(
    name: str,
    veto: str | None,
    deployment: str | None,
    socket_path: Path | None,
    state_dir: Path | None,
    config_file: Path | None,
) -> None:
    """Say that a deployment is well, or that it is not.

    NAME is one of those that [health] acks of the settings waits for. Software should name the deployment that it has
    read: what is in sight may be another one by now.

    Example: shallopd ack nav2 --deployment "$(basename "$(readlink current)")"
    """
    agent = _client(socket_path, state_dir, config_file)
    wanted = deployment.partition(".")[0] if deployment else str(agent.get("/v1/deployment")["id"])
    answer = agent.acknowledge(name, wanted, ok=veto is None, message=veto or "")
    if veto is not None:
        click.echo(f"{wanted} is not well, says {name}")
    elif answer["on_trial"]:
        click.echo(f"{wanted} is acknowledged by {name}")
    else:
        click.echo(f"{wanted} is in force already")


@click.command()
@_at_the_door
def retry(socket_path: Path | None, state_dir: Path | None, config_file: Path | None) -> None:
    """Have the agent try again now what failed.

    Example: shallopd retry
    """
    _client(socket_path, state_dir, config_file).retry()
    click.echo("the agent tries again")


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until it is interrupted.")
@click.option("--after", metavar="ID", help="Only what came after this event, if the agent still knows it.")
@_at_the_door
def events(
    *, follow: bool, after: str | None, socket_path: Path | None, state_dir: Path | None, config_file: Path | None
) -> None:
    """Show what happens on this robot, one JSON object a line.

    The first is a snapshot of the whole status. Without --follow it is the only one.

    Example: shallopd events --follow
    """
    for event in _client(socket_path, state_dir, config_file).events(after):
        line = {"id": event.id, "kind": event.kind, "data": event.data}
        click.echo(terminal.as_json(line))
        sys.stdout.flush()
        if not follow:
            return
    raise errors.AgentError("the agent ended the stream of events")


def _while_it_runs(agent: client.Client, name: str, reason: str, command: Sequence[str]) -> int:
    """Holds, runs it, renews the hold meanwhile, and releases it. The exit code of the command."""
    agent.hold(name, reason, RENEWED_FOR_S, os.getpid())
    has_ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(agent, name, reason, has_ended), daemon=True)
    try:
        renewing.start()
        return _run(command)
    finally:
        has_ended.set()
        renewing.join()
        try:
            agent.release(name)
        except errors.AgentError as error:  # it ended before, or ends with this process
            click.echo(f"shallopd: {terminal.lines(str(error))}", err=True)


def _renew(agent: client.Client, name: str, reason: str, has_ended: threading.Event) -> None:
    while not has_ended.wait(RENEWED_FOR_S / 3):
        try:
            agent.hold(name, reason, RENEWED_FOR_S, os.getpid())
        except errors.AgentError as error:
            click.echo(f"shallopd: the hold was not renewed: {terminal.lines(str(error))}", err=True)


def _run(command: Sequence[str]) -> int:
    try:
        process = subprocess.Popen(command)  # noqa: S603  it is what the user asked for
    except FileNotFoundError:
        click.echo(f"shallopd: {command[0]}: no such command", err=True)
        return _NOT_FOUND
    except OSError as error:
        click.echo(f"shallopd: {command[0]}: {error.strerror}", err=True)
        return _NOT_RUNNABLE
    # Ctrl-C reaches the command by itself; what is sent to us alone is passed on.
    before = (
        signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number)),
    )
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    return code if code >= 0 else _SIGNALLED - code
