"""Reports as bytes on their way, and their numbers, which count only by their order within an incarnation."""

from __future__ import annotations

from shallop_protocol import messages

from model_world import orders
from model_world.memo import remembered

Ranks = tuple[tuple[tuple[str, int], int], ...]
"""Incarnation and number, each with the rank of that number in its incarnation."""


@remembered
def read(data: bytes) -> messages.Report:
    """The report that some bytes say."""
    return messages.parse_report(data, orders.ROBOT)


@remembered
def number(data: bytes) -> tuple[str, int]:
    """Incarnation and number of a report."""
    report = read(data)
    return report.incarnation, report.seq


@remembered
def renumbered(data: bytes, seq: int) -> bytes:
    """The same report under another number."""
    return read(data).model_copy(update={"seq": seq}).to_bytes()


@remembered
def ranks(numbers: frozenset[tuple[str, int]]) -> Ranks:
    """The rank of each number in its incarnation, from 1 on; 0 is the number of no report and stays 0.

    Empty if every number is its own rank already.
    """
    ranked: dict[tuple[str, int], int] = {}
    for incarnation in {incarnation for incarnation, _ in numbers}:
        seqs = sorted({seq for name, seq in numbers if name == incarnation and seq})
        ranked |= {(incarnation, seq): rank for rank, seq in enumerate(seqs, start=1)}
        ranked[incarnation, 0] = 0
    settled = all(seq == rank for (_, seq), rank in ranked.items())
    return () if settled else tuple(sorted(ranked.items()))
