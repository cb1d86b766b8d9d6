"""Every kind of broker that there is configuration for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shallop_cloud.brokers import amqtt, emqx, mosquitto, nats
from shallop_cloud.brokers.rules import Plan, Written

WRITERS: Mapping[str, Callable[[Plan], Written]] = {
    "mosquitto": mosquitto.write,
    "emqx": emqx.write,
    "nats": nats.write,
    "amqtt": amqtt.write,
}
"""By the name that people type. Each raises `rules.PlanError` for what its broker cannot do."""
