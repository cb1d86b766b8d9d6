"""Probes of how messages travel: kept, acknowledged, large, and said for those who are lost."""

from __future__ import annotations

import contextlib
import time

from paho.mqtt.enums import MQTTProtocolVersion
from shallop_protocol.topics import Kind

from shallop_cloud.brokers.check.peer import NoAnswer, Will
from shallop_cloud.brokers.check.rig import Rig
from shallop_cloud.brokers.check.verdicts import Finding, ok, unfit, weaker

LARGEST = 1 << 20
"""Bytes; `shallop serve` never says more in one message."""
SMALLEST = 1 << 12
USUAL = 1 << 17
"""What `shallop serve` says at most if it is told nothing, rounded up."""
MUTE_KEEPALIVE_S = 2
MUTE_WITHIN_S = 12.0


def acknowledged(rig: Rig) -> Finding:
    """Whether QoS 1 is acknowledged, and delivered as QoS 1."""
    first, _ = rig.devices
    with rig.opened(rig.cloud) as cloud, rig.opened(first) as device:
        if not device.subscribe(rig.topic(first, Kind.ECHO)):
            return unfit("a device may not subscribe to its own topic")
        started = time.monotonic()
        cloud.publish(rig.topic(first, Kind.ECHO), b"one")
        message = next(device.heard(), None)
        took = (time.monotonic() - started) * 1000
    if message is None:
        return unfit("acknowledged, and not delivered")
    return (ok if message.qos == 1 else weaker)(f"delivered with QoS {message.qos} in {took:.0f} ms")


def kept(rig: Rig) -> Finding:
    """Whether the newest retained message is what a later subscriber gets."""
    first, _ = rig.devices
    topic, marker = rig.topic(first, Kind.DESIRED), rig.topic(first, Kind.ECHO)
    seen: list[list[bytes]] = []
    with rig.opened(rig.cloud) as cloud:
        for payload in (b"first", b"second", b""):
            cloud.publish(topic, payload, retain=True)
            with rig.opened(first) as device:
                device.subscribe(marker)
                seen.append([each.payload for each in rig.retained(device, topic, cloud, marker)])
    match seen:
        case [[b"first"], [b"second"], []]:
            return ok("stored, replaced, and deleted by an empty message")
        case [[b"first"], [b"second"], rest]:
            return weaker(f"an empty message does not delete what is stored: {rest!r}")
        case _:
            return unfit(f"of two messages and a deletion, a new subscriber got {seen!r}")


def replayed(rig: Rig) -> Finding:
    """Whether a filter with a wildcard brings what is retained."""
    first, second = rig.devices
    with rig.opened(rig.cloud) as cloud:
        for each in rig.devices:
            with rig.opened(each) as device:
                device.publish(rig.topic(each, Kind.REPORT), each.user.encode(), retain=True)
        marker = rig.topic(first, Kind.EVENT)
        cloud.subscribe(marker)
        try:
            found = rig.retained(cloud, rig.topics.every(Kind.REPORT), cloud, marker)
        except NoAnswer as error:
            return unfit(f"the cloud cannot hear all reports: {error}")
    users = {each.payload.decode(errors="replace") for each in found} & {first.user, second.user}
    return ok("all of it") if len(users) == 2 else weaker(f"{len(users)} of 2 retained reports")


def large(rig: Rig) -> Finding:
    """The largest message that arrives, by halving."""
    first, _ = rig.devices
    topic = rig.topic(first, Kind.DESIRED)
    size = LARGEST
    while size >= SMALLEST and rig.deadline.left():
        if _arrives(rig, topic, size):
            said = f"{size:,} bytes arrive" + (f", {2 * size:,} do not" if size < LARGEST else "")
            return ok(said) if size >= USUAL else weaker(said)
        size //= 2
    return unfit(f"not even {2 * size:,} bytes arrive")


def _arrives(rig: Rig, topic: str, size: int) -> bool:
    first, _ = rig.devices
    try:
        with rig.opened(rig.cloud) as cloud, rig.opened(first) as device:
            device.subscribe(topic)
            cloud.publish(topic, b"x" * size)
            return any(len(each.payload) == size for each in device.heard(within=1.0))
    except NoAnswer:
        return False


def willed(rig: Rig) -> Finding:
    """Whether a will is said for a client that is lost, kept if it asks for that, and not said after a farewell."""
    first, _ = rig.devices
    topic, marker = rig.topic(first, Kind.PRESENCE), rig.topic(first, Kind.EVENT)
    with rig.opened(rig.cloud) as cloud:
        cloud.publish(topic, b"", retain=True)
        cloud.subscribe(topic)
        cloud.subscribe(marker)
        rig.until_marker(cloud, cloud, marker)
        with rig.opened(first, will=Will(topic, b"lost", retain=True)):
            pass
        if any(each.payload == b"lost" for each in cloud.heard(within=0.5)):
            return weaker("a will is said even for a client that leaves in order")
        with rig.opened(first, will=Will(topic, b"lost", retain=True)) as device:
            device.cut()
            try:
                list(cloud.heard(until=b"lost"))
            except NoAnswer:
                return weaker("no will")
        again = rig.retained(cloud, topic, cloud, marker)
    return ok("said when a client is lost, and retained") if again else weaker("said, and not retained")


def silent(rig: Rig) -> Finding:
    """Whether a client that says nothing is given up after one and a half times its keep-alive."""
    _, second = rig.devices
    topic = rig.topic(second, Kind.PRESENCE)
    with rig.opened(rig.cloud) as cloud:
        cloud.subscribe(topic)
        with rig.opened(second, will=Will(topic, b"silent"), keepalive=MUTE_KEEPALIVE_S) as device:
            started = time.monotonic()
            device.mute()
            try:
                list(cloud.heard(until=b"silent", within=MUTE_WITHIN_S))
            except NoAnswer:
                return weaker(
                    f"a client silent for {MUTE_WITHIN_S:g} s with a keep-alive of {MUTE_KEEPALIVE_S} s stays"
                )
            return ok(f"given up after {time.monotonic() - started:.1f} s with a keep-alive of {MUTE_KEEPALIVE_S} s")


def clean(rig: Rig) -> Finding:
    """Whether a clean session begins with nothing of the last one."""
    first, _ = rig.devices
    topic, marker = rig.topic(first, Kind.ECHO), rig.topic(first, Kind.DESIRED)
    with rig.opened(rig.cloud) as cloud:
        with rig.opened(first) as device:
            device.subscribe(topic)
        cloud.publish(topic, b"missed")
        with rig.opened(first) as device:
            device.subscribe(marker)
            late = rig.until_marker(device, cloud, marker)
    return weaker("messages of the last connection arrive in the next") if late else ok("begins anew")


def taken_over(rig: Rig) -> Finding:
    """Whether a second connection with the same client id ends the first."""
    first, _ = rig.devices
    topic = rig.topic(first, Kind.PRESENCE)
    with rig.opened(rig.cloud) as cloud:
        cloud.subscribe(topic)
        with rig.opened(first, will=Will(topic, b"replaced")) as one, rig.opened(first) as two:
            if not one.is_lost():
                return weaker("both connections stay")
            said = any(each.payload == b"replaced" for each in cloud.heard(within=0.5))
            if two.is_gone:
                return weaker("the second connection is ended as well")
    return ok(f"the first connection is ended, {'with' if said else 'without'} its will")


def shared(rig: Rig) -> Finding:
    """What a shared subscription does."""
    first, _ = rig.devices
    topic = rig.topic(first, Kind.EVENT)
    with rig.opened(rig.cloud) as cloud, rig.opened(first) as device:
        try:
            granted = cloud.subscribe(f"$share/check/{topic}")
        except NoAnswer:
            granted = False
        if not granted:
            return ok("refused")
        device.publish(topic, b"shared")
        try:
            list(cloud.heard(until=b"shared", within=1.0))
        except NoAnswer:
            return weaker("granted, and nothing is delivered")
        return ok("served")


def five(rig: Rig) -> Finding:
    """Whether MQTT 5 is spoken, and tells of a publish that is refused."""
    first, second = rig.devices
    with contextlib.ExitStack() as stack:
        try:
            device = stack.enter_context(rig.opened(first, version=MQTTProtocolVersion.MQTTv5))
        except NoAnswer as error:
            return weaker(f"not spoken: {error}")
        try:
            code = device.publish(rig.topic(second, Kind.REPORT), b"x")
        except NoAnswer as error:
            return ok(f"spoken; a publish that is refused is answered so: {error}")
    if code.is_failure:
        return ok(f"spoken; a publish that is refused is answered: {code}")
    return weaker("spoken; a publish that is refused is answered with success")
