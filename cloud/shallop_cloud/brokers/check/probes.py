"""All probes in their order, what each verdict means, and the time that they have."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping

from paho.mqtt.enums import MQTTProtocolVersion
from shallop_protocol.topics import Kind

from shallop_cloud.brokers.check import access, messages
from shallop_cloud.brokers.check.peer import NoAnswer
from shallop_cloud.brokers.check.rig import Rig
from shallop_cloud.brokers.check.verdicts import Finding, Result, Verdict, ok, unfit, weaker

WITHIN_S = 55.0
"""How long all of it may take, in seconds."""
PURGE_S = 3.0
_EITHER = "The broker could not be used for this probe: see what was observed, and its log."


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """A subject, how it is looked at, and what to tell a person by verdict."""

    subject: str
    look: Callable[[Rig], Finding]
    means: Mapping[Verdict, str]
    must: bool = True
    """Whether a broker that gives no answer is unfit for it."""


def _means(fine: str, weak: str = _EITHER, bad: str = _EITHER) -> Mapping[Verdict, str]:
    return {
        Verdict.OK: fine,
        Verdict.WEAKER: weak,
        Verdict.UNFIT: bad,
        Verdict.UNKNOWN: "Nothing is known: run it again, with the broker less busy or nearer.",
    }


def _reachable(rig: Rig) -> Finding:
    for account in (rig.cloud, *rig.devices):
        with rig.opened(account):
            pass
    spoken = "3.1.1" if rig.version == MQTTProtocolVersion.MQTTv311 else "5"
    return ok(f"three accounts let in, with MQTT {spoken}")


PROBES = (
    Probe(
        "accounts",
        _reachable,
        _means("Cloud and robots can connect.", bad="Nothing works: correct address, accounts, TLS or client ids."),
    ),
    Probe(
        "strangers",
        access.strangers,
        _means("Who has no account is nobody.", bad="Anyone on the network can watch or disturb the fleet."),
    ),
    Probe(
        "client id",
        access.bound,
        _means(
            "A robot cannot push off another.", bad="A stolen robot can keep any other off the net: bind ids to users."
        ),
    ),
    Probe(
        "publish",
        access.publishing,
        _means(
            "A robot speaks for itself alone.",
            bad="A robot can speak for others, or a robot cannot report: correct the access list.",
        ),
    ),
    Probe(
        "subscribe",
        access.subscribing,
        _means(
            "A robot hears its own orders alone.",
            bad="A robot sees the configuration of others, or not its own: correct the access list.",
        ),
    ),
    Probe(
        "wills and access",
        access.wills,
        _means(
            "A will is held to the same rights.",
            "As no will is said, none can be forged.",
            "A robot can have the broker speak for others.",
        ),
    ),
    Probe(
        "QoS 1",
        messages.acknowledged,
        _means(
            "A report that is lost is said again.",
            "Robots and cloud say things again themselves, later.",
            "Orders or reports do not arrive.",
        ),
    ),
    Probe(
        "retained",
        messages.kept,
        _means(
            "A robot finds its newest order whenever it connects.",
            "Orders of robots that are no more stay on the broker.",
            "A robot that was offline misses its order until the cloud says it again.",
        ),
    ),
    Probe(
        "replay",
        messages.replayed,
        _means(
            "The cloud knows the fleet as soon as it connects.",
            "The cloud asks all robots to report when it connects; nothing is lost, it takes until they answer.",
            "The cloud cannot hear its robots.",
        ),
    ),
    Probe(
        "payload",
        messages.large,
        _means(
            "Orders of the usual size pass.",
            "Tell `shallop serve --payload-limit` a little less than that; larger files go by reference.",
            "Hardly any order would pass.",
        ),
    ),
    Probe(
        "will",
        messages.willed,
        _means(
            "A robot that is cut off is shown as offline at once.",
            "A robot that is cut off is shown as silent after a while, by the age of what was heard.",
        ),
        must=False,
    ),
    Probe(
        "keep-alive",
        messages.silent,
        _means(
            "A robot without power or network is noticed in time.",
            "A robot without power or network looks connected until the cloud finds it silent.",
        ),
        must=False,
    ),
    Probe(
        "clean session",
        messages.clean,
        _means(
            "A robot that connects begins with the newest order.",
            "A robot may hear an old order first; it passes over it by its number.",
        ),
        must=False,
    ),
    Probe(
        "take-over",
        messages.taken_over,
        _means(
            "A robot's new connection replaces the one that it lost.",
            "Two connections of one robot stay; both hear the same orders.",
        ),
        must=False,
    ),
    Probe(
        "$share",
        messages.shared,
        _means("shallop does not use it.", "shallop does not use it; do not put a consumer of yours behind it."),
        must=False,
    ),
    Probe(
        "MQTT 5",
        messages.five,
        _means(
            "`--broker-protocol 5` tells robots and cloud why something is refused.",
            "Leave `--broker-protocol` at 3.1.1 if it is not spoken; a publish that is refused looks like one that "
            "arrived, which is why robots go by the cloud's answers.",
        ),
        must=False,
    ),
)


def examine(rig: Rig) -> Iterator[Result]:
    """Each result as soon as it is known. Without the first, nothing else is tried.

    The topics of both devices are empty afterwards, whatever was on them.
    """
    rig = _spoken(rig)
    try:
        for number, probe in enumerate(PROBES):
            result = _look(rig, probe)
            yield result
            if number == 0 and result.verdict is not Verdict.OK:
                return
    finally:
        _purge(rig)


def _spoken(rig: Rig) -> Rig:
    """With MQTT 5, if the broker does not speak 3.1.1."""
    for version in (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5):
        tried = dataclasses.replace(rig, version=version)
        with contextlib.suppress(NoAnswer), tried.opened(rig.cloud):
            return tried
    return rig


def _look(rig: Rig, probe: Probe) -> Result:
    if not rig.deadline.left():
        finding = Finding(Verdict.UNKNOWN, "no time was left")
    else:
        try:
            finding = probe.look(rig)
        except NoAnswer as error:
            finding = (unfit if probe.must else weaker)(str(error))
        if finding.verdict is not Verdict.OK and not rig.deadline.left():
            finding = Finding(Verdict.UNKNOWN, f"time ran out: {finding.observed}")
    return Result(probe.subject, finding.verdict, finding.observed, probe.means[finding.verdict])


def _purge(rig: Rig) -> None:
    with contextlib.suppress(NoAnswer):
        spare = dataclasses.replace(rig, broker=dataclasses.replace(rig.broker, deadline=type(rig.deadline)(PURGE_S)))
        with spare.opened(rig.cloud) as cloud:
            for device in rig.devices:
                for kind in Kind:
                    cloud.publish(rig.topic(device, kind), b"", retain=True)
