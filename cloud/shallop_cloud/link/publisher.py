"""Orders, and answers to devices that asked for one, on their way out.

What is published is found by comparing, for each device, the generation that is desired with the one that may have
left; a crash at any point loses nothing. The broker is a cache: whenever the connection comes up, and then by timer,
every device that has not answered its newest order is told again.

Echoes are of the moment. One that cannot be sent at once is forgotten: who still wants it asks again.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Sequence
from typing import Protocol

import sqlalchemy as sa
import structlog
from shallop_protocol import desired, echo, ids, messages
from shallop_protocol import errors as protocol_errors
from shallop_protocol.topics import FROM_DEVICE, RETAINED, TO_DEVICE, Kind, Topics

from shallop_cloud.keyring import Keyring
from shallop_cloud.link import orders
from shallop_cloud.store import devices, outgoing, renewals
from shallop_cloud.store.database import Database

BATCH = 500
TIDY_S = 5.0
TIDY_S_PER_ORDER = 0.0005
"""How long orders that only tidy up wait after others, in all and for each: a robot is in no hurry to delete."""
REASSERT_EVERY_S = 300.0
HELLO_PER_SECOND = 5_000
"""How many reports a second the cloud asks for when it says hello."""

_OF_DEVICE = sorted(RETAINED & (TO_DEVICE | FROM_DEVICE))
"""The kinds of which the broker keeps one message for each device."""

log = structlog.get_logger()


class Line(Protocol):
    """What a publisher needs of a connection."""

    @property
    def is_up(self) -> bool:
        """Whether it stands."""
        ...

    def publish_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> int:
        """Sends messages while it does; gives how many."""
        ...

    def deliver_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> bool:
        """Sends messages, and waits until the broker has them all; False if that is not certain."""
        ...


class Publisher:
    """A thread that brings the broker to what the database says.

    When the key list changes, that goes first. Then the epoch of every device is brought to its own, and last
    everything that lies on the broker is sealed anew, in batches that the broker acknowledges one by one.

    Args:
        poll_s: how often to look for orders that nobody told it of, because another server took them; None for never.
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        topics: Topics,
        connection: Line,
        envelope_limit: int,
        poll_s: float | None = None,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._sealer = orders.Sealer(keyring, envelope_limit)
        self._topics = topics
        self._connection = connection
        self._poll_s = poll_s
        self._wake = threading.Event()
        self._stopping = False
        self._again: set[str] = set()
        self._purge: set[str] = set()
        self._echoes: dict[str, echo.Echo] = {}
        self._lock = threading.Lock()
        self._came_up = False
        self._renewed = 0
        self._told = keyring.standing.listed.version
        self._reassert_at = time.monotonic() + REASSERT_EVERY_S
        self._tidy_at = 0.0
        self._tidy_due = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begins to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the batch in hand."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=10)

    def ordered(self) -> None:
        """Something new is desired."""
        self._wake.set()

    def came_up(self) -> None:
        """The connection stands: say hello, and assert again what is not known to be in sync."""
        self._came_up = True
        self._wake.set()

    def assert_again(self, device: str) -> None:
        """This device may have lost what it was told."""
        with self._lock:
            self._again.add(device)
        self._wake.set()

    def purge(self, device: str) -> None:
        """The broker may keep something of this device, which is revoked."""
        with self._lock:
            self._purge.add(device)
        self._wake.set()

    def answer(self, echoes: Sequence[echo.Echo]) -> None:
        """These devices asked for an echo; of several for one device, the last counts."""
        with self._lock:
            self._echoes |= {each.device: each for each in echoes}
        self._wake.set()

    @property
    def _due_at(self) -> float:
        """The monotonic moment at which there is something to do though nobody wakes the thread."""
        return min(self._reassert_at, self._tidy_at) if self._tidy_due else self._reassert_at

    def _run(self) -> None:
        while not self._stopping:
            told = self._wait()
            try:
                if told or time.monotonic() >= self._due_at or self._has_new():
                    self.round()
            except Exception:
                log.exception("publishing failed; it is tried again")
                self._came_up = True
                time.sleep(1.0)
                self._wake.set()

    def _wait(self) -> bool:
        """Waits until somebody wakes the thread, which is told, or it is time to look."""
        pause = max(0.0, self._due_at - time.monotonic())
        told = self._wake.wait(timeout=pause if self._poll_s is None else min(pause, self._poll_s))
        self._wake.clear()
        return told

    def _has_new(self) -> bool:
        if self._poll_s is None or not self._connection.is_up:
            return False
        if self._keyring.refresh():
            return True
        with self._database.read() as connection:
            return (
                outgoing.has_unpublished(connection, tidying=False)
                or bool(outgoing.unpurged(connection, 1))
                or (not self._tidy_due and outgoing.has_unpublished(connection, tidying=True))
            )

    def round(self) -> None:
        """Sends all that is due now; nothing while the connection is down, or without a key that counts."""
        self._tidy_due = False
        self._keyring.refresh()
        if not self._keyring.signers:
            self._reassert_at = max(self._reassert_at, time.monotonic() + 1.0)
            return
        self._answer()
        if self._stopping or not self._connection.is_up:
            self._reassert_at = max(self._reassert_at, time.monotonic() + 1.0)
            return
        if self._came_up:
            self._came_up = False
            self._purge_again()
            self._tell_keys()
            self._hello()
            self._reassert_at = 0.0
        elif self._told != self._keyring.standing.listed.version:
            self._tell_keys()
        self._raise_epochs()
        self._purge_new()
        self._publish_new()
        with self._lock:
            again, self._again = self._again, set()
        self._publish(sorted(again))
        self._seal_anew()
        if time.monotonic() >= self._reassert_at:
            self._renewed = 0
            self._tell_keys_again()
            self._reassert()
            self._reassert_at = time.monotonic() + REASSERT_EVERY_S

    def _answer(self) -> None:
        """A robot that waits for an echo is on trial, so echoes go before everything else."""
        with self._lock:
            echoes, self._echoes = list(self._echoes.values()), {}
        for start in range(0, len(echoes), BATCH):
            if self._stopping or not self._connection.is_up:
                return
            sealed = [self._sealed_echo(each) for each in echoes[start : start + BATCH]]
            self._connection.publish_many(sealed, retain=False)

    def _sealed_echo(self, answer: echo.Echo) -> tuple[str, bytes]:
        standing = self._keyring.standing
        told = answer.model_copy(update={"keys": standing.listed.version})
        return self._topics.of(answer.device, Kind.ECHO), echo.seal_echo(told, *standing.signers)

    def _tell_keys(self) -> None:
        """Robots verify what comes after it by the key list, so it goes before."""
        standing = self._keyring.standing
        if self._connection.publish_many([(self._topics.keys, standing.envelope)], retain=True):
            self._told = standing.listed.version

    def _tell_keys_again(self) -> None:
        """Only where a robot needs it: every robot hears it, and idle ones shall not pay for it."""
        with self._database.read() as connection:
            is_missed = renewals.has_behind(connection, self._keyring.standing.listed.version)
        if is_missed:
            self._tell_keys()

    def _raise_epochs(self) -> None:
        """Issues the orders of an earlier epoch anew in that of the key list, before any of them is published."""
        listed = self._keyring.standing.listed
        cause = devices.Cause("shallop", datetime.datetime.now(datetime.UTC))
        while self._renewed != listed.version and not self._stopping:
            with self._database.write() as connection:
                batch = renewals.below(connection, listed.epoch, BATCH)
                renewals.raise_many(connection, batch, listed, cause)
            if not batch:
                return

    def _seal_anew(self) -> None:
        """Replaces what lies on the broker under an earlier key list: one batch, so that new orders come in between."""
        version = self._keyring.standing.listed.version
        if self._renewed == version:
            return
        with self._database.read() as connection:
            batch = renewals.sealed_before(connection, version, BATCH)
        if not batch:
            self._renewed = version
            return
        with self._database.write() as connection:
            outgoing.mark_published(connection, batch)
            newest = self._of_now(_newest(connection, batch))
        sealed = [found for order in newest if (found := self._sealed(order))]
        if self._connection.deliver_many(sealed, retain=True):
            with self._database.write() as connection:
                renewals.mark_sealed(connection, batch, version)
            self._wake.set()

    def _of_now(self, newest: Sequence[desired.Desired]) -> list[desired.Desired]:
        """Those of the epoch that robots obey; the others, of a device that was made meanwhile, are raised first."""
        epoch = self._keyring.standing.listed.epoch
        found = [order for order in newest if order.epoch == epoch]
        if len(found) < len(newest):
            self._renewed = 0
            self._wake.set()
        return found

    def _hello(self) -> None:
        with self._database.read() as connection:
            spread = min(300.0, devices.count(connection) / HELLO_PER_SECOND)
        hello = messages.Hello(spread_s=round(spread, 3))
        self._connection.publish_many([(self._topics.hello, hello.to_bytes())], retain=False)

    def _purge_new(self) -> None:
        """What the broker keeps of devices that were revoked goes, and once more when something was heard of one: its
        last will comes when its connection ends, after everything else.
        """
        with self._lock:
            heard, self._purge = self._purge, set()
        if heard:
            self._empty(sorted(heard))
        while not self._stopping and self._connection.is_up:
            with self._database.read() as connection:
                batch = outgoing.unpurged(connection, BATCH)
            if not batch or not self._empty(batch):
                return
            with self._database.write() as connection:
                outgoing.mark_purged(connection, batch)

    def _purge_again(self) -> None:
        """A broker that was away may have brought back what was deleted."""
        last = ""
        while not self._stopping and self._connection.is_up:
            with self._database.read() as connection:
                batch = outgoing.revoked(connection, last, BATCH)
            if not batch:
                return
            self._empty(batch)
            last = batch[-1]

    def _empty(self, batch: Sequence[str]) -> bool:
        """An empty retained message deletes what is retained (MQTT 3.1.1, section 3.3.1.3). Gives whether all left."""
        topics = [self._topics.of(ids.on_wire(device), kind) for device in batch for kind in _OF_DEVICE]
        return self._connection.publish_many([(topic, b"") for topic in topics], retain=True) == len(topics)

    def _publish_new(self) -> None:
        """What changes something goes at once. What only tidies up waits while that is being done, and gathers."""
        changing = self._publish_all(tidying=False)
        now = time.monotonic()
        self._tidy_at = max(self._tidy_at, now + min(TIDY_S, TIDY_S_PER_ORDER * changing))
        if now >= self._tidy_at:
            tidied = self._publish_all(tidying=True)
            self._tidy_at = now + min(TIDY_S, TIDY_S_PER_ORDER * tidied)
        else:
            self._tidy_due = True

    def _publish_all(self, *, tidying: bool) -> int:
        published = 0
        while not self._stopping and self._connection.is_up:
            with self._database.read() as connection:
                batch = outgoing.unpublished(connection, BATCH, tidying=tidying)
            if not batch:
                break
            self._publish(batch)
            published += len(batch)
        return published

    def _reassert(self) -> None:
        last = ""
        while not self._stopping and self._connection.is_up:
            with self._database.read() as connection:
                batch = outgoing.out_of_sync(connection, last, BATCH)
            if not batch:
                return
            self._publish(batch)
            last = batch[-1]

    def _publish(self, batch: list[str]) -> None:
        """Records that these orders may be out, and sends them; in this order, so that a record is never too low."""
        if not batch:
            return
        with self._database.write() as connection:
            outgoing.mark_published(connection, batch)
            newest = self._of_now(_newest(connection, batch))
        self._connection.publish_many([sealed for order in newest if (sealed := self._sealed(order))], retain=True)

    def _sealed(self, order: desired.Desired) -> tuple[str, bytes] | None:
        """Topic and envelope of an order; None, with a word in the log, if the limit was lowered since it was taken."""
        try:
            envelope = self._sealer.seal(order)
        except protocol_errors.TooLarge as error:
            log.error("an order cannot be published", device=order.device, why=error.message)  # noqa: TRY400
            return None
        return self._topics.of(order.device, Kind.DESIRED), envelope


def _newest(connection: sa.Connection, batch: Sequence[str]) -> list[desired.Desired]:
    """The newest orders of these devices; none of one that is revoked, for which nothing shall lie on the broker."""
    revoked = outgoing.revoked_among(connection, batch)
    return orders.newest(connection, [each for each in batch if each not in revoked])
