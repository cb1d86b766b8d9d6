"""What the agent must not forget, and what it tells: a memory and the report of it become durable together, or not."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable, Mapping

from shallop_protocol import device, messages
from shallop_protocol.messages import Reason, Waiting

from shallop_device import clock, errors, identity, store

Notice = Callable[[messages.Event | messages.Report], None]
"""Is called with each event and each new report, in the agent's thread."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What a report says beside the memory.

    Attributes:
        disk: as it was last seen.
        next_attempts: when deployments that are held up are tried again, by the wall clock.
        waiting: why deployments are not brought on although nothing is wrong.
        integrity: what was found of deployments whose files are left though they are not what was written.
        nonce: to be echoed by the cloud.
        keys: the version of the key list that counts.
        stale: nothing has proven for too long that the newest order is here.
    """

    disk: device.Disk
    next_attempts: Mapping[str, datetime.datetime]
    waiting: Mapping[str, Waiting]
    integrity: Mapping[str, Reason]
    nonce: str | None
    keys: int
    stale: bool


class Logbook:
    """The store, seen as what one device says of itself.

    Args:
        notice: hears of all that is written here. What goes wrong in it goes no further.
    """

    def __init__(
        self,
        who: identity.Identity,
        memory: store.Store,
        *,
        time: clock.Clock,
        agent: messages.Agent,
        notice: Notice | None = None,
    ) -> None:
        self._who = who
        self._store = memory
        self._clock = time
        self._agent = agent
        self._notice = notice

    def remember(
        self,
        memory: device.Memory,
        account: Account,
        *,
        envelope: bytes | None = None,
        applying: bool = False,
        judged: bool = False,
        again: bool = False,
        trials: tuple[str, int] | None = None,
        key_list: bytes | None = None,
    ) -> None:
        """Makes a memory durable, and the report that tells of it, if that says anything new.

        Args:
            envelope, applying, judged, again, trials, key_list: as ``store.Store.remember`` takes them.

        Raises:
            errors.HeldUp: nothing was written.
        """

        def compose(seq: int) -> messages.Report:
            return device.report(
                memory,
                account.disk,
                device=self._who.wire_id,
                incarnation=self._store.incarnation,
                seq=seq,
                now=self._clock.now(),
                clock_synced=self._clock.synced(),
                agent=self._agent,
                next_attempts=account.next_attempts,
                waiting=account.waiting,
                integrity=account.integrity,
                nonce=account.nonce,
                keys=account.keys,
                stale=account.stale,
            )

        told = self._store.report
        self._store.remember(
            memory,
            compose,
            envelope=envelope,
            applying=applying,
            judged=judged,
            again=again,
            trials=trials,
            key_list=key_list,
        )
        report = self._store.report
        if self._notice and report is not None and report is not told:
            self._pass_on(messages.parse_report(report.body, self._who.wire_id))

    def tell(self, code: str, words: str, deployment: str | None = None) -> None:
        """Queues an event for the cloud. If it cannot be written down, it is only logged."""
        now = messages.utc(self._clock.now())
        event = messages.Event(device=self._who.wire_id, at=now, code=code, deployment=deployment, message=words)
        try:
            self._store.add_event(event)
        except errors.HeldUp as error:
            log_held_up(error, deployment)
        self._pass_on(event)

    def _pass_on(self, news: messages.Event | messages.Report) -> None:
        if self._notice:
            try:
                self._notice(news)
            except Exception:
                logger.exception("who is told of the news brought out a defect of the agent")


def log_held_up(error: errors.HeldUp, subject: str | None) -> None:
    """Logs what did not succeed, for a deployment if that is known."""
    logger.warning("held up: %s: %s", error.reason.code, error, extra={"deployment": subject})
