"""Faults as people type them."""

from __future__ import annotations

import pytest
from shallop_cloud.bench.faults import Fault, FaultError, Kind


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("offline 30s", Fault(Kind.OFFLINE, 30)),
        ("offline", Fault(Kind.OFFLINE, 30)),
        ("power-cut", Fault(Kind.POWER_CUT, 1)),
        ("disk-full 5m", Fault(Kind.DISK_FULL, 300)),
        ("corrupt-state", Fault(Kind.CORRUPT_STATE)),
        ("slow 200ms", Fault(Kind.SLOW, 0.2)),
        ("clock -50y", Fault(Kind.CLOCK, -50 * 365.25 * 86_400)),
        ("clock +2h", Fault(Kind.CLOCK, 7_200)),
        ("duplicate", Fault(Kind.DUPLICATE)),
        ("reorder", Fault(Kind.REORDER)),
        ("heal", Fault(Kind.HEAL)),
    ],
)
def test_words_are_read_and_written(words: str, fault: Fault) -> None:
    assert Fault.parse(words.split()) == fault
    assert Fault.parse(str(fault).split()) == fault


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "'' is no fault; there are: offline, power-cut"),
        ("explode", "'explode' is no fault"),
        ("clock", "clock -50y"),
        ("clock 101y", "100y at most"),
        ("heal 3s", "heal takes no amount"),
        ("slow 1s 2s", "slow takes one amount"),
        ("slow fast", "'fast' is no amount of time"),
        ("slow -1s", "more than 0"),
        ("offline 2d", "at most 1d"),
    ],
)
def test_other_words_are_refused(words: str, said: str) -> None:
    with pytest.raises(FaultError, match=said.replace("'", ".")):
        Fault.parse(words.split())
