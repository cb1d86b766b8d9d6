"""Configuration for NATS with JetStream, which knows users by the name in their certificate.

NATS cannot check the hashes that shallop keeps of passwords. So clients show certificates, and a user that is not in
``users.conf`` is not let in. That file is JSON, which NATS reads as its own format.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from shallop_protocol.topics import CLOUD, MONITOR, Access, Topics

from shallop_cloud import passwords
from shallop_cloud.brokers import rules
from shallop_cloud.brokers.rules import Plan, PlanError, Role, Written

_CONSUMERS = 1_000_000
"""By default NATS refuses the 1,001st subscription with QoS 1."""
_REPLICAS = 3
"""On how many servers a message is kept at most. Said outright: NATS counts only those that it sees when it starts."""


def write(plan: Plan) -> Written:
    """``nats.conf``; ``users.conf`` with everybody who is in the password file now; and ``reload``, which does both.

    Raises:
        PlanError: without client certificates.
        passwords.PasswordFileError: the password file is malformed.
    """
    if plan.tls is None or plan.tls.authority is None:
        raise PlanError(
            "NATS cannot check the passwords that shallop keeps as hashes: let robots show certificates, with "
            "--client-certificates, --ca, --cert and --key"
        )
    known = plan.mqtt / "passwords"
    users = passwords.read_passwords(known) if known.exists() else ()
    text = {"nats.conf": configuration(plan), "users.conf": access_list(plan.topics, users), "reload": _reload(plan)}
    return Written(text, _steps(plan))


def access_list(topics: Topics, users: Iterable[str]) -> str:
    """``users.conf``: the cloud, the monitor and these users, each with its rights. Nobody else is let in."""
    names = dict.fromkeys([CLOUD, MONITOR, *users])
    listed = ",\n".join(json.dumps({"user": f"CN={name}", "permissions": permissions(topics, name)}) for name in names)
    return f'{{"users": [\n{listed}\n]}}\n'


def permissions(topics: Topics, user: str) -> dict[str, Any]:
    """What a user may publish and subscribe to, in NATS' words: subjects, not topics. (Any: JSON.)"""
    role = Role(user) if user in (CLOUD, MONITOR) else Role.DEVICE
    own = [each for each in rules.rights(topics) if each.role is role]
    by_access = {
        access: [subject for each in own if each.access is access for subject in _subjects(each.of(user))]
        for access in (Access.PUBLISH, Access.SUBSCRIBE)
    }
    return {
        "publish": {"allow": by_access[Access.PUBLISH]} if by_access[Access.PUBLISH] else {"deny": [">"]},
        "subscribe": {"allow": by_access[Access.SUBSCRIBE]},
    }


def _subjects(topic_filter: str) -> Sequence[str]:
    """The subjects that a filter selects. ``a/#`` selects ``a`` too, which are two subjects."""
    subject = topic_filter.replace("/", ".").replace("+", "*").replace("#", ">")
    return (subject, subject.removesuffix(".>")) if subject.endswith(".>") else (subject,)


def configuration(plan: Plan) -> str:
    """``nats.conf``, for one server. All paths in it are absolute."""
    assert plan.tls is not None
    text = {name: json.dumps(str(path)) for name, path in _paths(plan).items()}
    return f"""\
# NATS for shallop: nats-server -c nats.conf
# Written by `shallop broker config nats`; it may be written again at any time. A cluster's own lines belong into
# another file, which includes this one.

# NATS' own protocol, which nobody of shallop's speaks. There is no account for it.
listen: "127.0.0.1:4222"
pid_file: {text["pid"]}

# Bytes of a message with its topic, and what waits for a client that is slow.
max_payload: {rules.PAYLOAD_BYTES + 1024}
max_pending: {rules.QUEUED_BYTES}

# What is retained is kept here.
jetstream {{
  store_dir: {text["store"]}
  limits {{ default_max_consumers: {_CONSUMERS} }}
}}

# Robots, cloud and people: the name in the certificate (CN) is the user.
mqtt {{
  listen: {json.dumps(rules.spelt(plan.listen))}
  stream_replicas: {min(plan.servers, _REPLICAS)}
  tls {{
    cert_file: {text["certificate"]}
    key_file: {text["key"]}
    ca_file: {text["authority"]}
    verify_and_map: true
  }}
}}

# Who may say and hear what. `reload` writes it anew, as devices come and go.
authorization {{
  include "users.conf"
}}
"""


def _paths(plan: Plan) -> dict[str, Any]:
    assert plan.tls is not None
    tls = plan.tls
    own = {"pid": plan.out / "nats.pid", "store": plan.out / "jetstream"}
    return {**own, "certificate": tls.certificate, "key": tls.key, "authority": tls.authority}


def _reload(plan: Plan) -> str:
    assert plan.tls is not None
    assert plan.tls.authority is not None
    again = ["shallop", "broker", "config", "nats", "--data", plan.data, "--out", plan.out, "--client-certificates"]
    again += ["--cert", plan.tls.certificate, "--key", plan.tls.key, "--ca", plan.tls.authority]
    again += ["--listen", rules.spelt(plan.listen), "--topic-root", plan.topics.root, "--servers", plan.servers]
    words = shlex.join(map(str, again))
    return rules.reload_script("nats-server", plan.out / "nats.pid", f"{words} >/dev/null")


def _steps(plan: Plan) -> tuple[str, ...]:
    serve = (
        f"shallop serve --data {shlex.quote(str(plan.data))} --broker mqtts://BROKER-HOST:{plan.listen[1]} "
        "--client-certificates builtin --broker-certificate cloud.pem --broker-key cloud.key "
        f"--on-credentials {shlex.quote(rules.reload_command(plan))}"
    )
    first = f"The broker:\n  nats-server -c {shlex.quote(str(plan.out / 'nats.conf'))}"
    then = (
        f"The cloud, with a certificate for the name {CLOUD}; it has NATS read the users when they changed:\n  {serve}"
    )
    return (first, then)
