"""``shallop device``."""

from __future__ import annotations

import json
import re

import cli_world
import pytest
from cli_world import before, device, refusal
from shallop_cloud.api import models


def test_create_prints_the_token_once_and_what_to_run_on_the_robot(run, world):
    ran = run("device", "create", "amr-07", "--label", "site=lyon", "--label", "model=amr2")

    expires = f"{cli_world.EXPIRES:%Y-%m-%dT%H:%M:%SZ}"
    assert world.taken == [models.NewDevice(name="amr-07", labels={"site": "lyon", "model": "amr2"})]
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == f"""\
name:     amr-07
id:       DEV-AMR0700000000000
token:    shallop-enrol-s3cret
expires:  {expires} (in 7d)

The token is shown this once. Run on the robot, with directories of your choice:
  shallopd enroll --server {world.url} --token shallop-enrol-s3cret --state /var/lib/shallop --root /etc/robot
From another machine, replace the address by one at which it reaches this server.
"""
    )


def test_create_gives_scripts_the_object_as_the_api_made_it(run, world):
    made = json.loads(run("device", "create", "amr-07", "-o", "json").out)

    assert models.CreatedDevice.model_validate(made).token == "shallop-enrol-s3cret"
    assert (made["id"], made["name"], made["token"]) == ("DEV-AMR0700000000000", "amr-07", "shallop-enrol-s3cret")
    assert run("device", "create", "amr-07", "-o", "name").out == "DEV-AMR0700000000000\n"


def test_a_renewed_token_is_shown_as_a_new_one(run, world):
    world.add(device("amr-07"))

    ran = run("device", "renew-token", "amr-07")

    assert ran.code == 0
    assert "--token shallop-enrol-s3cret" in ran.out


def test_list(run, world):
    world.add(
        device("amr-07", labels={"site": "lyon", "model": "amr2"}, current="DPL-7K3QF0H2M9XW4RTC"),
        device("amr-08", online=False, in_sync=False, last_heard_at=before(hours=2, minutes=5)),
        device("arm-1", enrolled_at=None, online=False, last_heard_at=None),
    )

    assert (
        run("device", "list").out
        == """\
DEVICE  ID                    LINK          LAST HEARD  IN SYNC  CURRENT               LABELS
amr-07  DEV-AMR0700000000000  online        3m ago      yes      DPL-7K3QF0H2M9XW4RTC  model=amr2,site=lyon
amr-08  DEV-AMR0800000000000  offline       2h ago      no       -                     -
arm-1   DEV-ARM1000000000000  not enrolled  -           yes      -                     -
"""
    )


def test_list_by_label_and_as_names(run, world):
    world.add(device("amr-07", labels={"site": "lyon"}), device("amr-08"))

    assert run("device", "list", "--label", "site=lyon", "-o", "name").out == "DEV-AMR0700000000000\n"


def test_a_page_is_printed_as_the_api_gave_it(run, world):
    world.add(*(device(f"amr-0{number}") for number in range(5)))

    page = json.loads(run("device", "list", "--limit", "2", "--cursor", "2", "-o", "json").out)

    assert [each["name"] for each in page["data"]] == ["amr-02", "amr-03"]
    assert page["next_cursor"] == "4"


def test_all_follows_the_cursors(run, world):
    world.add(*(device(f"amr-0{number}") for number in range(5)))

    page = json.loads(run("device", "list", "--limit", "2", "--all", "-o", "json").out)

    assert [each["name"] for each in page["data"]] == ["amr-00", "amr-01", "amr-02", "amr-03", "amr-04"]
    assert page["next_cursor"] is None


def test_people_are_told_that_there_is_more(run, world):
    world.add(device("amr-07"), device("amr-08"))

    ran = run("device", "list", "--limit", "1", "-o", "name")

    assert ran.out == "DEV-AMR0700000000000\n"
    assert ran.err == "there is more: --cursor 1 shows the next page, --all everything\n"


def test_show_says_what_is_desired_and_what_was_last_known(run, world):
    known = models.LastKnown(
        current="DPL-M2W8R00000000000",
        generation=16,
        seq=51,
        incarnation="i",
        device_time="2026-03-01T08:00:00Z",
        clock_synced=False,
        agent_version="0.1.0",
        refused=models.Refusal(code="signature", message="unknown key", generation=17),
        reported_at=before(seconds=70),
        age_s=70.0,
    )
    world.add(
        device(
            "amr-07",
            current="DPL-7K3QF0H2M9XW4RTC",
            fallback="DPL-M2W8R00000000000",
            generation=17,
            in_sync=False,
            last_known=known,
        )
    )

    lines = dict(line.split(":", 1) for line in run("device", "show", "amr-07").out.splitlines())

    shown = {name.strip(): value.strip() for name, value in lines.items()}
    assert {name: shown[name] for name in shown if name not in ("created", "enrolled")} == {
        "name": "amr-07",
        "id": "DEV-AMR0700000000000",
        "labels": "-",
        "token expires": "-",
        "link": "online",
        "last heard": "3m ago",
        "desired": "DPL-7K3QF0H2M9XW4RTC",
        "fallback": "DPL-M2W8R00000000000",
        "generation": "17",
        "its generation": "16",
        "in sync": "no",
        "reported": "1m ago",
        "it runs": "DPL-M2W8R00000000000",
        "it refused": "signature: unknown key",
        "its clock": "2026-03-01T08:00:00Z (not synchronised)",
        "its agent": "0.1.0",
    }
    assert shown["enrolled"].endswith("(5h ago)")


def test_show_of_a_device_that_never_enrolled(run, world):
    expires = before(days=-6, minutes=-1)
    world.add(device("amr-07", enrolled_at=None, online=False, last_heard_at=None, token_expires_at=expires))

    out = run("device", "show", "amr-07").out

    assert "enrolled:       -\n" in out
    assert f"token expires:  {expires:%Y-%m-%dT%H:%M:%SZ} (in 6d)\n" in out
    assert "link:           not enrolled\n" in out
    assert "last heard:     -\n" in out


def test_history(run, world):
    world.add(device("amr-07"))
    queued = {"target_status": "deployed", "activity_status": "queued", "error_status": "none"}
    failed = {"target_status": "archived", "activity_status": "queued", "error_status": "failed"}
    world.history = [
        _entry(1, actor="admin", action="device_created", after={"name": "amr-07"}),
        _entry(
            2,
            actor="amr-07",
            action="failed",
            deployment_id="DPL-7K3QF0H2M9XW4RTC",
            before=queued,
            after={**failed, "reason": {"code": "check_rejected", "message": "too \x1b[31mfast"}},
        ),
    ]

    assert run("device", "history", "amr-07").out == (
        "AT                    WHO     WHAT            DEPLOYMENT            CHANGE\n"
        "2026-03-01T08:00:01Z  admin   device_created  -                     -\n"
        "2026-03-01T08:00:02Z  amr-07  failed          DPL-7K3QF0H2M9XW4RTC  "
        "target deployed -> archived; error none -> failed; check_rejected: too fast\n"
    )


def test_labels_that_cannot_be(run, world):
    assert run("device", "create", "amr-07", "--label", "lyon").err.splitlines()[0] == (
        "shallop: Invalid value for '--label': 'lyon' is not KEY=VALUE, such as site=lyon"
    )
    ran = run("device", "create", "amr-07", "--label", "site=lyon", "--label", "site=metz")
    assert ran.code == 2
    assert ran.err.startswith("shallop: label 'site' is given twice: 'lyon' and 'metz'\n")
    assert world.taken == []


def _entry(number: int, **fields) -> models.HistoryEntry:
    names = ("device_time", "device_id", "deployment_id", "release_id", "before", "after")
    nothing = {**dict.fromkeys(names), "hash": 64 * "a"}
    return models.HistoryEntry(**{**nothing, "id": number, "at": f"2026-03-01T08:00:0{number}.25Z", **fields})


def test_list_asks_the_server_for_what_is_wanted(run, world):
    run(
        "device",
        "list",
        "--label",
        "a=b",
        "--label",
        "c=d",
        "--connectivity",
        "silent",
        "--not-in-sync",
        "--archived",
        "any",
    )

    assert world.asked == {
        "label": ["a=b", "c=d"], "connectivity": "silent", "in_sync": "false", "archived": "any", "limit": "50",
    }  # fmt: skip


def test_labels_change_one_by_one_and_only_what_was_read(run, world):
    world.add(device("amr-07", labels={"site": "lyon", "old": "1", "model": "amr2"}))

    ran = run("device", "label", "amr-07", "site=graz", "old-", "gone-")

    assert ran.code == 0
    assert world.taken == [models.DeviceChange(labels={"site": "graz", "model": "amr2"})]
    assert world.changed_if == '"seven"'
    assert "labels:         model=amr2,site=graz\n" in ran.out


def test_a_device_that_changed_in_between_is_a_conflict(run, world, monkeypatch):
    world.add(device("amr-07"))
    monkeypatch.setattr(world, "_change", lambda _: refusal(412, "precondition_failed", "it has changed since"))

    ran = run("device", "rename", "amr-07", "amr-7b")

    assert ran == type(ran)(6, "", "shallop: it has changed since\n")


@pytest.mark.parametrize("change", ["site", "=lyon", "-"])
def test_label_changes_that_are_none(run, world, change):
    ran = run("device", "label", "amr-07", "--", change)

    assert (ran.code, world.taken) == (2, [])


def test_rename(run, world):
    world.add(device("amr-07"))

    ran = run("device", "rename", "amr-07", "amr-7b")

    assert "name:           amr-7b\n" in ran.out
    assert ran.err == "it was amr-07; to undo: shallop device rename amr-7b amr-07\n"
    assert world.taken == [models.DeviceChange(name="amr-7b")]


def test_archive_says_how_to_undo_and_restore_undoes(run, world):
    world.add(device("amr-07"))

    ran = run("device", "archive", "amr-07")

    assert (ran.code, ran.err) == (0, "put away; to undo: shallop device restore amr-07\n")
    assert "link:           archived\n" in ran.out
    assert run("device", "list", "-o", "name").out == ""
    assert run("device", "list", "--archived", "any", "-o", "name").out == "DEV-AMR0700000000000\n"
    assert "link:           online\n" in run("device", "restore", "amr-07").out


def test_revoke_says_so_and_how_to_go_on(run, world):
    world.add(device("amr-07"))

    ran = run("device", "revoke", "amr-07")

    assert (ran.code, ran.err) == (0, "to enrol it anew: shallop device renew-token amr-07\n")
    assert re.search(r"^revoked: +20\S+Z \(\ds ago\)$", ran.out, re.MULTILINE), ran.out
    assert "link:           revoked\n" in ran.out
    assert " revoked " in run("device", "list").out


@pytest.mark.parametrize(("typed", "confirm_s"), [("2m", 120), ("90s", 90), ("1d", 86_400), ("none", None)])
def test_set_a_term(run, world, typed, confirm_s):
    world.add(device("amr-07"))

    ran = run("device", "set", "amr-07", "--confirm-within", typed)

    assert (ran.code, world.taken) == (0, [models.DeviceChange(confirm_s=confirm_s)])
    assert world.taken[0].model_fields_set == {"confirm_s"}


@pytest.mark.parametrize("typed", ["0s", "2d", "-1m", "120", "soon", ""])
def test_a_term_that_is_none_is_refused_before_anything_is_sent(run, world, typed):
    ran = run("device", "create", "amr-07", "--confirm-within", typed)

    assert (ran.code, world.taken) == (2, [])
    assert f"{typed!r} is not a time of 1s to 1d, such as 90s or 2m" in ran.err


def test_a_device_shows_its_term(run, world):
    world.add(device("amr-07", confirm_s=5_400))

    assert "confirm within:  90m" in run("device", "show", "amr-07").out
