"""``shallop why``."""

from __future__ import annotations

import json

from cli_world import before, device
from shallop_cloud.api import models

DPL, OLD = "DPL-7K3QF0H2M9XW4RTC", "DPL-M2W8R00000000000"


def test_one_screen_from_the_verdict_to_what_would_help(run, world):
    since, next_at = before(hours=2, seconds=3), before(minutes=-2, seconds=-10)
    world.says["devices/amr-07/why"] = models.Why(
        device=device("amr-07", online=False),
        desired=DPL,
        desired_status="retrying",
        known=models.LastSaid(current=OLD, status="deployed", at=before(hours=3), age_s=10_900.0),
        verdict="retrying",
        text="amr-07 cannot write the files: the disk is full. It tries again by itself.",
        waits_for=[
            models.Wait(code="retrying", text="attempt 4: disk_full: no space left", since=since, next_at=next_at),
            models.Wait(code="held", text="held by docking: parking", since=None, next_at=next_at),
            models.Wait(code="not_reported", text="amr-07 has not answered yet", since=None, next_at=before(seconds=1)),
        ],
        commands=["shallop rollback amr-07"],
    )

    ran = run("why", "amr-07")

    assert ran == type(ran)(
        0,
        f"""\
amr-07: retrying
amr-07 cannot write the files: the disk is full. It tries again by itself.

shall run:   DPL-7K3QF (retrying)
last known:  DPL-M2W8R (deployed), 3h ago
link:        offline, last heard 3m ago

It waits:
  retrying
    attempt 4: disk_full: no space left
    since {since:%Y-%m-%dT%H:%M:%SZ}, 2h ago
    again at {next_at:%Y-%m-%dT%H:%M:%SZ} (in 2m)
  held
    held by docking: parking
    until {next_at:%Y-%m-%dT%H:%M:%SZ} (in 2m)
  not reported
    amr-07 has not answered yet
    again about now

What would help:
  shallop rollback amr-07
""",
    )


def test_a_device_that_was_never_heard(run, world):
    new = device("amr-07", enrolled_at=None, online=False, last_heard_at=None, last_heard_age_s=None)
    found = models.Why(
        device=new,
        desired=None,
        desired_status=None,
        known=None,
        verdict="never_enrolled",
        text="amr-07 has not enrolled yet.",
        waits_for=[],
        commands=[],
    )
    world.says["devices/amr-07/why"] = found

    assert run("why", "amr-07").out == (
        "amr-07: never enrolled\namr-07 has not enrolled yet.\n\n"
        "shall run:   nothing\nlast known:  never heard\nlink:        not enrolled\n"
    )
    assert run("why", "amr-07", "-o", "name").out == f"{new.id}\n"
    assert models.Why.model_validate(json.loads(run("why", "amr-07", "-o", "json").out)) == found
