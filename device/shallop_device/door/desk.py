"""What the door knows of the agent, and what it has the agent do.

The agent's thread owns worker, store and disk. The door's threads read what the agent's thread last put down here,
and have acts done by it, each within a bound; so nothing that comes in through the door can hold the agent up.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from shallop_protocol import errors as protocol_errors
from shallop_protocol import messages
from shallop_protocol.desired import Manifest
from shallop_protocol.statuses import Activity

from shallop_device import clock, errors, files, gates, identity, inbox, store, worker
from shallop_device.door import feed, models, owners, problems, trees

MAX_HOLDS = 32
ACT_S = 5.0
"""So long a client waits for the agent to come to what it asks for."""
LOOK_S = 1.0
"""So long a reader waits for news; then it gets what was last known."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Peer(NamedTuple):
    """The process at the other end, as the kernel names it (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


class Desk:
    """The door's side of one agent. Made before the worker, whose ``notice`` it gives; ``attach`` comes before start.

    Args:
        disk: the configuration root.
        longest_hold_s: seconds for which a hold may be asked.
    """

    def __init__(
        self,
        who: identity.Identity,
        memory: store.Store,
        items: inbox.Inbox,
        disk: files.Files,
        *,
        time: clock.Clock,
        agent: messages.Agent,
        longest_hold_s: float = models.LONGEST_HOLD_S,
    ) -> None:
        self._who = who
        self._store = memory
        self._incarnation = memory.incarnation
        self._items = items
        self._clock = time
        self._agent = agent
        self._longest_hold_s = longest_hold_s
        self.trees = trees.Trees(disk)
        self.feed = feed.Feed()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Rings when there are other owners to watch, or another hold ends next."""
        self._worker: worker.Worker | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self._look_to_come: concurrent.futures.Future[object] | None = None
        # Written by the agent's thread alone; each is a value that is put down whole.
        self._said: list[messages.Event | messages.Report] = []
        self._report: messages.Report | None = None
        self._manifest: Manifest | None = None
        self._online_since: datetime.datetime | None = None
        self._status: models.Status | None = None
        self._holds: Sequence[gates.Hold] = ()
        self._owners: dict[str, owners.Owner] = {}
        self._expiry: float | None = None

    # For the agent's thread.

    def attach(self, hands: worker.Worker) -> None:
        """The worker whose ``notice`` was taken from here."""
        self._worker = hands
        self.plan_look()

    def notice(self, said: messages.Event | messages.Report) -> None:
        """Takes what the worker says. It is in the middle of a step then: what came of it is looked at after that."""
        self._said.append(said)
        self.plan_look()

    def _look(self) -> None:
        """Puts down how things are, and tells the readers what is new."""
        with self._lock:
            self._look_to_come = None
        if (hands := self._worker) is None:
            return
        self._release_orphans(hands)
        holds = tuple(hands.passage.holds)
        said, self._said = self._said, []
        for each in said:
            if isinstance(each, messages.Report):
                self._report = each
        if self._report is None and (outgoing := self._store.report):
            self._report = messages.parse_report(outgoing.body, self._who.wire_id)
        order = self._store.memory.order
        self._manifest = order.deployment if order else None
        last, self._status = self._status, self._composed(hands, holds)
        for each in said:
            self.feed.publish("report" if isinstance(each, messages.Report) else "event", _json(each))
        self._tell_changes(last, self._status, has_other_holds=holds != self._holds)
        self._holds = holds
        self._drop_owners(holds)
        expiry = min((hold.until for hold in holds), default=None)
        if expiry != self._expiry:
            self._expiry = expiry
            self.ring()

    def _tell_changes(self, last: models.Status | None, now: models.Status, *, has_other_holds: bool) -> None:
        if last is None:  # nobody knew anything else
            return
        if now.current != last.current:
            self.feed.publish("deployment", _json(models.Changed(current=now.current)))
        if now.trial != last.trial:
            self.feed.publish("trial", _json(models.Trials(trial=now.trial)))
        if has_other_holds:
            self.feed.publish("hold", _json(models.Holds(holds=now.holds)))

    def _composed(self, hands: worker.Worker, holds: Sequence[gates.Hold]) -> models.Status:
        passage = hands.passage
        since = passage.online_since
        now = self._clock.now()
        passed = datetime.timedelta(seconds=self._clock.monotonic() - since) if since is not None else None
        self._online_since = messages.utc(now - passed) if passed is not None else None
        waiting = next(iter(passage.waiting.items()), None)
        return models.Status(
            at=messages.utc(now),
            online=since is not None,
            freshness=self._freshness(hands, now),
            current=self._in_sight(self._report),
            waiting=models.Awaited(deployment=waiting[0], **waiting[1].model_dump()) if waiting else None,
            trial=_trial(passage.trial),
            holds=tuple(self._shown(hold) for hold in holds),
            report=self._report,
        )

    def _freshness(self, hands: worker.Worker, now: datetime.datetime) -> models.Freshness:
        known = hands.freshness
        ago, reason = known.proven_s_ago, known.reason
        return models.Freshness(
            stale=reason is not None,
            code=reason.code if reason else None,
            message=reason.message if reason else None,
            proven_at=messages.utc(now - datetime.timedelta(seconds=ago)) if ago is not None else None,
        )

    def _in_sight(self, report: messages.Report | None) -> models.InSight | None:
        if report is None or report.current is None:
            return None
        entry = next((each for each in report.deployments if each.id == report.current), None)
        manifest = self._manifest if self._manifest and self._manifest.id == report.current else None
        return models.InSight(
            id=report.current,
            release=manifest.release if manifest else None,
            digest=(entry.digest if entry else None) or (manifest.digest if manifest else None),
            activity=Activity(entry.activity) if entry else None,
            since=entry.since if entry else None,
        )

    def _shown(self, hold: gates.Hold) -> models.Hold:
        owner = self._owners.get(hold.name)
        pid = owner.pid if owner else None
        return models.Hold(name=hold.name, reason=hold.reason, expires_at=hold.at, while_pid=pid)

    def _release_orphans(self, hands: worker.Worker) -> None:
        for name, owner in self._owners.items():
            if owner.has_ended:
                try:
                    hands.passage.release(name)
                except errors.HeldUp as error:  # with the next look, or when its time is over
                    logger.warning("%s is still held: %s", name, error, extra={"pid": owner.pid})
                else:
                    logger.info("released %s: its process has ended", name, extra={"pid": owner.pid})

    def _drop_owners(self, holds: Sequence[gates.Hold]) -> None:
        names = {hold.name for hold in holds}
        for name in self._owners.keys() - names:
            self._own(name, None)

    def _own(self, name: str, owner: owners.Owner | None) -> None:
        known = dict(self._owners)
        earlier = known.pop(name, None)
        if owner is not None:
            known[name] = owner
        self._owners = known
        if earlier is not None:
            earlier.close()
        if owner is not earlier:
            self.ring()

    # For the door's threads.

    @property
    def watched(self) -> Sequence[owners.Owner]:
        """The processes whose end matters."""
        return tuple(self._owners.values())

    @property
    def seconds_to_expiry(self) -> float | None:
        """Until the next hold ends by itself; None if none does."""
        expiry = self._expiry
        return None if expiry is None else max(0.0, expiry - self._clock.monotonic())

    def expire(self) -> None:
        """A hold has ended by itself."""
        self._expiry = None
        self.plan_look()

    def ring(self) -> None:
        """Wakes whoever watches the bell."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._is_closed:
                os.eventfd_write(self.bell, 1)

    def plan_look(self) -> concurrent.futures.Future[object]:
        """Has the agent's thread look at how things are, when it comes to it; one look serves all who ask meanwhile."""
        with self._lock:
            if self._look_to_come is None:
                self._look_to_come = concurrent.futures.Future()
                self._items.put(inbox.Call(self._look, self._look_to_come))
            return self._look_to_come

    def status(self) -> models.Status:
        """How things are; how they last were, if the agent has no time.

        Raises:
            problems.Problem: it never had.
        """
        try:
            self.plan_look().result(LOOK_S)
        except (concurrent.futures.TimeoutError, TimeoutError):
            logger.debug("showing what was last known: the agent is at work")
        except Exception as error:  # noqa: BLE001  whatever kept the agent from looking, what it saw last is there
            logger.warning("showing what was last known: %s", error)
        if (status := self._status) is None:
            raise _busy()
        return status

    def device(self) -> models.Device:
        """Who this is."""
        status = self.status()
        return models.Device(
            id=self._who.device,
            name=self._who.name,
            server=self._who.server,
            root=str(self._who.root),
            agent=self._agent,
            incarnation=self._incarnation,
            online=status.online,
            online_since=self._online_since if status.online else None,
        )

    def in_sight(self) -> tuple[models.InSight, str, Manifest | None]:
        """The deployment that robot software finds at this moment, its tree, and its manifest if that is at hand.

        Raises:
            problems.Problem: there is none.
        """
        status = self.status()
        tree = self.trees.tree(None)
        deployment = trees.deployment_of(tree)
        shown = status.current
        if shown is None or shown.id != deployment:
            shown = models.InSight(id=deployment, release=None, digest=None, activity=None, since=None)
        return shown, tree, self._manifest

    @property
    def manifest(self) -> Manifest | None:
        """Of the deployment that the newest order names."""
        return self._manifest

    def check_health(self) -> None:
        """Passes if the agent's thread does what it is asked to.

        Raises:
            problems.Problem: it does not come to it.
        """
        self._do(lambda: None)

    def hold(self, name: str, wish: models.NewHold, peer: Peer) -> tuple[models.Hold, bool]:
        """Holds back what would come into sight. Second: whether it is new.

        Raises:
            problems.Problem: too long, too many, the process is not there, or the agent cannot do it now.
        """
        if wish.expires_in_s > self._longest_hold_s:
            words = f"a hold of {wish.expires_in_s:g} s is too long: at most {self._longest_hold_s:g} s; renew it"
            raise problems.Problem(422, "hold_too_long", words)
        pid = peer.pid if wish.while_pid is True else wish.while_pid or None

        def act() -> tuple[models.Hold, bool]:
            passage = self._attached().passage
            known = {hold.name for hold in passage.holds}
            if name not in known and len(known) >= MAX_HOLDS:
                words = f"there are {len(known)} holds; release one first"
                raise problems.Problem(409, "too_many_holds", words)
            owner = None if pid is None else owners.find(pid)
            try:
                made = passage.hold(name, wish.reason, wish.expires_in_s)
            except errors.HeldUp:
                if owner is not None:
                    owner.close()
                raise
            self._own(name, owner)
            return self._shown(made), name not in known

        hold, is_new = self._do(act)
        logger.info("held by %s: %s", name, wish.reason, extra={"pid": peer.pid, "uid": peer.uid})
        return hold, is_new

    def release(self, name: str, peer: Peer) -> None:
        """Ends a hold.

        Raises:
            problems.Problem: there is none, or the agent cannot do it now.
        """
        if not self._do(lambda: self._attached().passage.release(name)):
            raise problems.Problem(404, "hold_not_found", f"nothing is held by {name}")
        logger.info("released %s", name, extra={"pid": peer.pid, "uid": peer.uid})

    def retry(self, peer: Peer) -> None:
        """Ends every wait that a failure brought about.

        Raises:
            problems.Problem: the agent cannot do it now.
        """
        self._do(lambda: self._attached().retry_now())
        logger.info("told to try again now", extra={"pid": peer.pid, "uid": peer.uid})

    def order(self, envelope: bytes, peer: Peer) -> models.Ordered:
        """Takes an order as if the broker had brought it.

        Raises:
            problems.Problem: it is refused; or the agent cannot do it now.
        """

        def act() -> models.Ordered:
            hands = self._attached()
            hands.take(envelope)
            memory = self._store.memory
            try:
                order = hands.trust.order(envelope)
            except protocol_errors.ProtocolError as error:
                raise problems.Problem(409, "order_refused", error.message) from None
            if memory.order is None or memory.order.digest != order.digest:
                refused = memory.refused
                words = refused.message if refused else "the agent could not write it down; it is tried again"
                raise problems.Problem(409, "order_refused", words)
            epoch, generation = memory.position
            wanted = memory.wanted
            return models.Ordered(epoch=epoch, generation=generation, deployment=wanted.id if wanted else None)

        answer = self._do(act)
        extra = {"pid": peer.pid, "uid": peer.uid}
        logger.info("an order was handed in: %d/%d", answer.epoch, answer.generation, extra=extra)
        return answer

    def key_list(self, envelope: bytes, peer: Peer) -> models.Listed:
        """Takes a key list as if the broker had brought it.

        Raises:
            problems.Problem: it is refused; or the agent cannot do it now.
        """

        def act() -> models.Listed:
            hands = self._attached()
            try:
                wanted = hands.trust.renewed(envelope).listed
            except protocol_errors.ProtocolError as error:
                raise problems.Problem(409, "key_list_refused", error.message) from None
            hands.renew(envelope)
            if hands.trust.listed != wanted:
                words = "the agent could not write it down; it is tried again"
                raise problems.Problem(409, "key_list_refused", words)
            return models.Listed(version=wanted.version, epoch=wanted.epoch)

        answer = self._do(act)
        logger.info("key list %d was handed in", answer.version, extra={"pid": peer.pid, "uid": peer.uid})
        return answer

    def acknowledge(self, word: models.Acknowledgement, peer: Peer) -> models.Acknowledged:
        """Takes what robot software says of a deployment.

        Raises:
            problems.Problem: it is neither on trial, nor in force and well; or the agent cannot do it now.
        """
        veto = None if word.ok else word.message or "it is not well"

        def act() -> models.Acknowledged:
            hands = self._attached()
            if hands.passage.acknowledge(word.name, word.deployment, veto):
                return models.Acknowledged(deployment=word.deployment, on_trial=True)
            holding = self._store.memory.holding(word.deployment)
            if holding is None or holding.activity is not Activity.DEPLOYED:
                words = f"{word.deployment} is neither on trial nor in force"
                raise problems.Problem(409, "not_on_trial", words)
            if veto is not None:
                words = f"{word.deployment} is in force already; what speaks against it comes too late"
                raise problems.Problem(409, "not_on_trial", words)
            return models.Acknowledged(deployment=word.deployment, on_trial=False)

        answer = self._do(act)
        words = "acknowledged by" if word.ok else "not well, says"
        logger.info("%s %s %s", word.deployment, words, word.name, extra={"pid": peer.pid, "uid": peer.uid})
        return answer

    def close(self) -> None:
        """Lets every reader go, and the processes that it watches."""
        self.feed.close()
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            os.close(self.bell)
        for owner in self.watched:
            owner.close()

    def _attached(self) -> worker.Worker:
        if self._worker is None:
            raise _busy()
        return self._worker

    def _do(self, act: Callable[[], T]) -> T:
        """Has the agent's thread do it, unless it comes to it too late, and look at what came of it."""
        too_late = threading.Event()

        def unless_late() -> T:
            if too_late.is_set():
                raise _busy()
            return act()

        try:
            done = self._items.call(unless_late, ACT_S)
        except TimeoutError:
            too_late.set()
            raise _busy() from None
        except errors.HeldUp as error:
            raise problems.Problem(503, error.reason.code, str(error)) from None
        self.plan_look()
        return done


def _busy() -> problems.Problem:
    return problems.Problem(503, "agent_busy", "the agent has no time now; try again")


def _json(shown: messages.Event | messages.Report | models.Shown) -> bytes:
    return shown.model_dump_json().encode()


def _trial(trial: gates.Trial | None) -> models.Trial | None:
    if trial is None:
        return None
    return models.Trial(
        deployment=trial.deployment,
        since=trial.at,
        passes=trial.passes,
        acks=tuple(sorted(trial.acks)),
        said=trial.said,
    )
