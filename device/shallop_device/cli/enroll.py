"""``shallopd enroll``."""

from __future__ import annotations

from pathlib import Path

import click
from shallop_protocol import terminal

from shallop_device import enrol, logs, tls
from shallop_device.cli import options


@click.command()
@click.option("--server", required=True, show_envvar=True, help="Address of the cloud: https://host[:port].")
@click.option("--token", required=True, show_envvar=True, help="The one-time token that the cloud gave.")
@options.STATE
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    show_envvar=True,
    help="Configuration root: the agent keeps current/ and deployments/ below it, and touches nothing else.",
)
@options.CONFIG
def enroll(server: str, token: str, state_dir: Path | None, root: Path, config_file: Path | None) -> None:
    """Make this robot known to a cloud.

    Can be repeated with the same token, also after a power cut.

    Example: shallopd enroll --server https://fleet.example.com --token T --state /var/lib/shallop --root /srv/shallop
    """
    logs.set_up("warning")
    chosen = options.load(config_file, state_dir).settings
    state, link = chosen.state, chosen.link
    trust = tls.Trust(None, link.ca, link.client_certificate, link.client_key)
    who = enrol.enrol(server, token, state, root, trust=trust)
    click.echo(terminal.line(f"{who.name} ({who.device}) is enrolled at {who.server}"))
    click.echo(f"next: shallopd run --state {state}")
