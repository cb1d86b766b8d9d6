"""``shallop broker``: configuration for a broker, a check of one, and the bench broker by itself."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
from pathlib import Path

import click

from shallop_cloud.cli import addresses, broker_check, broker_config, groups, parameters


@click.group(cls=groups.Group)
def broker() -> None:
    """The MQTT broker: configure one, check one, or run that of the bench."""


@broker.command(epilog=parameters.example("shallop broker run --passwords ./shallop-data/mqtt/passwords"))
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Another broker.yaml.")
@click.option("--listen", type=addresses.Address(), help="Where to listen, instead of what broker.yaml says.")
@click.option(
    "--passwords", type=click.Path(path_type=Path, dir_okay=False), help="The password file, instead of broker.yaml's."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
def run(config: Path | None, listen: tuple[str, int] | None, passwords: Path | None, log_level: str) -> None:
    """Run the bench broker by itself, for a cloud that is started with --broker.

    It keeps nothing over a restart; the cloud says everything again. For a bench, not for production.
    """
    try:
        from shallop_cloud.bench import broker_run, broker_settings
        from shallop_cloud.bench.broker import BrokerStartError
    except ImportError as error:
        words = f"the bench broker is not installed ({error}); pip install 'shallop-cloud[bench]'"
        raise click.ClickException(words) from None
    level = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}[log_level]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = broker_settings.load_settings(config or broker_settings.BUNDLED)
        if listen:
            settings = dataclasses.replace(settings, bind=broker_settings.bind_to(listen))
        if passwords:
            settings = dataclasses.replace(settings, password_file=passwords)
        asyncio.run(broker_run.serve(settings))
    except (broker_settings.BrokerSettingsError, BrokerStartError) as error:
        raise click.ClickException(str(error)) from None


broker.add_command(broker_config.config)
broker.add_command(broker_check.check)
