"""What brokers go by: MQTT accounts, of the cloud, of people who watch and of every enrolled device, in one password
file, and the list of certificates that are revoked.

The password file is in mosquitto's format, so that a mosquitto of the operator's can use it as it is; the bench broker
reads the same.
"""

from __future__ import annotations

import datetime
import itertools
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from shallop_protocol import ids
from shallop_protocol.topics import CLOUD, MONITOR

from shallop_cloud import authorities, files, passwords
from shallop_cloud.store import certificates, devices, history
from shallop_cloud.store.database import Database


class Credentials:
    """The password file of a data directory and its authority's revocation list, kept equal to the database.

    ``DIR/mqtt/passwords`` has the hashes; ``DIR/mqtt/cloud.password``, ``monitor.password`` and ``broker.token``, by
    which a broker asks the API, are made at the first start and can be read by their owner alone.

    Args:
        authority: whose revocation list is kept.
        changed: called whenever one of the two was written.
    """

    def __init__(
        self,
        directory: Path,
        database: Database,
        authority: authorities.Authority = authorities.NOBODY,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.directory = directory / "mqtt"
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.path = self.directory / "passwords"
        self._database = database
        self._authority = authority
        self._changed = changed
        self._tickets = itertools.count(1)
        self._issued = 0
        self._written = 0
        self._seen = 0
        self._lock = threading.Lock()
        self.cloud = files.secret(self.directory / f"{CLOUD}.password", secrets.token_urlsafe)
        self.monitor = files.secret(self.directory / f"{MONITOR}.password", secrets.token_urlsafe)
        self.broker_token = files.secret(self.directory / "broker.token", secrets.token_urlsafe)
        self._own = {CLOUD: passwords.hash_password(self.cloud), MONITOR: passwords.hash_password(self.monitor)}
        self.write()

    def write(self) -> None:
        """Brings the files to what is committed, as soon as it is. Many callers at once are served by few writes."""
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
                revoked = certificates.revoked(connection, at := _now())
            try:
                passwords.write_passwords(self.path, {**self._own, **{ids.on_wire(key): hashes[key] for key in hashes}})
                self._authority.write_list(revoked, at)
            finally:
                self._changed()
            self._written = covered
            self._seen = seen

    @property
    def is_behind(self) -> bool:
        """Whether something is to be written, or could not be."""
        return self._written < self._issued

    def follow(self) -> None:
        """Brings the files up to date if something was done to a device since, on whatever server. Else it costs a look
        at the newest rows of the history.
        """
        with self._lock, self._database.read() as connection:
            newest = history.newest(connection)
            if not history.tells_of_devices(connection, self._seen):
                self._seen = newest
                return
        self.write()

    def keep(self) -> None:
        """Writes what could not be written, and issues the revocation list anew if it is old: a broker takes no
        certificate by a list that has expired.
        """
        if self.is_behind:
            self.write()
        with self._lock:
            with self._database.read() as connection:
                revoked = certificates.revoked(connection, at := _now())
            written = self._authority.write_list(revoked, at)
        if written:
            self._changed()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
