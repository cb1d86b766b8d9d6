"""What a process of simulated robots says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pydantic


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """All robots of a process, counted.

    Attributes:
        connected: whose connection stands.
        ordered: that ever accepted an order.
        in_force: on which what the newest accepted order names is confirmed, with nothing wrong.
        settled: with nothing left to do, and whose newest report the broker has acknowledged.
        retrying, failed: by what the newest order names.
        refused: whose newest message was not accepted.
        lowest, highest: generations of the newest orders accepted; 0 where there was none.
        orders, reports: messages taken, and reports acknowledged, since the process began.
        connects: connections accepted since then.
        last: the monotonic moment at which a connection was last accepted or lost, or a report acknowledged.
    """

    robots: int
    connected: int
    ordered: int
    in_force: int
    settled: int
    retrying: int
    failed: int
    refused: int
    lowest: int
    highest: int
    orders: int
    reports: int
    connects: int
    last: float


@dataclasses.dataclass(frozen=True, slots=True)
class RobotView:
    """One robot: what is on its disk, and what it remembers.

    Attributes:
        generation: of the newest order accepted.
        current: the deployment that robot software would read.
        files: the SHA-256 digests of its files, by relative path.
        trees: all deployments on the disk.
        statuses: activity and error of every deployment that it remembers: ``deployed/none``.
        refused: why the newest message was not accepted, if it was not.
        order_bytes, report_bytes: the sizes of the newest message taken as desired state, and of the newest report.
    """

    id: str
    name: str
    connected: bool
    incarnation: str
    seq: int
    generation: int
    current: str | None
    files: Mapping[str, str]
    trees: tuple[str, ...]
    statuses: Mapping[str, str]
    refused: str | None
    order_bytes: int
    report_bytes: int


STATE = pydantic.TypeAdapter(State)
ROBOT = pydantic.TypeAdapter(RobotView)
