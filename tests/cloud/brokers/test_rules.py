"""What brokers are told of who may do what, held against the one rule, by every user and topic."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from shallop_cloud.bench.broker_routes import matches
from shallop_cloud.brokers import mosquitto, nats, rules
from shallop_cloud.brokers.rules import Role
from shallop_protocol.topics import CLOUD, FROM_DEVICE, MONITOR, Access, Kind, Topics

USERS = ("dev-a", "dev-b", "cloud-7", "monitor-2", "report", "cloud", "monitor")
ROOTS = ("shallop/v1", "acme", "plant-7/line/2")
DEEDS = (Access.PUBLISH, Access.RECEIVE)
"""Brokers judge deliveries; a subscription is refused at once by some and only never served by others."""


def names(root: str) -> list[str]:
    """Topics of everybody, and what is beside and below them."""
    kinds = [*(kind.value for kind in Kind), "other"]
    below = [f"{root}/{place}/{kind}" for place in USERS for kind in kinds]
    return [*below, f"{root}/dev-a", f"{root}/dev-a/report/x", f"{root}x/dev-a/report", "elsewhere", "$SYS/x"]


CASES = [(root, user) for root in ROOTS for user in USERS]


@pytest.mark.parametrize(("root", "user"), CASES)
def test_the_rights_are_the_rule(root: str, user: str):
    topics = Topics(root)
    role = Role(user) if user in ("cloud", "monitor") else Role.DEVICE
    own = [each for each in rules.rights(topics) if each.role is role]
    wanted = {Access.PUBLISH: Access.PUBLISH, Access.RECEIVE: Access.SUBSCRIBE}

    granted = {
        (deed, name)
        for deed, name in itertools.product(DEEDS, names(root))
        if any(right.access is wanted[deed] and matches(right.of(user), name) for right in own)
    }

    assert granted - _idle(topics) == _by_the_rule(topics, user) - _idle(topics)


@pytest.mark.parametrize(("root", "user"), CASES)
def test_mosquittos_list_is_the_rule(root: str, user: str):
    topics = Topics(root)
    text = mosquitto.access_list(topics)

    granted = {each for each in itertools.product(DEEDS, names(root)) if mosquitto_allows(text, user, *each)}

    assert granted - _idle(topics) == _by_the_rule(topics, user) - _idle(topics)


@pytest.mark.parametrize(("root", "user"), CASES)
def test_nats_users_are_the_rule(root: str, user: str):
    topics = Topics(root)
    (found,) = [each for each in json.loads(nats.access_list(topics, USERS))["users"] if each["user"] == f"CN={user}"]
    words = {Access.PUBLISH: "publish", Access.RECEIVE: "subscribe"}

    granted = {
        (deed, name)
        for deed, name in itertools.product(DEEDS, names(root))
        if nats_allows(found["permissions"][words[deed]], name)
    }

    assert granted - _idle(topics) == _by_the_rule(topics, user) - _idle(topics)


def nats_allows(rules: dict[str, list[str]], topic: str) -> bool:
    """As NATS reads permissions: tokens between dots, ``*`` for one, ``>`` for more; what is denied is denied."""
    subject = topic.replace("/", ".")

    def fits(pattern: str) -> bool:
        tokens = [{"*": r"[^.]+", ">": r".+"}.get(each, re.escape(each)) for each in pattern.split(".")]
        return re.fullmatch(r"\.".join(tokens), subject) is not None

    return any(map(fits, rules.get("allow", []))) and not any(map(fits, rules.get("deny", [])))


def _idle(topics: Topics) -> set[tuple[Access, str]]:
    """What a ``+`` in a device's place selects as well: places that only the cloud can publish to, and never does."""
    return {
        (Access.RECEIVE, f"{topics.root}/{place}/{kind.value}") for place in (CLOUD, MONITOR) for kind in FROM_DEVICE
    }


def _by_the_rule(topics: Topics, user: str) -> set[tuple[Access, str]]:
    return {
        (deed, name) for deed, name in itertools.product(DEEDS, names(topics.root)) if topics.allows(user, deed, name)
    }


def mosquitto_allows(text: str, user: str, deed: Access, topic: str) -> bool:
    """As mosquitto reads an ``acl_file``: a user's own lines in their order, the first that fits denies or allows; then
    the patterns, which are for everybody.
    """
    wanted = "write" if deed is Access.PUBLISH else "read"
    whose = None
    own, patterns = [], []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, rest = line.split(" ", 1)
        if word == "user":
            whose = rest
            continue
        access, name = re.fullmatch(r"(read|write|deny) (\S+)", rest).groups()
        if word == "pattern":
            patterns.append((access, name.replace("%u", user)))
        elif whose == user:
            own.append((access, name))
    for access, name in own + patterns:
        if matches(name, topic) and access in (wanted, "deny"):
            return access != "deny"
    return False


def test_a_broker_is_told_nothing_of_devices_one_by_one():
    assert mosquitto.access_list(Topics()).count("\n") < 40


def test_every_kind_of_message_is_somebodys_right():
    heard = {each.filter.rpartition("/")[2] for each in rules.rights(Topics()) if each.role is not Role.CLOUD}

    assert {kind.value for kind in Kind} == heard


def test_the_document_has_the_rights():
    document = (Path(__file__).resolve().parents[3] / "docs" / "brokers.md").read_text()
    table = document.partition("| who | may | what |\n| --- | --- | --- |\n")[2].partition("\n\n")[0]

    rows = [f"| {each.role.value} | {each.access.value} | `{each.filter}` |" for each in rules.rights(Topics())]
    assert table.splitlines() == rows
