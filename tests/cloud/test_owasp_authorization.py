"""API1:2023 Broken Object Level Authorization, API5:2023 Broken Function Level Authorization.

Every operation of the OpenAPI document is asked for by everybody, and what comes is compared with who may.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from owasp_world import MINE, OTHERS, ROLE_OF, Answer, Fleet, Operation, digest
from shallop_cloud.services.guesses import Guesses

RANKS = ["viewer", "operator", "admin"]
DEVICES_OWN = "fetch_content"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.app.state.feed.stop()  # a stream of events would not end
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _nothing_was_guessed(fleet: Fleet) -> None:
    fleet.app.state.guesses = Guesses()


def test_no_operation_escapes_the_table(fleet: Fleet) -> None:
    declared = {each.id: fleet.role(each) for each in fleet.operations()}
    assert declared == ROLE_OF


def _expected(operation: Operation, who: str) -> int:
    """401, 403, or 0 for anything else."""
    needed = ROLE_OF[operation.id]
    if needed is None:
        return 0
    if who not in RANKS or needed not in RANKS:
        return 0 if who == needed else 401
    return 0 if RANKS.index(who) >= RANKS.index(needed) else 403


def test_everybody_at_every_operation(fleet: Fleet) -> None:
    wrong: list[tuple[str, str, int, str]] = []
    asked = 0
    for operation in fleet.operations():
        if operation.id == DEVICES_OWN:
            continue
        for who, authorization in fleet.credentials.items():
            fleet.app.state.guesses = Guesses()
            body = {} if operation.method in ("POST", "PATCH") else None
            answer = fleet.ask(operation.method, fleet.target(operation), authorization, body)
            seen = answer.status if answer.code.startswith(("role_", "token_missing", "token_invalid")) else 0
            if operation.id in ("enrol", "enrol_many"):
                seen = 0 if answer.status == 422 else answer.status  # {} is no token
            if seen != _expected(operation, who) or (seen == 0 and answer.status in (401, 403)):
                wrong.append((operation.id, who, answer.status, answer.code))
            asked += 1
    assert wrong == []
    assert asked == (len(ROLE_OF) - 1) * len(fleet.credentials)


def test_who_may_not_changes_nothing_and_learns_nothing(fleet: Fleet) -> None:
    """Whether there is such a thing is told to nobody who may not look at it."""
    deployment = fleet.as_admin("GET", "/v1/deployments").json["data"][0]["id"]
    head = fleet.head()
    real = {"devices": "mine", "deployments": deployment, "releases": "1.0.0", "tokens": "a-viewer"}
    for operation in fleet.operations():
        kind = operation.path.split("/")[2].partition(":")[0]
        if operation.id == DEVICES_OWN or kind not in real or "{key}" not in operation.path:
            continue
        for who in ("nobody", "revoked", "device", "viewer"):
            expected = _expected(operation, who)
            if expected:
                fleet.app.state.guesses = Guesses()
                answers = [_told(fleet, operation, key, who) for key in (real[kind], "not-there")]
                assert answers[0] == answers[1], (operation.id, who)
                assert answers[0][0] == expected
    assert fleet.head() == head


def _told(fleet: Fleet, operation: Operation, key: str, who: str) -> tuple[int, dict[str, str], object]:
    body = {} if operation.method in ("POST", "PATCH") else None
    answer = fleet.ask(
        operation.method, fleet.target(operation, key), fleet.credentials[who], body, x_request_id="same"
    )
    return answer.status, dict(answer.headers), answer.json


def test_a_device_reads_what_its_own_order_names_and_nothing_else(fleet: Fleet) -> None:
    nowhere = digest(b"nobody has this")
    observed = {
        (who, name): fleet.ask("GET", f"/v1/device/contents/{of}", authorization).status
        for who, authorization in fleet.credentials.items()
        for name, of in {"mine": digest(MINE), "others": digest(OTHERS), "none": nowhere}.items()
        if not setattr(fleet.app.state, "guesses", Guesses())
    }
    expected = {(who, name): 401 for who in fleet.credentials for name in ("mine", "others", "none")}
    expected |= {("device", "mine"): 200, ("device", "others"): 404, ("device", "none"): 404}
    expected |= {("other device", "mine"): 404, ("other device", "others"): 200, ("other device", "none"): 404}
    assert observed == expected


def test_what_is_another_devices_looks_as_if_it_were_not_there(fleet: Fleet) -> None:
    def told(of: str) -> tuple[int, object]:
        answer = fleet.ask("GET", f"/v1/device/contents/{of}", fleet.credentials["device"], x_request_id="same")
        return answer.status, {**answer.json, "detail": answer.json["detail"].replace(of, "it")}

    assert told(digest(OTHERS)) == told(digest(b"nobody has this"))


def test_what_is_ordered_no_more_is_read_no_more(tmp_path_factory: pytest.TempPathFactory) -> None:
    fleet = Fleet(tmp_path_factory.mktemp("former"))
    try:
        path = f"/v1/device/contents/{digest(MINE)}"
        assert fleet.ask("GET", path, fleet.credentials["device"]).body == MINE
        (first,) = fleet.as_admin("GET", "/v1/deployments?device=mine").json["data"]
        assert fleet.as_admin("POST", f"/v1/deployments/{first['id']}:archive").status == 200
        fleet.mine.settle()
        assert fleet.ask("GET", path, fleet.credentials["device"]).status == 404
        assert fleet.as_admin("POST", "/v1/devices/other:archive").status == 200
        answer = fleet.ask("GET", f"/v1/device/contents/{digest(OTHERS)}", fleet.credentials["other device"])
        assert answer.status == 401
    finally:
        fleet.close()


OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "GE\u00cf")


def test_what_is_not_declared_is_not_served(fleet: Fleet) -> None:
    declared: dict[str, set[str]] = {}
    for each in fleet.operations():
        declared.setdefault(each.path, set()).add(each.method)
    head = fleet.head()
    for path, methods in declared.items():
        served = methods | ({"HEAD"} if "GET" in methods else set())
        target = path.replace("{key}", "none").replace("{digest}", digest(MINE))
        for verb in set(VERBS) - served:
            answer = _as_admin(fleet, verb, target)
            assert (answer.status, answer.code) == (405, "" if verb == "HEAD" else "method_not_allowed"), (verb, path)
            assert set(answer.headers["allow"].split(", ")) == served | {"OPTIONS"}
        answer = _as_admin(fleet, "OPTIONS", target)
        assert (answer.status, answer.body) == (204, b""), path
    assert fleet.head() == head


def _as_admin(fleet: Fleet, method: str, target: str, **headers: str) -> Answer:
    return fleet.ask(method, target, fleet.credentials["admin"], **headers)


@pytest.mark.parametrize("header", OVERRIDES)
def test_no_header_makes_another_method_of_a_request(fleet: Fleet, header: str) -> None:
    head = fleet.head()
    for method in ("GET", "POST"):
        answer = _as_admin(fleet, method, "/v1/devices/mine:archive", **{header: "GET" if method == "POST" else "POST"})
        assert answer.status == (405 if method == "GET" else 200)
    assert fleet.head() != head
    assert _as_admin(fleet, "POST", "/v1/devices/mine:restore").status == 200


def test_a_path_in_disguise_opens_nothing(fleet: Fleet) -> None:
    """Who may not do a thing may not do it by another spelling of its path."""
    for path in ("/v1/tokens", "/v1//tokens", "/v1/tokens/", "/V1/tokens", "/v1/./tokens", "/v1/devices/../tokens",
                 "/v1/tokens;x", "/v1/%74okens", "//v1/tokens", "/v1/tokens%2f", "/v1\\tokens"):  # fmt: skip
        for who in ("nobody", "viewer", "operator"):
            fleet.app.state.guesses = Guesses()
            answer = fleet.ask("GET", path, fleet.credentials[who])
            assert answer.status in (401, 403, 404), (path, who)
            assert answer.code, "nothing but a problem"
