"""What the agent must not forget: one SQLite database. One method is one transaction, durable when it returns.

The connection is bound to the thread that made it, and is the only one that writes (``synchronous=FULL``, WAL). A
read-only connection may look on meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import sqlite_utils
from shallop_protocol import desired, device, messages
from shallop_protocol import errors as protocol_errors
from shallop_protocol.messages import Event, Reason, Refusal, Report
from shallop_protocol.statuses import Activity, Error
from shallop_protocol.trust import Trust

from shallop_device import errors, gates, identity, schema

KEPT_EVENTS = 100

# What every order writes is written here: sqlite-utils looks the tables up before each statement, and a robot waits.
_SET_ACCEPTED = "insert or replace into accepted (id, envelope, envelope_digest, payload) values (1, ?, ?, ?)"
_SET_REFUSED = "insert into refused (id, body) values (1, ?)"
_SET_REPORT = "insert or replace into report (id, seq, body, sent) values (1, ?, ?, 0)"
_SET_GUARD = """
update guard set applying = :applying, message_digest = :message_digest, deaths = :deaths, trial = :trial,
    trials = :trials, announced = :announced
"""
_SET_KEY_LIST = "insert or replace into key_list (id, envelope) values (1, ?)"
_ADD_HOLDING = """
insert into holding (position, id, digest, activity, error, attempts, reason_code, reason_message, since)
values (:position, :id, :digest, :activity, :error, :attempts, :reason_code, :reason_message, :since)
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Outgoing:
    """The newest report, as it goes out, and whether the broker has acknowledged it."""

    seq: int
    body: bytes
    sent: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Enrolling:
    """An enrolment: begun, and finished when ``answer`` is there. The secret becomes the MQTT password; ``key`` is the
    private key of the client certificate, in PEM."""

    server: str
    root: str
    token_digest: str
    secret: str
    answer: str | None = None
    key: str | None = None


class Store:
    """The database of one device.

    The methods that write raise errors.HeldUp when the database cannot be written; nothing changed then.
    """

    def __init__(self, db: sqlite_utils.Database) -> None:
        self._db = db
        self._begun: str | None = None
        self._is_synced = True
        self._incarnation = str(self._row("device")["incarnation"])
        self._guard: dict[str, Any] = self._row("guard")
        accepted = self._find("accepted", columns="envelope_digest")
        self._accepted_digest = None if accepted is None else str(accepted["envelope_digest"])
        self._memory = self._read_memory()
        self._report = self._read_report()
        self._said = None if self._report is None else _facts(_parse(self._report.body))

    @classmethod
    def open(cls, directory: Path) -> Store:
        """The store in a state directory, made there if there is none.

        Raises:
            errors.AgentError: it cannot be opened, or is not a database.
        """
        try:
            return cls(schema.connect(directory))
        except (OSError, sqlite3.Error, protocol_errors.ProtocolError) as error:
            raise errors.AgentError(f"cannot open {directory / schema.FILE}: {error}") from error

    @classmethod
    def open_to_read(cls, directory: Path) -> Store:
        """The store in a state directory, to look at only. An agent may be writing to it.

        Raises:
            errors.AgentError: there is none, or it cannot be read.
        """
        path = directory / schema.FILE
        if not path.exists():
            raise errors.AgentError(f"there is no {path}: enrol this device first (shallopd enroll --help)")
        try:
            return cls(sqlite_utils.Database(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)))
        except (sqlite3.Error, protocol_errors.ProtocolError) as error:
            raise errors.AgentError(f"cannot read {path}: {error}") from error

    def close(self) -> None:
        """Lets go of the database; what was not committed is not there."""
        self._db.close()

    @property
    def incarnation(self) -> str:
        """Names this database; made with it."""
        return self._incarnation

    @property
    def memory(self) -> device.Memory:
        """What was last remembered."""
        return self._memory

    @property
    def report(self) -> Outgoing | None:
        """The newest report; None before the first."""
        return self._report

    @property
    def enrolling(self) -> Enrolling | None:
        """The enrolment, begun or finished."""
        row = self._find("enrolment")
        return None if row is None else Enrolling(**{key: value for key, value in row.items() if key != "id"})

    @property
    def identity(self) -> identity.Identity | None:
        """Who this device is; None until an enrolment was finished.

        Raises:
            errors.AgentError: what is stored cannot be used by this software.
        """
        enrolling = self.enrolling
        if enrolling is None or enrolling.answer is None:
            return None
        root = Path(enrolling.root)
        return identity.of(enrolling.answer.encode(), enrolling.server, root, enrolling.secret, enrolling.key)

    def trust(self, anchor: Trust) -> Trust:
        """Whom this device trusts: with the newest key list that was kept, unless ``anchor`` has a newer one, or other
        roots than those that signed it."""
        row = self._find("key_list")
        if row is None:
            return anchor
        try:
            return anchor.renewed(bytes(row["envelope"]))
        except protocol_errors.ProtocolError:
            return anchor

    def begin_enrolment(self, server: str, root: Path, token: str) -> Enrolling:
        """Makes the secret and the key of a new enrolment durable before they are used. The same server and token get
        the same as before, so that a call whose answer was lost can be repeated."""
        from shallop_device import certificate  # 3 MB, which an agent that is enrolled does without

        digest = hashlib.sha256(token.encode()).hexdigest()
        known = self.enrolling
        if known and (known.server, known.token_digest) == (server, digest):
            enrolling = dataclasses.replace(known, root=str(root), key=known.key or certificate.new_key())
        else:
            secret = secrets.token_urlsafe(32)
            enrolling = Enrolling(server, str(root), digest, secret, key=certificate.new_key())
        with self._transaction():
            self._db.table("enrolment").upsert({"id": 1, **dataclasses.asdict(enrolling)}, pk="id")
        return enrolling

    def finish_enrolment(self, answer: bytes) -> None:
        """Keeps the cloud's answer, which the caller has found to be usable."""
        with self._transaction():
            self._change("enrolment", {"answer": answer.decode()})

    def next_connection(self) -> int:
        """The number of the next connection to the broker; higher than any before."""
        with self._transaction():
            number = int(self._row("device")["connection"]) + 1
            self._change("device", {"connection": number})
        return number

    @property
    def unproven_s(self) -> float:
        """Seconds of running without a proof that the newest order is here, when they were last noted."""
        return float(self._row("device")["unproven_s"])

    def note_unproven(self, seconds: float) -> None:
        """Notes that. A loss of power may undo it."""
        with self._transaction(synced=False):
            self._change("device", {"unproven_s": seconds})

    @property
    def accepted_digest(self) -> str | None:
        """The SHA-256 of the envelope that holds the order in force."""
        return self._accepted_digest

    @property
    def died_applying(self) -> bool:
        """Whether an attempt to apply was begun and its outcome never remembered: the agent, or its power, died of it
        or during it."""
        return bool(self._guard["applying"])

    def trials(self, deployment: str) -> int:
        """How many trials of a deployment were begun and never came to an end."""
        return int(self._guard["trials"]) if self._guard["trial"] == deployment else 0

    @property
    def announced(self) -> str | None:
        """Of which deployment in sight the hook ``applied`` has taken notice."""
        return self._guard["announced"]

    def announce(self, deployment: str | None) -> None:
        """The hook ``applied`` has taken notice of what is in sight."""
        guard = {**self._guard, "announced": deployment}
        with self._transaction():
            self._db.conn.execute(_SET_GUARD, guard)
        self._guard = guard

    def holds(self, boot: str) -> list[gates.Hold]:
        """What robot software holds back; what an earlier boot of the machine left is over.

        Args:
            boot: names the machine's present boot.
        """
        rows = self._rows("select * from hold order by until, name")
        return [_hold(row) for row in rows if row["boot"] == boot]

    def put_hold(self, hold: gates.Hold, boot: str) -> None:
        """Takes a hold, or renews the one of the same name."""
        row = {"name": hold.name, "reason": hold.reason, "until": hold.until, "at": hold.at.isoformat(), "boot": boot}
        with self._transaction():
            self._db.conn.execute("delete from hold where boot <> ?", [boot])
            self._db.table("hold").upsert(row, pk="name")

    def drop_hold(self, name: str) -> None:
        """Ends a hold."""
        with self._transaction():
            self._db.conn.execute("delete from hold where name = ?", [name])

    def begin_message(self, digest: str) -> int:
        """Notes that a message is about to be looked at, until ``remember`` says that it was judged.

        The first time this outlives the agent's death, which a message may bring about, and not a loss of power,
        which it does not; so a message that does no harm costs no wait for the disk.

        Returns:
            How often the agent died of this message so far.
        """
        if digest != self._begun:
            died = int(self._guard["deaths"]) + 1 if self._guard["message_digest"] == digest else 0
            guard: dict[str, Any] = {**self._guard, "message_digest": digest, "deaths": died}
            with self._transaction(synced=died > 0):
                self._db.conn.execute(_SET_GUARD, guard)
            self._guard = guard
            self._begun = digest
        return int(self._guard["deaths"])

    def remember(
        self,
        memory: device.Memory,
        compose: Callable[[int], Report],
        *,
        envelope: bytes | None = None,
        applying: bool = False,
        judged: bool = False,
        again: bool = False,
        trials: tuple[str, int] | None = None,
        key_list: bytes | None = None,
    ) -> None:
        """Makes a memory and the report that tells of it durable, both or neither. What did not change is not written;
        a report that says nothing new stays the one it is.

        Args:
            compose: makes the report from its sequence number.
            envelope: the signed bytes that brought a new order.
            applying: an attempt to apply begins now.
            judged: the message that was begun did the agent no harm.
            again: the report is news though it says nothing new.
            trials: of this deployment so many trials have begun. They are counted until its outcome is remembered.
            key_list: the signed bytes of a new key list.
        """
        report = compose(self._report.seq + 1 if self._report else 1)
        is_news = again or self._said is None or _is_news(report, self._said)
        guard: dict[str, Any] = {**self._guard, "applying": int(applying)}
        if judged:
            guard.update(message_digest=None, deaths=0)
        guard.update(self._trials_after(memory, trials))
        if memory == self._memory and not is_news and guard == self._guard and key_list is None:
            return
        outgoing = Outgoing(report.seq, report.to_bytes(), sent=False) if is_news else self._report
        with self._transaction():
            self._write_memory(memory, envelope)
            if key_list is not None:
                self._db.conn.execute(_SET_KEY_LIST, [key_list])
            self._db.conn.execute(_SET_GUARD, guard)
            if is_news and outgoing:
                self._db.conn.execute(_SET_REPORT, [outgoing.seq, outgoing.body])
        self._memory = memory
        self._report = outgoing
        self._said = _facts(report) if is_news else self._said
        self._guard = guard
        if envelope is not None:
            self._accepted_digest = hashlib.sha256(envelope).hexdigest()
        if judged:
            self._begun = None

    def _trials_after(self, memory: device.Memory, begun: tuple[str, int] | None) -> dict[str, Any]:
        if begun is not None:
            return {"trial": begun[0], "trials": begun[1]}
        wanted = memory.wanted
        is_open = wanted is not None and wanted.activity is Activity.QUEUED and wanted.error is not Error.FAILED
        goes_on = is_open and wanted is not None and wanted.id == self._guard["trial"]
        return {} if goes_on else {"trial": None, "trials": 0}

    def mark_sent(self, seq: int) -> None:
        """Notes that the broker acknowledged a report; if there is a newer one by now, that is still to be sent.

        A loss of power may undo it: then the report is sent once more."""
        if self._report and self._report.seq == seq and not self._report.sent:
            with self._transaction(synced=False):
                self._db.conn.execute("update report set sent = 1")
            self._report = dataclasses.replace(self._report, sent=True)

    def add_event(self, event: Event) -> None:
        """Queues an event; beyond a hundred, the oldest is dropped."""
        with self._transaction():
            self._db.table("event").insert({"body": event.to_bytes()})
            self._db.conn.execute(
                "delete from event where id not in (select id from event order by id desc limit ?)", [KEPT_EVENTS]
            )

    def first_event(self) -> tuple[int, bytes] | None:
        """The oldest event that was not sent, and its number."""
        row = next(iter(self._rows("select id, body from event order by id limit 1")), None)
        return None if row is None else (int(row["id"]), bytes(row["body"]))

    def drop_event(self, number: int) -> None:
        """Forgets an event that was sent."""
        with self._transaction():
            self._db.conn.execute("delete from event where id = ?", [number])

    @contextlib.contextmanager
    def _transaction(self, *, synced: bool = True) -> Generator[None]:
        """A transaction that is on the disk when the block has ended, or with the next that is ``synced``."""
        try:
            if synced is not self._is_synced:
                self._db.conn.execute(f"pragma synchronous = {'full' if synced else 'normal'}")
                self._is_synced = synced
            self._db.conn.execute("begin immediate")
            try:
                yield
                self._commit()
            except BaseException:
                self._db.rollback()
                raise
        except sqlite3.Error as error:
            reason = Reason.of("state_database", f"cannot write the state database: {error}")
            raise errors.HeldUp(reason) from error

    def _commit(self) -> None:
        self._db.commit()

    def _find(self, table: str, columns: str = "*") -> dict[str, Any] | None:
        return next(iter(self._rows(f"select {columns} from {table}")), None)  # noqa: S608  names from this file

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        return list(self._db.query(sql))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def _change(self, table: str, values: dict[str, Any]) -> None:
        self._db.table(table).update(1, values)  # pyright: ignore[reportUnknownMemberType]

    def _row(self, table: str) -> dict[str, Any]:
        row = self._find(table)
        assert row is not None
        return row

    def _read_report(self) -> Outgoing | None:
        row = self._find("report")
        return None if row is None else Outgoing(int(row["seq"]), bytes(row["body"]), bool(row["sent"]))

    def _read_memory(self) -> device.Memory:
        accepted = self._find("accepted", columns="payload")
        order = None
        if accepted is not None:
            order = messages.parse(desired.Desired, bytes(accepted["payload"]), desired.MAX_PAYLOAD_BYTES)
        refused = self._find("refused")
        return device.Memory(
            order=order,
            holdings=tuple(_holding(row) for row in self._rows("select * from holding order by position")),
            refused=None if refused is None else Refusal.model_validate_json(refused["body"]),
        )

    def _write_memory(self, memory: device.Memory, envelope: bytes | None) -> None:
        if envelope is not None and memory.order is not None:
            digest = hashlib.sha256(envelope).hexdigest()
            self._db.conn.execute(_SET_ACCEPTED, [envelope, digest, memory.order.to_bytes()])
        if memory.holdings != self._memory.holdings:
            self._db.conn.execute("delete from holding")
            rows = [{"position": at, **_row_of(holding)} for at, holding in enumerate(memory.holdings)]
            self._db.conn.executemany(_ADD_HOLDING, rows)
        if memory.refused != self._memory.refused:
            self._db.conn.execute("delete from refused")
            if memory.refused is not None:
                self._db.conn.execute(_SET_REFUSED, [memory.refused.model_dump_json()])


def _parse(body: bytes) -> Report:
    return messages.parse(Report, body, messages.MAX_REPORT_BYTES)


_UNTOLD = {"seq": 1, "at": datetime.datetime.min.replace(tzinfo=datetime.timezone.utc), "clock_synced": False}


def _is_news(report: Report, said: Report) -> bool:
    """That something is asked no more is none."""
    facts = _facts(report)
    return facts != (said if facts.nonce else said.model_copy(update={"nonce": None}))


def _facts(report: Report) -> Report:
    """A report without what differs each time it is composed."""
    return report.model_copy(update=_UNTOLD)


def _row_of(holding: device.Holding) -> dict[str, Any]:
    return {
        "id": holding.id,
        "digest": holding.digest,
        "activity": holding.activity.value,
        "error": holding.error.value,
        "attempts": holding.attempts,
        "reason_code": holding.reason.code if holding.reason else None,
        "reason_message": holding.reason.message if holding.reason else None,
        "since": holding.since.isoformat(),
    }


def _holding(row: dict[str, Any]) -> device.Holding:
    return device.Holding(
        id=row["id"],
        digest=row["digest"],
        activity=Activity(row["activity"]),
        error=Error(row["error"]),
        attempts=row["attempts"],
        reason=Reason(code=row["reason_code"], message=row["reason_message"]) if row["reason_code"] else None,
        since=datetime.datetime.fromisoformat(row["since"]),
    )


def _hold(row: dict[str, Any]) -> gates.Hold:
    return gates.Hold(row["name"], row["reason"], row["until"], datetime.datetime.fromisoformat(row["at"]))
