"""Probes of who may do what: everything that ``Topics.allows`` forbids is tried, and must be seen not to happen."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Sequence

from shallop_protocol.topics import CLOUD, Access, Kind

from shallop_cloud.brokers.check.peer import Account, NoAnswer, Peer, Will
from shallop_cloud.brokers.check.rig import SETTLE_S, Rig
from shallop_cloud.brokers.check.verdicts import Finding, ok, unfit, weaker

SHOWN = 3
"""How many topics a finding names."""
FORGED, KEPT = b"forged", b"kept"


def names(rig: Rig) -> list[str]:
    """The topics of both devices, and what the cloud says to all."""
    own = [rig.topic(device, kind) for device in rig.devices for kind in Kind]
    return [*own, *(f"{rig.topics.root}/{CLOUD}/{kind.value}" for kind in Kind)]


def strangers(rig: Rig) -> Finding:
    """Whether those are kept out who have no account or the wrong password."""
    first, second = rig.devices
    tried = {
        "without a user": Account(),
        "with a user that is unknown": Account("nobody-check", second.password or "nothing"),
        "with a wrong password": Account(first.user, f"{first.password}x"),
    }
    if first.certificate:  # whoever has none is not even heard; a password means nothing
        tried = {"without a certificate": Account(first.user, first.password)}
    let_in: list[str] = []
    for how, account in tried.items():
        with contextlib.suppress(NoAnswer), rig.opened(account, client_id=first.user):
            let_in.append(how)
    return unfit(f"let in {', '.join(let_in)}") if let_in else ok(f"kept out: {', '.join(tried)}")


def bound(rig: Rig) -> Finding:
    """Whether one device can push off another by its client id."""
    first, second = rig.devices
    with rig.opened(first) as victim:
        try:
            with rig.opened(second, client_id=first.user) as thief:
                if victim.is_lost(1.0):
                    return unfit(f"{second.user} pushed {first.user} off by its client id")
                how = "goes by its own" if not thief.is_gone else "is ended"
        except NoAnswer:
            if victim.is_lost(0.2):
                return unfit(f"{second.user} pushed {first.user} off by its client id, though refused")
            how = "is refused"
    return ok(f"a device that uses another's client id {how}")


@dataclasses.dataclass
class _Actor:
    """A device that tries what it may not, and connects again whenever the broker ends its connection for it."""

    rig: Rig
    account: Account
    peer: Peer | None = None
    granted: list[str] = dataclasses.field(default_factory=list[str])

    @property
    def marker(self) -> str:
        """A topic that it may hear."""
        return self.rig.topic(self.account, Kind.ECHO)

    def connected(self) -> Peer:
        """A connection that hears its markers, and what was granted before."""
        if self.peer is None or self.peer.is_gone:
            if self.peer is not None:
                self.peer.close()
            self.peer = self.rig.open(self.account)
            if not self.peer.subscribe(self.marker):
                raise NoAnswer(f"{self.account.user} may not subscribe to {self.marker}")
            for topic_filter in self.granted:
                self.peer.subscribe(topic_filter)
        return self.peer

    def publish(self, topics: Sequence[str], payload: bytes) -> None:
        """Says it on each topic, retained."""
        for topic in topics:
            with contextlib.suppress(NoAnswer):
                self.connected().publish(topic, payload, retain=True)

    def subscribe(self, topic_filter: str) -> None:
        """Asks for it. A broker that ends the connection for that has not granted it."""
        with contextlib.suppress(NoAnswer):
            if self.connected().subscribe(topic_filter):
                self.granted.append(topic_filter)

    def close(self) -> None:
        """Ends its connection, and begins anew."""
        self.granted.clear()
        if self.peer is not None:
            self.peer.close()
            self.peer = None


@contextlib.contextmanager
def _acting(rig: Rig, account: Account) -> Generator[_Actor]:
    actor = _Actor(rig, account)
    try:
        yield actor
    finally:
        actor.close()


@contextlib.contextmanager
def _observing(rig: Rig) -> Generator[Peer]:
    """The cloud, hearing all that it asked for, name by name where a broker grants no wildcard."""
    with rig.opened(rig.cloud) as cloud:
        try:
            wide = cloud.subscribe(f"{rig.topics.root}/#")
        except NoAnswer:
            wide = False
        if not wide:
            for name in names(rig):
                cloud.subscribe(name)
        rig.until_marker(cloud, cloud, rig.topic(rig.devices[0], Kind.EVENT))
        yield cloud


def publishing(rig: Rig) -> Finding:
    """Live and retained messages, and empty ones that would delete."""
    first, second = rig.devices
    marker = rig.topic(first, Kind.EVENT)
    with _observing(rig) as cloud, _acting(rig, first) as actor:
        actor.publish(names(rig), FORGED)
        said = {each.topic for each in rig.until_marker(cloud, cloud, marker) if each.payload == FORGED}
        protected = [rig.topic(second, kind) for kind in Kind] + [rig.topic(first, Kind.DESIRED)]
        for name in protected:
            cloud.publish(name, KEPT, retain=True)
        rig.until_marker(cloud, cloud, marker)
        actor.publish(protected, b"")
        deleted = {each.topic for each in rig.until_marker(cloud, cloud, marker) if not each.payload}
        allowed = {name for name in names(rig) if rig.topics.allows(first.user, Access.PUBLISH, name)}
        for name in said - allowed:  # what is forged must not stay, least of all where all robots hear it
            cloud.publish(name, b"", retain=True)
    return _judged(rig, allowed, said, "published to", {"deleted what is retained on": deleted})


def wills(rig: Rig) -> Finding:
    """Wills on topics where the device may not publish."""
    first, second = rig.devices
    forbidden = [name for name in names(rig) if not rig.topics.allows(first.user, Access.PUBLISH, name)]
    with _observing(rig) as cloud:
        for name in forbidden:
            with contextlib.suppress(NoAnswer), rig.opened(first, will=Will(name, FORGED)) as device:
                device.cut()
        with rig.opened(second, will=Will(rig.topic(second, Kind.EVENT), b"the last")) as device:
            device.cut()
            try:
                found = list(cloud.heard(until=b"the last"))
            except NoAnswer:
                return weaker("not seen: this broker says no wills")
        found += list(cloud.heard(within=SETTLE_S))
    return _judged(rig, set(), {each.topic for each in found if each.payload == FORGED}, "had its will said on", {})


def subscribing(rig: Rig) -> Finding:
    """By name, by wildcard, and in a shared subscription; what is retained, and what is said then."""
    first, second = rig.devices
    root = rig.topics.root
    receivable = {name for name in names(rig) if rig.topics.allows(first.user, Access.RECEIVE, name)}
    live = [name for name in names(rig) if name != rig.topic(first, Kind.ECHO)]
    exact = names(rig)
    wild = [f"{root}/+/{kind.value}" for kind in Kind] + [f"{root}/{second.user}/#", f"{root}/#", "#", "+/#"]
    by_name: set[str] = set()
    otherwise: set[str] = set()
    with rig.opened(rig.cloud) as cloud, _acting(rig, first) as actor:
        for name in (rig.topic(second, kind) for kind in Kind):
            cloud.publish(name, KEPT, retain=True)
        for filters, found in ((exact, by_name), (wild, otherwise), ([f"$share/check/{e}" for e in exact], otherwise)):
            for topic_filter in filters:
                actor.subscribe(topic_filter)
            for name in live:
                cloud.send(name, b"live")
            device = actor.connected()
            found |= {each.topic for each in rig.until_marker(device, cloud, actor.marker)}
            actor.close()
    by_name.add(rig.topic(first, Kind.ECHO))  # the markers came on it
    return _judged(rig, receivable, by_name, "heard", {"heard, by a wildcard or a share,": otherwise - receivable})


def _judged(rig: Rig, allowed: set[str], seen: set[str], deed: str, more: dict[str, set[str]]) -> Finding:
    """What a device did beyond what it may, and what it may and could not do."""
    user = rig.devices[0].user
    beyond = {deed: seen - allowed, **more}
    words = [f"{user} {done} {_some(topics)}" for done, topics in beyond.items() if topics]
    if allowed - seen:
        words.append(f"{user} may, and could not: {_some(allowed - seen)}")
    if words:
        return unfit("; ".join(words))
    return ok(f"{len(names(rig))} topics tried, nothing beyond what is allowed")


def _some(topics: set[str]) -> str:
    shown = sorted(topics)[:SHOWN]
    rest = f" and {len(topics) - SHOWN} more" if len(topics) > SHOWN else ""
    return ", ".join(shown) + rest
