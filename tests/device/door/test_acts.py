"""What can be done through the door: holds, acknowledgements, retry."""

from __future__ import annotations

import os
import subprocess
import sys

import door_world
import pytest
from door_world import ACKED, eventually
from shallop_device.door import desk


def wish(seconds: float = 300, **more: object) -> dict[str, object]:
    return {"reason": "docking", "expires_in_s": seconds, **more}


def test_a_hold_keeps_an_order_waiting_until_it_is_released(local):
    assert local.ask("PUT", "/v1/holds/dock", wish()).status == 201
    manifest = local.order({"f": "1"})

    waiting = local.ask("GET", "/v1/status").json["waiting"]
    assert waiting == {
        "deployment": manifest.id,
        "code": "held",
        "message": "held by dock: docking",
        "until": "2026-01-01T00:05:00Z",
    }
    assert local.do(local.robot.visible) is None

    assert local.ask("DELETE", "/v1/holds/dock").status == 204
    eventually(lambda: local.ask("GET", "/v1/status").json["waiting"] is None)
    assert local.do(local.robot.visible) == {"f": "1"}


def test_a_hold_is_renewed_by_its_name(local):
    local.ask("PUT", "/v1/holds/dock", wish(10))
    answer = local.ask("PUT", "/v1/holds/dock", wish(20))
    assert (answer.status, answer.json["expires_at"]) == (200, "2026-01-01T00:00:20Z")
    assert len(local.ask("GET", "/v1/holds").json["holds"]) == 1


def test_a_hold_ends_by_itself(local):
    local.ask("PUT", "/v1/holds/dock", wish(10))
    local.sleep(10)
    assert local.ask("GET", "/v1/holds").json == {"holds": []}


def test_a_hold_ends_with_its_process(local):
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    local.ask("PUT", "/v1/holds/dock", wish(while_pid=owner.pid))
    assert local.ask("GET", "/v1/holds").json["holds"][0]["while_pid"] == owner.pid
    local.order({"f": "1"})

    owner.kill()
    owner.wait()

    eventually(lambda: local.do(local.robot.visible) == {"f": "1"})
    assert local.ask("GET", "/v1/holds").json == {"holds": []}
    owner.stdin.close()


def test_true_is_the_process_that_asks_and_a_renewal_may_let_it_go(local):
    assert local.ask("PUT", "/v1/holds/dock", wish(while_pid=True)).json["while_pid"] == os.getpid()
    assert local.ask("PUT", "/v1/holds/dock", wish()).json["while_pid"] is None
    assert local.do(lambda: local.desk.watched) == ()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"expires_in_s": 0}, 422, "request_invalid"),
        ({"expires_in_s": 1e9}, 422, "request_invalid"),
        ({"expires_in_s": 3601}, 422, "hold_too_long"),
        ({"expires_in_s": 5, "reason": "x" * 201}, 422, "request_invalid"),
        ({"expires_in_s": 5, "resaon": "x"}, 422, "request_invalid"),
        ({"expires_in_s": 5, "while_pid": 2**31 - 1}, 422, "process_not_found"),
        (b'{"expires_in_s": 1, "expires_in_s": 2}', 400, "json_invalid"),
        (b"reason=x", 400, "json_invalid"),
    ],
)
def test_a_hold_that_is_none(local, body, status, code):
    answer = local.ask("PUT", "/v1/holds/dock", body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert local.ask("GET", "/v1/holds").json == {"holds": []}


def test_names_and_numbers_are_bounded(local):
    assert local.ask("PUT", "/v1/holds/..%2fx", wish()).json["code"] == "name_invalid"
    for number in range(desk.MAX_HOLDS):
        assert local.ask("PUT", f"/v1/holds/h{number}", wish()).status == 201
    answer = local.ask("PUT", "/v1/holds/one-more", wish())
    assert (answer.status, answer.json["code"]) == (409, "too_many_holds")
    assert local.ask("PUT", "/v1/holds/h0", wish()).status == 200


def test_releasing_what_is_not_held(local):
    answer = local.ask("DELETE", "/v1/holds/dock")
    assert (answer.status, answer.json["code"]) == (404, "hold_not_found")


def test_an_acknowledgement_confirms():
    with door_world.local(ACKED) as local:
        manifest = local.order({"f": "1"})
        assert local.ask("GET", "/v1/status").json["trial"]["acks"] == []
        assert local.ask("GET", "/v1/deployment").json["activity"] == "queued"

        answer = local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": manifest.id})

        assert (answer.status, answer.json) == (200, {"deployment": manifest.id, "on_trial": True})
        eventually(lambda: local.ask("GET", "/v1/deployment").json["activity"] == "deployed")
        again = local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": manifest.id})
        assert (again.status, again.json["on_trial"]) == (200, False)
        late = local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": manifest.id, "ok": False})
        assert (late.status, late.json["code"]) == (409, "not_on_trial")


def test_a_veto_rejects():
    with door_world.local(ACKED) as local:
        first = local.order({"f": "1"})
        local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": first.id})
        second = local.order({"f": "2"}, fallback=first.id)
        local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": second.id, "ok": False, "message": "no such map"})

        eventually(lambda: local.do(local.robot.visible) == {"f": "1"})
        told = local.ask("GET", "/v1/status").json
        failed = next(each for each in told["report"]["deployments"] if each["id"] == second.id)
        assert failed["reason"] == {"code": "vetoed", "message": "nav2: no such map"}
        assert told["current"]["id"] == first.id


def test_an_acknowledgement_of_what_is_not_there(local):
    local.order({"f": "1"})
    answer = local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": local.shore.manifest({}).id})
    assert (answer.status, answer.json["code"]) == (409, "not_on_trial")


def test_retry_ends_the_wait(local):
    path = local.robot.root / "deployments"
    path.write_text("in the way")
    local.order({"f": "1"})
    assert local.ask("GET", "/v1/status").json["report"]["deployments"][0]["error"] == "retrying"
    path.unlink()

    assert local.ask("POST", "/v1/retry").status == 204

    eventually(lambda: local.do(local.robot.visible) == {"f": "1"})


def test_acts_are_logged_with_who_did_them(local, caplog):
    caplog.set_level("INFO")
    local.ask("PUT", "/v1/holds/dock", wish())
    eventually(lambda: "held by dock: docking" in caplog.messages)
    record = next(each for each in caplog.records if each.getMessage() == "held by dock: docking")
    assert (record.pid, record.uid) == (os.getpid(), os.getuid())


def test_a_database_that_cannot_be_written_is_said(local):
    local.do(lambda: local.robot.store._db.conn.execute("pragma query_only = on"))
    answer = local.ask("PUT", "/v1/holds/dock", wish(while_pid=True))
    local.do(lambda: local.robot.store._db.conn.execute("pragma query_only = off"))
    assert (answer.status, answer.json["code"]) == (503, "state_database")
    assert local.ask("GET", "/v1/holds").json == {"holds": []}
