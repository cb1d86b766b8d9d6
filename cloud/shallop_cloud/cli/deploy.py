"""``shallop deploy``: config files from here to a device."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from shallop_cloud.cli import output, parameters, problems, settings, views, wait
from shallop_cloud.cli.parameters import Config, Expectation, example
from shallop_cloud.cli.settings import Settings

STDIN = "-"


@click.command(
    epilog=example("shallop deploy amr-07 --release 1.4.0 --config motion-control=motion.yaml --wait"),
)
@click.argument("name", type=parameters.key)
@click.option("--release", type=parameters.key, required=True, metavar="VERSION", help="What the configs belong to.")
@click.option(
    "--config",
    "configs",
    type=parameters.config,
    multiple=True,
    metavar="TYPE=FILE",
    help="A config file, sent byte for byte; - is stdin. Once for each config type.",
)
@click.option("--description", default="", metavar="TEXT", help="Why, for those who read it later.")
@click.option("--staged", is_flag=True, help="Only prepare it; `shallop deployment deploy` orders it.")
@click.option(
    "--expected-current",
    type=parameters.expectation,
    metavar="DPL|none",
    help="Refuse (6) if the device is ordered to run something else than this by now.",
)
@parameters.waiting
@settings.full
def deploy(
    settings: Settings,
    name: str,
    release: str,
    configs: tuple[Config, ...],
    description: str,
    staged: bool,
    expected_current: Expectation | None,
    wait_for: float | None,
) -> None:
    """Send config files to a device, by name or id, or stage them for it.

    They are judged against the schemas of the release first; nothing is sent to the robot if one is not valid. What
    is in force now stays in force until the robot has confirmed the new deployment.
    """
    if staged and wait_for is not None:
        raise click.UsageError("--wait waits for the device, which a staged deployment does not reach")
    _check_once(configs)
    body = {
        "device": name,
        "release": release,
        "configs": [{"config_type": each.config_type, "content": _content(each.file)} for each in configs],
        "description": description,
        "staged": staged,
        **parameters.expected(expected_current),
    }
    with settings.api() as api:
        try:
            made = api.post("deployments", body=body)
        except problems.Problem as problem:
            raise problem.said_of({each.config_type: _shown(each.file) for each in configs}) from None
        if wait_for is None:
            output.show(made, settings.output, views.deployment)
        else:
            wait.finish(api, made, wait_for, settings.output)


def _check_once(configs: Sequence[Config]) -> None:
    files: dict[str, str] = {}
    for each in configs:
        if each.config_type in files:
            both = f"{files[each.config_type]} and {each.file}"
            raise click.UsageError(f"config type {each.config_type!r} is given twice: {both}")
        if each.file == STDIN and STDIN in files.values():
            raise click.UsageError("stdin (-) can be read for one config only")
        files[each.config_type] = each.file


def _content(file: str) -> str:
    """The text of a file, every byte of it: newlines and a byte order mark stay as they are.

    Raises:
        click.UsageError: it cannot be read.
        exits.Failure: it is not UTF-8 text.
    """
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot read {file!r}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        from shallop_cloud.configs import findings

        before = data[: error.start].decode()
        place = findings.position_in(before, len(before))
        found = findings.Finding(f"not UTF-8 text: byte 0x{data[error.start]:02X}", "", *place, _shown(file))
        raise problems.invalid(f"{_shown(file)} cannot be sent", [found]) from None


def _shown(file: str) -> str:
    return "<stdin>" if file == STDIN else file
