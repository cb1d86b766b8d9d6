"""Which filter selects which topic, and how the look-up stays cheap."""

import pytest
from shallop_cloud.bench import broker_routes
from shallop_cloud.bench.broker_routes import Routes, is_filter, is_topic, matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "selected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/+", "/a", True),
        ("/+", "/a", True),
        ("+", "/a", False),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("#", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/+/#", "a", False),
        ("a/+/#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_filters_select_topics_as_section_4_7_says(topic_filter: str, topic: str, selected: bool):
    assert matches(topic_filter, topic) == selected
    routes: Routes[str] = Routes()
    routes.add("someone", topic_filter, 1)
    assert routes.subscribers(topic) == ({"someone": 1} if selected else {})


@pytest.mark.parametrize("text", ["a", "/", "a/b", "a//b", "a/", "+", "#", "a/+", "+/+", "a/#", "a/+/b", "$SYS/#"])
def test_filters(text: str):
    assert is_filter(text)


@pytest.mark.parametrize("text", ["", "a+", "a/b+", "+a/b", "#/a", "a#", "a/#/b", "a\0", "a\0/b", "$share/group/a"])
def test_what_is_no_filter(text: str):
    assert not is_filter(text)


def test_topics():
    assert is_topic("a/b")
    assert not any(is_topic(text) for text in ["", "a/+", "a/#", "a\0b"])


def test_a_subscriber_hears_a_topic_once_with_its_highest_qos():
    routes: Routes[str] = Routes()
    routes.add("a", "x/y", 0)
    routes.add("a", "x/+", 1)
    routes.add("a", "#", 0)
    routes.add("b", "#", 0)
    assert routes.subscribers("x/y") == {"a": 1, "b": 0}


def test_subscribing_again_replaces_the_qos():
    routes: Routes[str] = Routes()
    routes.add("a", "x", 1)
    routes.add("a", "x", 0)
    assert routes.subscribers("x") == {"a": 0}


def test_who_leaves_hears_nothing_more():
    routes: Routes[str] = Routes()
    for subscriber in ("a", "b"):
        routes.add(subscriber, "x", 1)
        routes.add(subscriber, "y/#", 1)
    routes.remove("a", "x")
    routes.remove("a", "x")
    routes.remove("nobody", "x")
    assert (routes.subscribers("x"), routes.subscribers("y")) == ({"b": 1}, {"a": 1, "b": 1})
    routes.drop("b")
    routes.drop("nobody")
    assert (routes.subscribers("x"), routes.subscribers("y")) == ({}, {"a": 1})
    routes.drop("a")
    assert vars(routes) == {"_exact": {}, "_wildcard": {}, "_filters": {}}  # a broker runs for weeks


def test_exact_filters_are_never_tried_one_by_one(monkeypatch):
    routes: Routes[int] = Routes()
    for device in range(10_000):
        routes.add(device, f"shallop/v1/dev-{device}/desired", 1)
    routes.add(-1, "shallop/v1/+/report", 1)
    tried: list[str] = []
    monkeypatch.setattr(broker_routes, "matches", lambda topic_filter, topic: tried.append(topic_filter))
    assert routes.subscribers("shallop/v1/dev-77/desired") == {77: 1}
    assert tried == ["shallop/v1/+/report"]
