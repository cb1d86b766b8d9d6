"""The bench broker inside another process of ours, on that process's password file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator
from pathlib import Path

from shallop_protocol.topics import Topics

from shallop_cloud import errors
from shallop_cloud.bench import broker_run, broker_settings
from shallop_cloud.bench.broker import BrokerStartError


@contextlib.contextmanager
def broker(
    passwords: Path, config: Path | None, listen: tuple[str, int] | None, topics: Topics
) -> Generator[tuple[str, int]]:
    """Runs the bench broker while the block lasts; the value is its host and port.

    Raises:
        errors.StartupError: its configuration is wrong, or its port is taken.
    """
    try:
        settings = broker_settings.load_settings(config or broker_settings.BUNDLED)
        bind = broker_settings.bind_to(listen) if listen else settings.bind
        settings = dataclasses.replace(settings, bind=bind, password_file=passwords, topic_root=topics.root)
        running = broker_run.BrokerThread(settings)
        running.start()
    except (broker_settings.BrokerSettingsError, BrokerStartError) as error:
        raise errors.StartupError(str(error), "correct it, or name another address with --broker-listen") from None
    try:
        yield running.address
    finally:
        running.stop()
