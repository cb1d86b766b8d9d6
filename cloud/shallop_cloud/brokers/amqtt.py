"""Configuration for the bench broker: its ``broker.yaml``."""

from __future__ import annotations

import json
import shlex

from shallop_cloud.brokers import rules
from shallop_cloud.brokers.rules import Plan, PlanError, Written

_PLUGINS = "shallop_cloud.bench.broker_plugins"


def write(plan: Plan) -> Written:
    """``broker.yaml``.

    Raises:
        PlanError: TLS is asked for, which the bench broker does not speak.
    """
    if plan.tls:
        raise PlanError(
            "the bench broker speaks plain TCP only: leave --cert and --key out, or use mosquitto for a network"
        )
    data, config = shlex.quote(str(plan.data)), shlex.quote(str(plan.out / "broker.yaml"))
    broker = f"mqtt://{rules.spelt(plan.listen)}"
    first = f"Start the cloud first; it makes the password file:\n  shallop serve --data {data} --broker {broker}"
    then = f"Then the broker, which follows the password file by itself:\n  shallop broker run --config {config}"
    return Written({"broker.yaml": configuration(plan)}, (first, then))


def configuration(plan: Plan) -> str:
    """``broker.yaml``; it asks the access rule itself, and needs only the root. JSON texts are YAML."""
    return f"""\
# The bench broker for shallop: shallop broker run --config broker.yaml
listeners:
  default:
    type: tcp
    bind: {json.dumps(rules.spelt(plan.listen))}
plugins:
  {_PLUGINS}.PasswordFile:
    path: {json.dumps(str(plan.mqtt / "passwords"))}
  {_PLUGINS}.TopicAccess:
    root: {json.dumps(plan.topics.root)}
  {_PLUGINS}.Limits:
    max_packet_bytes: {rules.PAYLOAD_BYTES + 1024}
    max_unread_bytes: {rules.QUEUED_BYTES}
    connect_timeout_s: 10
"""
