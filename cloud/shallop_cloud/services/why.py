"""Why a device does not run what it shall, or that it does: one verdict, what it waits for, and what would help.

All of it is computed from what is recorded; the device is not asked.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from shallop_protocol import cloud, messages
from shallop_protocol.statuses import Activity, Error, merge

from shallop_cloud.services import lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import connectivity, deployments, devices, lagging
from shallop_cloud.store.connectivity import Connectivity


class Verdict(enum.StrEnum):
    """The one word for it. Where several fit, the one that somebody has to act on comes first."""

    ARCHIVED = "archived"
    REVOKED = "revoked"
    FAILED = "failed"
    LAGGING = "lagging"
    DRIFTED_WAITING = "drifted_waiting"
    FILES_CHANGED = "files_changed"
    IN_SYNC = "in_sync"
    NEVER_ENROLLED = "never_enrolled"
    NOTHING_DESIRED = "nothing_desired"
    REFUSED = "refused"
    OFFLINE = "offline"
    SILENT = "silent"
    RETRYING = "retrying"
    WAITING = "waiting"


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Something that has to happen, or to be decided, first.

    Attributes:
        since: when it began, if that is known.
        next_at: when the device tries again, or the wait ends at the latest, as it said in its last report.
    """

    code: str
    text: str
    since: datetime.datetime | None = None
    next_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the device last said that it runs, the status that it gave it, and when it was heard to say so."""

    current: str | None
    status: str | None
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Why:
    """The answer. ``device`` is the row, and ``at`` the time of which it is true."""

    device: sa.RowMapping
    at: datetime.datetime
    desired_status: str | None
    known: Known | None
    verdict: Verdict
    text: str
    waits_for: Sequence[Wait]
    commands: Sequence[str]


def explain(shore: Shore, key: str) -> Why:
    """Why a device is as it is; raises ``errors.NotFound``."""
    with shore.database.read() as connection:
        row = lookup.device(connection, key)
        former = deployments.former(connection, row["id"])
        last = max(former.values(), key=lambda each: each.ordered, default=None)
        facts = Facts(
            row=row,
            device=devices.load(connection, row["id"]),
            newest=deployments.find(connection, last.id) if last else None,
            has_former=any(each.was_in_force and not each.failed for each in former.values()),
            at=shore.now(),
        )
    verdict = facts.verdict
    return Why(
        device=row,
        at=facts.at,
        desired_status=facts.desired.statuses.merged if facts.desired else None,
        known=facts.known,
        verdict=verdict,
        text=facts.text(verdict),
        waits_for=list(facts.waits()),
        commands=facts.commands(verdict),
    )


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is recorded of a device.

    Attributes:
        newest: the deployment that was ordered last.
        has_former: some deployment was in force once, and did not fail.
    """

    row: sa.RowMapping
    device: cloud.Device
    newest: sa.RowMapping | None
    has_former: bool
    at: datetime.datetime

    @property
    def desired(self) -> cloud.Deployment | None:
        """What is desired."""
        return self.device.deployments[self.device.desired] if self.device.desired else None

    @property
    def report(self) -> messages.Report | None:
        """The device's last one."""
        return messages.Report.model_validate(self.row["report"]) if self.row["report"] else None

    @property
    def known(self) -> Known | None:
        """What the last report says of what the device runs."""
        report = self.report
        if report is None:
            return None
        statuses = {entry.id: merge(entry.activity, entry.error) for entry in report.deployments}
        status = statuses.get(report.current) if report.current else None
        return Known(report.current, status, self.row["reported_at"])

    @property
    def _connectivity(self) -> Connectivity:
        return connectivity.of(self.row, self.at)

    @property
    def lags(self) -> lagging.Reason | None:
        """Why orders do not get through to it, if they do not."""
        return lagging.of(self.row, self.at)

    @property
    def _is_settled(self) -> bool:
        """Whether the device has answered its newest order, and what is desired is in force without trouble."""
        desired = self.desired
        return self.device.in_sync and (
            desired is None or (desired.statuses.activity, desired.statuses.error) == (Activity.DEPLOYED, Error.NONE)
        )

    @property
    def _has_failed(self) -> bool:
        return self.newest is not None and self.newest["error"] == Error.FAILED.value

    @property
    def _is_retrying(self) -> bool:
        return self.desired is not None and self.desired.statuses.error is Error.RETRYING

    @property
    def _refused(self) -> messages.Refusal | None:
        report = self.report
        return report.refused if report and not self.device.in_sync else None

    def _waiting(self, activity: Activity) -> list[str]:
        return [each.id for each in self.device.deployments.values() if each.statuses.activity is activity]

    @property
    def verdict(self) -> Verdict:
        """The one word."""
        if self.device.archived:
            return Verdict.ARCHIVED
        if self.row["revoked_at"] is not None:
            return Verdict.REVOKED
        if self._has_failed:
            return Verdict.FAILED
        if self.lags in (lagging.Reason.STALE, lagging.Reason.NOT_RECEIVED):
            return Verdict.LAGGING
        if self._is_settled and self._waiting(Activity.DRIFTED):
            return Verdict.DRIFTED_WAITING
        if self._is_settled and self.desired:
            return Verdict.FILES_CHANGED if self.desired.integrity else Verdict.IN_SYNC
        if self.row["enrolled_at"] is None and self.report is None:
            return Verdict.NEVER_ENROLLED
        if self._is_settled:
            return Verdict.NOTHING_DESIRED
        if self._refused:
            return Verdict.REFUSED
        if self._connectivity in (Connectivity.OFFLINE, Connectivity.NEVER):
            return Verdict.OFFLINE
        if self._connectivity is Connectivity.SILENT:
            return Verdict.SILENT
        return Verdict.RETRYING if self._is_retrying else Verdict.WAITING

    def text(self, verdict: Verdict) -> str:
        """One or two sentences for a person."""
        wanted = self.desired.id if self.desired else "the order to take everything off"
        match verdict:
            case Verdict.ARCHIVED:
                return "It is out of service: it keeps what it runs, and gets nothing new."
            case Verdict.REVOKED:
                return "Its credentials were taken from it. It keeps what it runs, and has to enrol anew to be heard."
            case Verdict.FAILED:
                stays = f"{self.desired.id} is what it shall run." if self.desired else "Nothing is desired now."
                return f"{self._failure()}. {stays}"
            case Verdict.LAGGING if self.lags is lagging.Reason.STALE:
                return "The robot says that nothing fresh reaches it: the broker, or the network, holds messages back."
            case Verdict.LAGGING:
                return f"The robot is heard, and {wanted} does not reach it: the broker, or the network, holds it back."
            case Verdict.DRIFTED_WAITING:
                waiting = " and ".join(self._waiting(Activity.DRIFTED))
                return f"It runs what is desired. {waiting} drifted, and waits for a review."
            case Verdict.IN_SYNC:
                return f"It runs what is desired, {wanted}."
            case Verdict.FILES_CHANGED:
                return f"It runs what is desired, {wanted}. Its files were changed on the robot, which leaves them so."
            case Verdict.NEVER_ENROLLED:
                return "No robot has enrolled as this device yet, so nobody takes its orders."
            case Verdict.NOTHING_DESIRED:
                staged = self._waiting(Activity.STAGED)
                waits = f" {' and '.join(staged)} is prepared and not ordered." if staged else ""
                return f"Nothing is desired of it.{waits}"
            case Verdict.REFUSED:
                return f"It refused its newest order: {self._refused.message if self._refused else ''}."
            case Verdict.OFFLINE if self._connectivity is Connectivity.NEVER:
                return f"It enrolled, and was never heard of. It gets {wanted} when it connects."
            case Verdict.OFFLINE:
                return f"It is not connected. It gets {wanted} when it is back."
            case Verdict.SILENT:
                return f"Its connection is said to stand, but nothing is heard of it. It has not answered {wanted}."
            case Verdict.RETRYING:
                return f"It has trouble with {wanted} and tries again: {self._trouble()}."
            case Verdict.WAITING if self.device.published < self.device.generation:
                return f"{_upper(wanted)} has not left for the broker yet."
            case Verdict.WAITING if self.desired and self.desired.waiting:
                return f"{wanted} waits on the robot: {self.desired.waiting.message}."
            case Verdict.WAITING if self.known and self.device.desired and self.known.current == self.device.desired:
                return (
                    f"It runs what is desired, {wanted}, and has not answered the order to clear away what was before."
                )
            case Verdict.WAITING:
                return f"{_upper(wanted)} is on its way, and the robot has not confirmed it."

    def waits(self) -> Iterator[Wait]:
        """All that has to happen first."""
        if self.row["revoked_at"] is not None:
            yield Wait("revoked", self._enrolment(), self.row["revoked_at"])
            return
        if self.row["enrolled_at"] is None and self.report is None:
            yield Wait("never_enrolled", self._enrolment(), self.row["created_at"])
        if self._has_failed and self.newest:
            yield Wait("failed", f"{self._failure()}: order something else", self.newest["archived_at"])
        if self.lags in (lagging.Reason.STALE, lagging.Reason.NOT_RECEIVED):
            yield Wait(f"lagging_{self.lags}", "what the cloud sends has to reach the robot", self.row["lagging_since"])
        for key in self._waiting(Activity.DRIFTED):
            yield Wait("drifted", f"{key} waits for a review: another deployment became current after it was staged")
        for known in self.device.deployments.values():
            if known.integrity:
                yield Wait(known.integrity.code, f"{known.id}: {known.integrity.message}")
        if self._is_settled:
            return
        heard = self.row["last_heard_at"]
        if self._connectivity is Connectivity.OFFLINE:
            yield Wait("offline", "the robot has to connect", heard)
        if self._connectivity is Connectivity.NEVER and self.row["enrolled_at"]:
            yield Wait("offline", "the robot has to connect for the first time", self.row["enrolled_at"])
        if self._connectivity is Connectivity.SILENT:
            yield Wait("silent", "the robot has to say something again", heard)
        ordered_at = self.row["desired_at"]
        if self.device.published < self.device.generation:
            yield Wait("not_published", "the order has to leave for the broker; is the broker up?", ordered_at)
        elif self._refused:
            yield Wait("refused", f"the robot refused the order: {self._refused.message}", self.row["reported_at"])
        elif not self.device.in_sync:
            yield Wait("not_reported", "the robot has to answer the order", ordered_at)
        waiting = self.desired.waiting if self.desired else None
        if waiting:
            yield Wait(waiting.code, waiting.message, next_at=waiting.until)
        if self._is_retrying:
            entry = self._entry()
            next_at = entry.next_attempt_at if entry else None
            yield Wait("retrying", self._trouble(), entry.since if entry else None, next_at)

    def commands(self, verdict: Verdict) -> list[str]:
        """What an operator can do about it."""
        name, desired = self.row["name"], self.device.desired
        back = [f"shallop rollback {name}"] if self.has_former else []
        match verdict:
            case Verdict.ARCHIVED:
                return [f"shallop device restore {name}"]
            case Verdict.FAILED:
                failed = self.newest["id"] if self.newest else ""
                return [
                    f"shallop deployment show {failed}",
                    f"shallop deployment patch {failed} --set TYPE:/POINTER=VALUE",
                ]
            case Verdict.DRIFTED_WAITING:
                key = self._waiting(Activity.DRIFTED)[0]
                acts = (
                    f"review {key}",
                    f"restage {key} --reviewed {desired or 'none'}",
                    f"merge {key}",
                    f"archive {key}",
                )
                return [f"shallop deployment {act}" for act in acts]
            case Verdict.LAGGING:
                return ["shallop broker check URL", f"shallop bundle {name}", f"shallop events --device {name}"]
            case Verdict.NEVER_ENROLLED | Verdict.REVOKED:
                return [f"shallop device renew-token {name}"]
            case Verdict.NOTHING_DESIRED:
                staged = [f"shallop deployment deploy {key}" for key in self._waiting(Activity.STAGED)]
                return [*staged, *back, f"shallop deploy {name} --release VERSION --config TYPE=FILE"]
            case Verdict.REFUSED:
                return [f"shallop device show {name}", f"shallop device renew-token {name}"]
            case Verdict.RETRYING:
                give_up = [f"shallop deployment archive {desired}"] if self.device.fallback else []
                return [f"shallop deployment show {desired}", *give_up, *back]
            case Verdict.OFFLINE | Verdict.SILENT | Verdict.WAITING:
                return [f"shallop events --device {name}"]
            case Verdict.FILES_CHANGED:
                return [f"shallop deployment show {desired}", *back]
            case Verdict.IN_SYNC:
                return []

    def _entry(self) -> messages.DeploymentReport | None:
        """What the last report says of what is desired."""
        entries = self.report.deployments if self.report else ()
        return next((entry for entry in entries if entry.id == self.device.desired), None)

    def _trouble(self) -> str:
        desired = self.desired
        if desired is None or desired.reason is None:
            return "the robot did not say why"
        times = "1 attempt" if desired.attempts == 1 else f"{desired.attempts} attempts"
        return f"{desired.reason.message} ({desired.reason.code}, {times})"

    def _failure(self) -> str:
        assert self.newest is not None, "only what was ordered fails"
        reason = self.newest["reason"]
        why = f": {reason['message']} ({reason['code']})" if reason else ""
        return f"{self.newest['id']} failed{why}"

    def _enrolment(self) -> str:
        expires = self.row["token_expires_at"]
        if expires is None or expires <= self.at:
            return "a robot has to enrol as this device; its token is void, so it needs a new one"
        return f"a robot has to enrol as this device; its token is good until {expires:%Y-%m-%d %H:%M} UTC"


def _upper(words: str) -> str:
    return words[0].upper() + words[1:]
