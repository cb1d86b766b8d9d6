"""Which subscriber hears which topic: MQTT 3.1.1 section 4.7, as a value without I/O.

An exact filter is one look-up, however many there are; only filters with a wildcard are tried one by one. A fleet
subscribes to exact names and only its few watchers use wildcards, so a publish costs the same with ten robots and
with ten thousand. (amqtt tries every filter on every publish.)
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

SubscriberT = TypeVar("SubscriberT", bound=Hashable)


def is_topic(name: str) -> bool:
    """Whether a message can be published to this name (4.7.1-1, 4.7.3-1, 4.7.3-2)."""
    return bool(name) and not any(character in name for character in "+#\0")


def is_filter(text: str) -> bool:
    """Whether one can subscribe to this text (4.7.1-2, 4.7.1-3, 4.7.3-1, 4.7.3-2).

    A shared subscription (``$share/…``, MQTT 5 section 4.8.2) is none here: a broker of 3.1.1 that accepted the name
    as an ordinary filter would never deliver anything to it.
    """
    *parents, last = text.split("/")
    return (
        bool(text)
        and "\0" not in text
        and not text.startswith("$share/")
        and not any("#" in level or ("+" in level and level != "+") for level in parents)
        and (last in ("+", "#") or is_topic(last) or not last)
    )


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a valid filter selects a topic; ``a/#`` selects ``a`` too, no leading wildcard selects ``$…``."""
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        del wanted[-1]
        del levels[len(wanted) :]
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))


def has_wildcard(topic_filter: str) -> bool:
    """Whether a filter selects more than the topic of its own name."""
    return "+" in topic_filter or "#" in topic_filter


class Routes(Generic[SubscriberT]):
    """All subscriptions: filter → subscriber → granted QoS."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[SubscriberT, int]] = {}
        self._wildcard: dict[str, dict[SubscriberT, int]] = {}
        self._filters: dict[SubscriberT, set[str]] = {}

    def add(self, subscriber: SubscriberT, topic_filter: str, qos: int) -> None:
        """Subscribe; the same filter again replaces its QoS (3.8.4-3)."""
        self._table(topic_filter).setdefault(topic_filter, {})[subscriber] = qos
        self._filters.setdefault(subscriber, set()).add(topic_filter)

    def remove(self, subscriber: SubscriberT, topic_filter: str) -> None:
        """Unsubscribe; nothing happens where there was no subscription."""
        if topic_filter not in self._filters.get(subscriber, ()):
            return
        self._filters[subscriber].remove(topic_filter)
        if not self._filters[subscriber]:
            del self._filters[subscriber]
        table = self._table(topic_filter)
        del table[topic_filter][subscriber]
        if not table[topic_filter]:
            del table[topic_filter]

    def drop(self, subscriber: SubscriberT) -> None:
        """End every subscription of one subscriber."""
        for topic_filter in tuple(self._filters.get(subscriber, ())):
            self.remove(subscriber, topic_filter)

    def subscribers(self, topic: str) -> dict[SubscriberT, int]:
        """Each subscriber of a topic once, with the highest QoS of its filters that select it (3.3.5-1)."""
        found = dict(self._exact.get(topic, {}))
        for topic_filter, subscribers in self._wildcard.items():
            if matches(topic_filter, topic):
                for subscriber, qos in subscribers.items():
                    found[subscriber] = max(qos, found.get(subscriber, 0))
        return found

    def _table(self, topic_filter: str) -> dict[str, dict[SubscriberT, int]]:
        return self._wildcard if has_wildcard(topic_filter) else self._exact
