"""API2:2023 Broken Authentication: guessing is counted and told to stop, and nobody is locked out by who guesses."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator

import pytest
import structlog.testing
from owasp_world import MINE, Answer, Fleet, basic, digest, secret
from shallop_cloud import passwords
from shallop_cloud.services import guesses
from shallop_cloud.services.guesses import Guesses

ATTACKER, HONEST = "198.51.100.7", "203.0.113.9"
CONTENT = f"/v1/device/contents/{digest(MINE)}"
Attempt = Callable[[Fleet, str, int], Answer]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _nothing_was_guessed(fleet: Fleet) -> None:
    fleet.app.state.guesses = Guesses()


def _token(fleet: Fleet, address: str, number: int) -> Answer:
    return fleet.ask("GET", "/v1/whoami", f"Bearer guess-{number}", address=address)


def _device(fleet: Fleet, address: str, number: int) -> Answer:
    return fleet.ask("GET", CONTENT, basic(fleet.mine.id, f"guess-{number}"), address=address)


def _enrolment(fleet: Fleet, address: str, number: int) -> Answer:
    body = {"token": f"shallop-enrol-{number}", "secret": secret("a guesser")}
    return fleet.ask("POST", "/v1/enrolments", body=body, address=address)


def _enrolments(fleet: Fleet, address: str, number: int) -> Answer:
    body = {"enrolments": [{"token": f"shallop-enrol-{number}", "secret": secret("a guesser")}]}
    return fleet.ask("POST", "/v1/enrolments:batch", body=body, address=address)


@pytest.mark.parametrize("attempt", [_token, _device, _enrolment, _enrolments])
def test_guessing_is_told_to_stop_and_then_may_go_on(
    fleet: Fleet, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(guesses.time, "monotonic", lambda: now[0])
    with structlog.testing.capture_logs() as logs:
        statuses = [attempt(fleet, ATTACKER, number).status for number in range(guesses.MOST + 5)]
    assert statuses == [401] * guesses.MOST + [429] * 5
    assert [(each["event"], each["address"]) for each in logs] == [
        ("many wrong credentials come from one address", ATTACKER)
    ], "one line, however many come"
    refused = attempt(fleet, ATTACKER, 0)
    assert (refused.code, int(refused.headers["retry-after"])) == ("too_many_failures", guesses.WITHIN_S)
    assert attempt(fleet, HONEST, 0).status == 401, "another address is not told to stop"
    now[0] += guesses.WITHIN_S + 1
    assert attempt(fleet, ATTACKER, 0).status == 401


def test_who_has_a_good_credential_is_never_locked_out(fleet: Fleet) -> None:
    """Not by a neighbour behind the same address, and though the credential was not seen before."""
    made = fleet.as_admin("POST", "/v1/devices", {"name": "late"}).json
    for attempt in (_token, _device, _enrolment):
        for number in range(guesses.MOST * 2):
            attempt(fleet, ATTACKER, number)
    assert _token(fleet, ATTACKER, 0).status == 429
    for who in ("viewer", "operator", "admin"):
        assert fleet.ask("GET", "/v1/whoami", fleet.credentials[who], address=ATTACKER).status == 200
    assert fleet.ask("GET", CONTENT, fleet.credentials["device"], address=ATTACKER).body == MINE
    body = {"token": made["token"], "secret": secret("late")}
    assert fleet.ask("POST", "/v1/enrolments", body=body, address=ATTACKER).status == 201


def test_many_robots_behind_one_address(fleet: Fleet) -> None:
    """With good credentials they are as many as they like; one that is wrong does not count against the others."""
    for number in range(guesses.MOST * 2):
        assert fleet.ask("GET", CONTENT, fleet.credentials["device"], address=ATTACKER).status == 200
        if number % 4 == 0:
            assert _device(fleet, ATTACKER, number).status == 401


def test_many_who_have_the_same_token_are_no_guessers(fleet: Fleet) -> None:
    """One enrols, the others are told so: a hundred robots set up with one image are a mistake and no attack."""
    made = fleet.as_admin("POST", "/v1/devices", {"name": "image"}).json
    statuses = [
        fleet.ask("POST", "/v1/enrolments", body={"token": made["token"], "secret": secret(str(number))}).status
        for number in range(guesses.MOST + 5)
    ]
    assert statuses == [201] + [401] * (guesses.MOST + 4)


def test_a_missing_token_is_no_guess(fleet: Fleet) -> None:
    answers = {fleet.ask("GET", "/v1/whoami", address=ATTACKER).status for _ in range(guesses.MOST * 2)}
    assert answers == {401}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "KEPT", 50)
    counted = Guesses()
    problem = guesses.errors.Problem(401, "token_invalid", "")
    for number in range(500):
        counted.wrong(f"10.0.{number // 250}.{number % 250}", problem)
    assert len(counted._at) == 50
    assert all(len(each) <= guesses.MOST for each in counted._at.values())


@pytest.mark.parametrize(
    ("one", "another", "alike"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
    ],
)
def test_a_network_of_one_owner_counts_as_one(one: str, another: str, alike: bool) -> None:
    assert (guesses._origin(one) == guesses._origin(another)) is alike


def test_a_guess_takes_no_lock_of_the_database(fleet: Fleet) -> None:
    """Somebody writes all the time; who only guesses an enrolment token is answered meanwhile."""
    with fleet.world.ashore.shore.database.write():
        assert _enrolment(fleet, ATTACKER, 0).status == 401
        assert _enrolments(fleet, ATTACKER, 0).status == 401


def test_passwords_are_compared_in_constant_time() -> None:
    """By ``hmac.compare_digest``; tokens are found by their hash. A comparison by ``==`` is not among the code."""
    tree = ast.parse(inspect.getsource(passwords.verify_password))
    calls = [node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "attr")]
    assert calls == ["compare_digest"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]


def test_a_device_that_does_not_exist_costs_as_much_as_one_that_does(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password is hashed all the same."""
    hashed: list[str] = []
    derive = passwords._derive

    def noted(password: str, *rest: object) -> bytes:
        hashed.append(password)
        return derive(password, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(passwords, "_derive", noted)
    for device in (fleet.mine.id, "DEV-0000000000000000", "no id at all"):
        assert fleet.ask("GET", CONTENT, basic(device, "wrong")).status == 401
    assert hashed == ["wrong"] * 3
