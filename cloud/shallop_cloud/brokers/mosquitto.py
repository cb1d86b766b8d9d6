"""Configuration for mosquitto 2, which reads the password file that ``shallop serve`` keeps."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shallop_protocol.topics import MONITOR, Access, Topics

from shallop_cloud.brokers import rules
from shallop_cloud.brokers.rules import Plan, Right, Role, Written

_WORD = {Access.PUBLISH: "write", Access.SUBSCRIBE: "read"}


def write(plan: Plan) -> Written:
    """``mosquitto.conf``, ``acl``, and ``reload``, which has mosquitto read the password file again."""
    reload = rules.reload_script("mosquitto", plan.out / "mosquitto.pid")
    files = {"mosquitto.conf": configuration(plan), "acl": access_list(plan.topics), "reload": reload}
    return Written(files, _steps(plan))


def access_list(topics: Topics) -> str:
    """Who may say and hear what, as an ``acl_file``.

    mosquitto applies a ``pattern`` to every user, so what the pattern would give to the monitor is denied to it first;
    the cloud may do all that anyway.
    """
    rights = rules.rights(topics)
    own = {role: [each for each in rights if each.role is role] for role in Role}
    heard = {each.filter for each in own[Role.MONITOR]}
    lines = ["# Who may say and hear what. The cloud:", f"user {Role.CLOUD.value}", *map(_topic, own[Role.CLOUD])]
    lines += ["", "# People and dashboards that watch the fleet:", f"user {MONITOR}"]
    lines += [f"topic deny {each.of(MONITOR)}" for each in own[Role.DEVICE] if each.filter not in heard]
    lines += [*map(_topic, own[Role.MONITOR]), "", "# Every robot, by its user name, which is its device id:"]
    lines += [f"pattern {_WORD[each.access]} {each.of('%u')}" for each in own[Role.DEVICE]]
    return "\n".join(lines) + "\n"


def _topic(right: Right) -> str:
    return f"topic {_WORD[right.access]} {right.filter}"


def configuration(plan: Plan) -> str:
    """``mosquitto.conf``. All paths in it are absolute."""
    lines = [
        f"# mosquitto for shallop: mosquitto -c {shlex.quote(str(plan.out / 'mosquitto.conf'))}",
        "# Written by `shallop broker config mosquitto`; it may be written again at any time.",
        "",
        "# The password file is kept in step with the fleet. After a robot enrolled or was revoked, mosquitto must",
        "# read it again (SIGHUP), which also cuts off whoever may no longer connect.",
        "allow_anonymous false",
        f"password_file {plan.mqtt / 'passwords'}",
        f"acl_file {plan.out / 'acl'}",
        "",
        "# Started as root, mosquitto becomes this user, who can read the password file.",
        f"user {plan.owner}",
        f"pid_file {plan.out / 'mosquitto.pid'}",
        "",
        "# What one client may cost: bytes of a message, what waits for a client that is slow, and its silence. By",
        "# default mosquitto drops what is beyond 1,000 waiting messages: most of a fleet that reports at once.",
        f"message_size_limit {rules.PAYLOAD_BYTES}",
        f"max_queued_messages {rules.QUEUED_MESSAGES}",
        f"max_queued_bytes {rules.QUEUED_BYTES}",
        "max_inflight_messages 0",
        f"max_keepalive {rules.KEEPALIVE_S}",
        "persistent_client_expiration 1d",
        "set_tcp_nodelay true",
        "",
        "# What the broker keeps is a cache: the cloud says everything again. Writing it at intervals is enough.",
        "persistence true",
        f"persistence_location {plan.out}/",
        "autosave_interval 300",
        "",
        "# A client's id is its user, so no robot can push another off by using its id.",
        *_listeners(plan),
    ]
    return "\n".join(lines) + "\n"


def _listeners(plan: Plan) -> Iterator[str]:
    yield from _listener(plan.listen)
    if plan.tls:
        yield f"certfile {plan.tls.certificate}"
        yield f"keyfile {plan.tls.key}"
        yield "tls_version tlsv1.2"
        if plan.tls.authority:
            yield "# Robots show a certificate besides their password, which says who they are. By certificates alone"
            yield "# a robot that is revoked would stay connected, and a certificate named cloud would be the cloud."
            yield f"cafile {plan.tls.authority}"
            yield "require_certificate true"
        if plan.tls.revoked:
            yield f"crlfile {plan.tls.revoked}"
    if plan.inner:
        yield "# The cloud and people on this machine, with passwords and without TLS:"
        yield from _listener(plan.inner)


def _listener(address: tuple[str, int]) -> Iterator[str]:
    host, port = address
    yield f"listener {port} {host}"
    yield "use_username_as_clientid true"


def _steps(plan: Plan) -> tuple[str, ...]:
    scheme = "mqtts" if plan.tls else "mqtt"
    cloud = f"mqtt://{rules.spelt(plan.inner or plan.listen)}"
    serve = f"shallop serve --data {shlex.quote(str(plan.data))} --broker {cloud} --broker-protocol 5"
    if plan.tls:
        serve += f" --advertise-broker {scheme}://BROKER-HOST:{plan.listen[1]}"
    serve += f" --on-credentials {shlex.quote(rules.reload_command(plan))}"
    broker = f"mosquitto -c {shlex.quote(str(plan.out / 'mosquitto.conf'))}"
    return (
        f"Start the cloud first; it makes the password file, and has mosquitto read it when it changed:\n  {serve}",
        f"Then the broker:\n  {broker}",
    )
