"""Fakes that implement the agent's own ports, and a cloud that only signs. For tests and simulations."""

from __future__ import annotations

import dataclasses
import datetime
import os
import random
import sqlite3
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Literal

import sqlite_utils
from shallop_protocol import desired, digests, dsse, echo, ids, keys, messages, strict_json, topics
from shallop_protocol.desired import Desired, Instance, Manifest
from shallop_protocol.topics import Kind

from shallop_device import applier, errands, files, freshness, gates, identity, inbox, schema, store, worker


class PowerCut(BaseException):
    """The power went. Not an Exception, so that no handler swallows it."""


class Power:
    """Counts steps, and goes before the one that it was told to.

    Args:
        cut_before: the step, counted from 1, that is not done any more; 0 for none.
    """

    def __init__(self, cut_before: int = 0) -> None:
        self.steps = 0
        self._cut_before = cut_before

    def step(self) -> None:
        """One more step is about to be done.

        Raises:
            PowerCut: not this one.
        """
        self.steps += 1
        if self.steps == self._cut_before:
            raise PowerCut


class Watched:
    """Files on which ``before`` is called with the name and the path of each step, those that only look included."""

    def __init__(self, real: files.Files, before: Callable[[str, str], None]) -> None:
        self._real = real
        self._before = before

    def make_directory(self, path: str) -> None:
        """As the port says."""
        self._before("make_directory", path)
        self._real.make_directory(path)

    def write(self, path: str, chunks: Iterable[bytes], mode: int) -> None:
        """As the port says."""
        self._before("write", path)
        self._real.write(path, chunks, mode)

    def sync_directory(self, path: str) -> None:
        """As the port says."""
        self._before("sync_directory", path)
        self._real.sync_directory(path)

    def link(self, path: str, target: str) -> None:
        """As the port says."""
        self._before("link", path)
        self._real.link(path, target)

    def rename(self, old: str, new: str) -> None:
        """As the port says."""
        self._before("rename", new)
        self._real.rename(old, new)

    def unlink(self, path: str) -> None:
        """As the port says."""
        self._before("unlink", path)
        self._real.unlink(path)

    def remove_directory(self, path: str) -> None:
        """As the port says."""
        self._before("remove_directory", path)
        self._real.remove_directory(path)

    def read(self, path: str) -> Generator[bytes]:
        """As the port says."""
        self._before("read", path)
        yield from self._real.read(path)

    def measure(self, path: str, limit: int) -> files.Measured:
        """As the port says."""
        self._before("measure", path)
        return self._real.measure(path, limit)

    def read_link(self, path: str) -> str | None:
        """As the port says."""
        self._before("read_link", path)
        return self._real.read_link(path)

    def entries(self, path: str) -> dict[str, files.Kind]:
        """As the port says."""
        self._before("entries", path)
        return self._real.entries(path)


LOOKING = frozenset({"read", "measure", "read_link", "entries"})
"""The steps that change nothing."""


def powered(real: files.Files, power: Power) -> Watched:
    """Files whose changing steps take power."""
    return Watched(real, lambda name, _path: None if name in LOOKING else power.step())


class FailingOnce:
    """Makes the n-th step on files fail once with an errno; steps that only look count too."""

    def __init__(self, nth: int, errno: int) -> None:
        self.steps = 0
        self._nth = nth
        self._errno = errno

    @property
    def has_failed(self) -> bool:
        """Whether it came to the n-th step."""
        return self.steps >= self._nth

    def on(self, real: files.Files) -> files.Files:
        """Files with the fault."""
        return Watched(real, self._before)

    def _before(self, _name: str, path: str) -> None:
        self.steps += 1
        if self.steps == self._nth:
            raise OSError(self._errno, os.strerror(self._errno), path)


class PoweredStore(store.Store):
    """A store whose commits take power."""

    def __init__(self, db: sqlite_utils.Database, power: Power) -> None:
        super().__init__(db)
        self._power = power

    @classmethod
    def on(cls, directory: Path, power: Power) -> PoweredStore:
        """The store in a state directory."""
        return cls(schema.connect(directory), power)

    def _commit(self) -> None:
        self._power.step()
        super()._commit()


def watched_database(before: Callable[[str], None]) -> type[sqlite3.Connection]:
    """Connections to a database on which ``before`` is called with each SQL statement."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            before(sql)
            return super().execute(sql, *values)

        def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
            before(sql)
            return super().executemany(sql, *values)

        def executescript(self, sql: str) -> sqlite3.Cursor:
            before(sql)
            return super().executescript(sql)

    return Connection


LOOKING_STATEMENTS = frozenset({"select", "pragma", "savepoint", "release", "rollback"})
"""The SQL statements that do not change what is stored."""


def powered_database(power: Power) -> type[sqlite3.Connection]:
    """Connections to a database whose changing statements take power."""
    return watched_database(lambda sql: None if _only_looks(sql) else power.step())


class FailingStatement:
    """Makes the n-th SQL statement fail once, with this message of SQLite's.

    Args:
        nth: from 1, counted from when ``armed`` is set. Those that only look count if ``looks_count`` is set.
    """

    def __init__(self, nth: int, message: str) -> None:
        self.armed = self.looks_count = False
        self.steps = 0
        self.database = watched_database(self._before)
        self._nth = nth
        self._message = message

    @property
    def has_failed(self) -> bool:
        """Whether it came to the n-th statement."""
        return self.steps >= self._nth

    def _before(self, sql: str) -> None:
        if self.armed and (self.looks_count or not _only_looks(sql)):
            self.steps += 1
            if self.steps == self._nth:
                raise sqlite3.OperationalError(self._message)


def _only_looks(sql: str) -> bool:
    return sql.split(None, 1)[0].strip(";").lower() in LOOKING_STATEMENTS


class FakeClock:
    """Time that passes only when it is told to.

    Attributes:
        boots: of the machine, so far.
    """

    def __init__(self) -> None:
        self.boots = 1
        self._passed = 0.0
        self._wall = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self._passed

    def now(self) -> datetime.datetime:
        """The wall clock."""
        return self._wall + datetime.timedelta(seconds=self._passed)

    def synced(self) -> bool:
        """Always."""
        return True

    def boot(self) -> str:
        """The same unless ``boots`` is raised."""
        return str(self.boots)

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self._passed += seconds

    def set_wall(self, moment: datetime.datetime) -> None:
        """Steps the wall clock alone, as a time server does."""
        self._wall = moment - datetime.timedelta(seconds=self._passed)


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """A message that a fake link was given."""

    number: int
    kind: Kind
    payload: bytes


class FakeLink:
    """A link that keeps what it was given; the test plays the broker."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.published: list[Published] = []
        self.is_up = False

    def open(self, connection: int) -> None:
        """As the port says."""
        self.opened.append(connection)

    def publish(self, kind: Kind, payload: bytes) -> int | None:
        """As the port says."""
        if not self.is_up:
            return None
        self.published.append(Published(len(self.published) + 1, kind, payload))
        return len(self.published)

    def close(self) -> None:
        """As the port says."""
        self.is_up = False

    def is_alive(self) -> bool:
        """Whether the last one opened was not closed."""
        return bool(self.opened)

    def accept(self) -> inbox.Connected:
        """The broker accepts the newest connection."""
        self.is_up = True
        return inbox.Connected(self.opened[-1])

    def lose(self, why: str = "the test cut it") -> inbox.Lost:
        """The newest connection is lost."""
        self.is_up = False
        return inbox.Lost(self.opened[-1], why)

    def acknowledge(self) -> inbox.Acknowledged:
        """The broker acknowledges what was published last."""
        return inbox.Acknowledged(self.opened[-1], self.published[-1].number)


class FakeErrands:
    """Errands that wait until the test ends them."""

    def __init__(self) -> None:
        self.begun: list[errands.Errand] = []
        self.open: errands.Errand | None = None

    def begin(self, errand: errands.Errand) -> None:
        """As the port says."""
        assert self.open is None, "one errand at a time"
        self.begun.append(errand)
        self.open = errand

    def call_off(self) -> None:
        """As the port says."""
        self.open = None

    def end(self, code: int | None = 0, output: str = "", trouble: messages.Reason | None = None) -> inbox.Ended:
        """The errand that is under way ends so."""
        assert self.open is not None
        number, self.open = self.open.number, None
        return inbox.Ended(number, code, output, trouble)

    @property
    def name(self) -> str | None:
        """What is under way: the name of a hook, or ``fetch``."""
        if self.open is None:
            return None
        return self.open.hook if isinstance(self.open, errands.RunHook) else "fetch"


_ISSUED_AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


class Shore:
    """A cloud that does nothing but sign, for one device. The same seed gives the same keys and ids.

    Attributes:
        root: signs key lists; ``signer`` is the newest key that signs the rest.
        listed: the newest key list.
        generation: of the newest order; it counts up.
        floor: what a device that is enrolled now is told to obey nothing below.
    """

    def __init__(self, seed: int = 1, device: str = "DEV-0123456789ABCDEF") -> None:
        self._rng = random.Random(seed)  # noqa: S311  made to be repeated
        self.device = device
        self.signer = dsse.signer_from_seed(self._rng.randbytes(32))
        self.root = dsse.signer_from_seed(bytes([seed % 256]) * 32)
        self.listed = keys.KeyList(version=1, epoch=1, issued_at=_ISSUED_AT, signing_keys=(_active(self.signer),))
        self.generation = 0
        self.floor = (0, 0)

    @property
    def key_list(self) -> bytes:
        """The newest key list as it travels."""
        return keys.seal_key_list(self.listed, [self.root])

    def rotate(self, old: keys.KeyState = keys.KeyState.ACTIVE, *, epochs: int = 0) -> bytes:
        """The next key list: a new key signs from now on.

        Args:
            old: what becomes of the key that signed before.
            epochs: by how many the epoch rises.
        """
        known = [each for each in self.listed.signing_keys if each.key != self.signer.key.text]
        known.append(keys.SigningKey(key=self.signer.key.text, state=old))
        self.signer = dsse.signer_from_seed(self._rng.randbytes(32))
        self.listed = keys.KeyList(
            version=self.listed.version + 1,
            epoch=self.listed.epoch + epochs,
            issued_at=_ISSUED_AT,
            signing_keys=(*known, _active(self.signer)),
        )
        return self.key_list

    def answer(self, url: str = "mqtt://127.0.0.1:1883", protocol: str = "3.1.1") -> dict[str, Any]:
        """What the cloud says to an enrolment."""
        return {
            "device": {"id": self.device, "name": "amr-1"},
            "mqtt": {
                "url": url,
                "username": ids.on_wire(self.device),
                "protocol": protocol,
                "topic_root": topics.DEFAULT_ROOT,
            },
            "trust": {"roots": [self.root.key.text], "threshold": 1, "key_list": self.key_list.decode()},
            "floor": {"epoch": self.floor[0], "generation": self.floor[1]},
        }

    def identity(self, root: Path) -> identity.Identity:
        """The enrolled device."""
        return identity.of(strict_json.dumps(self.answer()), "http://127.0.0.1", root, "secret")

    def manifest(self, contents: dict[str, str], deployment: str | None = None) -> Manifest:
        """A deployment of these files."""
        instances = tuple(
            Instance(
                id=ids.make(ids.Prefix.INSTANCE, self._rng.randbytes(10)),
                path=path,
                digest=digests.of_bytes(text.encode()),
                size=len(text.encode()),
                content=text,
            )
            for path, text in contents.items()
        )
        return Manifest(
            id=deployment or ids.make(ids.Prefix.DEPLOYMENT, self._rng.randbytes(10)),
            release="1.0.0",
            digest=digests.of_files(instance.file for instance in instances),
            instances=instances,
        )

    def order(self, manifest: Manifest | None, fallback: str | None = None, confirm_s: int | None = None) -> Desired:
        """The next order."""
        self.generation += 1
        return Desired(
            device=ids.on_wire(self.device),
            epoch=self.listed.epoch,
            generation=self.generation,
            issued_at=_ISSUED_AT,
            deployment=manifest,
            fallback=fallback,
            confirm_s=confirm_s,
        )

    def echo(self, report: messages.Report) -> bytes:
        """The answer to a report that asks for one."""
        assert report.nonce is not None
        answer = echo.Echo(
            device=report.device,
            nonce=report.nonce,
            epoch=self.listed.epoch,
            generation=self.generation,
            keys=self.listed.version,
        )
        return echo.seal_echo(answer, self.signer)

    def seal(self, order: Desired) -> bytes:
        """An order as it travels."""
        return desired.seal_desired(order, self.signer, limit=desired.MAX_ENVELOPE_BYTES)


def _active(signer: dsse.Signer) -> keys.SigningKey:
    return keys.SigningKey(key=signer.key.text, state=keys.KeyState.ACTIVE)


def read_report(body: bytes) -> messages.Report:
    """A report as the cloud reads it."""
    return messages.parse(messages.Report, body, messages.MAX_REPORT_BYTES)


def sound(disk: files.Files) -> files.Files:
    """Files without a fault."""
    return disk


class Robot:
    """One robot's disk, which survives, and the worker that runs on it between a boot and the next.

    Args:
        directory: for ``root``, the configuration root, and ``state``; may be an earlier robot's. ``boot`` comes next.
        rules: the gates; their hooks are ended by hand, or by ``settle``, for which they all go well.
        notice: as the worker takes it.
    """

    def __init__(
        self,
        directory: Path,
        shore: Shore,
        rules: gates.Rules = worker.NO_RULES,
        integrity: Literal["heal", "report"] = "heal",
        limits: freshness.Limits = freshness.STANDARD,
        notice: Callable[[messages.Event | messages.Report], None] | None = None,
    ) -> None:
        self.root = directory / "root"
        self.state = directory / "state"
        self.shore = shore
        self.rules = rules
        self.integrity: Literal["heal", "report"] = integrity
        self.limits = limits
        self.notice = notice
        self.errands = FakeErrands()
        self.clock = FakeClock()
        self.root.mkdir(parents=True, exist_ok=True)
        self.store = store.Store.open(self.state)
        if self.store.identity is None:
            self.store.begin_enrolment("http://127.0.0.1", self.root, "token")
            self.store.finish_enrolment(strict_json.dumps(shore.answer()))
        self.worker = self._make_worker(sound)

    def boot(
        self,
        power: Power | None = None,
        fault: Callable[[files.Files], files.Files] = sound,
        database: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        """Starts the agent's worker, over whatever an earlier one left. With ``power`` it may be cut."""
        self.store.close()
        self.errands.call_off()
        if power is None:
            self.store = store.Store(schema.connect(self.state, database))
            self.worker = self._make_worker(fault)
        else:
            self.store = PoweredStore.on(self.state, power)
            self.worker = self._make_worker(lambda real: powered(real, power))
        self.worker.start()

    def settle(self) -> None:
        """Works until there is nothing left to do, however long it takes by the clock."""
        for _ in range(1000):
            self.worker.work()
            if self.errands.open:
                self.end()
                continue
            wake_at = self.worker.wake_at
            if wake_at is None:
                return
            self.clock.sleep(max(0.0, wake_at - self.clock.monotonic()))
        raise AssertionError("the robot does not come to rest")

    def take(self, order: Desired) -> None:
        """Takes an order from the shore."""
        self.worker.take(self.shore.seal(order))

    def end(self, code: int | None = 0, output: str = "", trouble: messages.Reason | None = None) -> None:
        """The errand that is under way ends so."""
        self.worker.ended(self.errands.end(code, output, trouble))

    @property
    def report(self) -> messages.Report:
        """The newest report."""
        assert self.store.report is not None
        return read_report(self.store.report.body)

    def visible(self) -> dict[str, str] | None:
        """What robot software finds under ``current``; None if there is none."""
        current = self.root / applier.CURRENT
        if not current.exists():
            return None
        return {str(path.relative_to(current)): path.read_text() for path in current.rglob("*") if path.is_file()}

    def leftovers(self) -> list[str]:
        """What is below the root and is neither ``current`` nor the tree of a deployment."""
        trees = self.root / applier.DEPLOYMENTS
        names = [path.name for path in self.root.iterdir() if path.name not in (applier.CURRENT, applier.DEPLOYMENTS)]
        if trees.exists():
            names += [path.name for path in trees.iterdir() if not ids.is_id(path.name.partition(".")[0])]
        return names

    def trees(self) -> list[str]:
        """The names of the deployments' trees."""
        trees = self.root / applier.DEPLOYMENTS
        return sorted(path.name for path in trees.iterdir() if ids.is_id(path.name.partition(".")[0]))

    def _make_worker(self, fault: Callable[[files.Files], files.Files]) -> worker.Worker:
        who = self.store.identity
        assert who is not None
        return worker.Worker(
            who,
            self.store,
            applier.Applier(fault(files.RootedFiles(self.root))),
            time=self.clock,
            rng=random.Random(1),  # noqa: S311  made to be repeated
            agent=messages.Agent(version="0", started_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)),
            rules=self.rules,
            doing=self.errands,
            integrity=self.integrity,
            limits=self.limits,
            notice=self.notice,
        )
