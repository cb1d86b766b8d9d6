"""MQTT accounts: those of the cloud, of people who watch, and of every enrolled device, in one password file.

The file is in mosquitto's format, so that a mosquitto of the operator's can use it as it is; the bench broker reads
the same.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from pathlib import Path

from shallop_protocol import ids
from shallop_protocol.topics import CLOUD, MONITOR

from shallop_cloud import files, passwords
from shallop_cloud.store import devices, history
from shallop_cloud.store.database import Database


class Credentials:
    """The password file of a data directory, kept equal to the database.

    ``DIR/mqtt/passwords`` has the hashes; ``DIR/mqtt/cloud.password`` and ``monitor.password`` are made at the first
    start and can be read by their owner alone.
    """

    def __init__(self, directory: Path, database: Database) -> None:
        self.directory = directory / "mqtt"
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.path = self.directory / "passwords"
        self._database = database
        self._tickets = itertools.count(1)
        self._issued = 0
        self._written = 0
        self._seen = 0
        self._lock = threading.Lock()
        self.cloud = files.secret(self.directory / f"{CLOUD}.password", secrets.token_urlsafe)
        self.monitor = files.secret(self.directory / f"{MONITOR}.password", secrets.token_urlsafe)
        self._own = {CLOUD: passwords.hash_password(self.cloud), MONITOR: passwords.hash_password(self.monitor)}
        self.write()

    def write(self) -> None:
        """Brings the file to what is committed, as soon as it is. Many callers at once are served by few writes."""
        self._database.after_commit(self._write)

    def _write(self) -> None:
        ticket = self._issued = next(self._tickets)
        with self._lock:
            if self._written >= ticket:
                return
            covered = self._issued
            with self._database.read() as connection:
                seen = history.newest(connection)
                hashes = devices.mqtt_passwords(connection)
            passwords.write_passwords(self.path, {**self._own, **{ids.on_wire(key): hashes[key] for key in hashes}})
            self._written = covered
            self._seen = seen

    def follow(self) -> None:
        """Brings the file up to date if something was done to a device since, on whatever server. Else it costs a look
        at the newest rows of the history.
        """
        with self._lock, self._database.read() as connection:
            newest = history.newest(connection)
            if not history.tells_of_devices(connection, self._seen):
                self._seen = newest
                return
        self.write()
