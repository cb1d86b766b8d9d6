"""Small parts: waits, clocks, log lines, words for errors."""

from __future__ import annotations

import errno
import json
import logging
import random
import statistics
import sys
from pathlib import Path

import pytest
from shallop_device import backoff, clock, errors, logs


def test_waits_double_up_to_the_cap_and_are_spread_evenly():
    schedule = backoff.Backoff(first=1.0, cap=300.0)
    rng = random.Random(1)
    highest = [max(schedule.delay(failures, rng) for _ in range(500)) for failures in range(1, 13)]
    at_cap = [schedule.delay(10_000, rng) for _ in range(2000)]

    assert all(0.9 * 2**number < wait <= 2**number for number, wait in enumerate(highest[:8]))
    assert all(270 < wait <= 300 for wait in highest[9:])
    assert 140 < statistics.mean(at_cap) < 160


def test_the_least_wait_is_added():
    schedule = backoff.Backoff(first=60.0, cap=600.0, least=60.0)
    rng = random.Random(1)

    assert all(60 <= schedule.delay(1, rng) <= 120 for _ in range(100))


def test_the_systems_clock_runs_forward():
    time = clock.SystemClock()

    assert time.monotonic() <= time.monotonic()
    assert time.now() <= time.now()
    assert time.now().tzinfo is not None
    assert isinstance(time.synced(), bool)


@pytest.mark.parametrize(("state", "expected"), [(0, True), (4, True), (5, False), (-1, False)])
def test_the_kernel_says_whether_the_clock_is_synced(state, expected, tmp_path: Path, monkeypatch):
    class Library:
        def adjtimex(self, _timex: object) -> int:
            return state

    monkeypatch.setattr(clock, "_SYNCED_MARK", tmp_path / "none")
    monkeypatch.setattr(clock, "_LIBC", Library())

    assert clock.SystemClock().synced() is expected


def test_systemds_mark_is_believed_and_no_source_means_not_synced(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(clock, "_SYNCED_MARK", tmp_path)
    assert clock.SystemClock().synced()

    monkeypatch.setattr(clock, "_SYNCED_MARK", tmp_path / "none")
    monkeypatch.setattr(clock, "_LIBC", object())
    assert not clock.SystemClock().synced()


def test_a_log_record_is_one_line_of_json():
    try:
        int("why\nwhy")
    except ValueError:
        record = logging.LogRecord("a.b", logging.ERROR, "f", 1, "line\n%s", ("two",), sys.exc_info())
    record.deployment = "DPL-1"

    (line,) = logs.JsonLines().format(record).splitlines()

    shown = json.loads(line)
    assert shown.pop("at").endswith("Z")
    assert shown.pop("traceback").endswith(r"with base 10: 'why\nwhy'")
    assert shown == {"level": "error", "logger": "a.b", "message": "line\ntwo", "deployment": "DPL-1"}


@pytest.mark.parametrize("number", errno.errorcode)
def test_every_errno_has_a_code_and_advice(number):
    reason = errors.held_up(OSError(number, "words", "deployments/.staging-0a/nav2/x"), "do it").reason

    assert reason.message.startswith("cannot do it: words (nav2/x); ")
    assert reason.code in errors._ADVICE
