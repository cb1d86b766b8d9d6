"""Enrolment with a certificate: the same again for who asks again, and never a token that is burnt."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import certificates_world
import pytest
import sqlalchemy as sa
import sqlalchemy.event
from cloud_world import World
from config_world import refused
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from shallop_cloud import authorities, errors, files
from shallop_cloud.services import devices

SECRET = "a-secret-of-the-robot-of-at-least-32-characters"
MANY = 100


@pytest.fixture
def builtin(world: World) -> authorities.BuiltIn:
    made = authorities.BuiltIn.at(world.directory / "ca", world.ashore.shore.database)
    world.sign_certificates(made)
    return made


@pytest.fixture
def token(world: World) -> str:
    return world.must("POST", "/v1/devices", {"name": "amr-1"})["token"]


def body(token: str, csr: str | None, secret: str = SECRET) -> dict[str, Any]:
    return {"token": token, "secret": secret, "csr": csr}


def enrol(world: World, token: str, csr: str | None, secret: str = SECRET) -> str | None:
    """The certificate that the answer has."""
    return world.must("POST", "/v1/enrolments", body(token, csr, secret))["mqtt"]["certificate"]


def serial(certificate: str) -> str:
    return f"{x509.load_pem_x509_certificate(certificate.encode()).serial_number:x}"


def listed(builtin: authorities.BuiltIn) -> set[str]:
    found = x509.load_pem_x509_crl((builtin.directory / "crl.pem").read_bytes())
    return {f"{each.serial_number:x}" for each in found}


def history(world: World) -> list[tuple[str, Any]]:
    entries = world.must("GET", "/v1/devices/amr-1/history")["data"]
    return [(entry["action"], entry["after"]) for entry in entries]


def test_who_asks_again_gets_the_same(world: World, builtin: authorities.BuiltIn, token: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    first = enrol(world, token, certificates_world.request(key))
    assert first is not None
    assert enrol(world, token, certificates_world.request(key)) == first
    (certified,) = [after for action, after in history(world) if action == "device_certified"]
    assert certified["serial"] == serial(first)


def test_without_an_authority_or_a_request_there_is_none(world: World, token: str) -> None:
    assert enrol(world, token, certificates_world.request()) is None
    world.sign_certificates(authorities.BuiltIn.at(world.directory / "ca", world.ashore.shore.database))
    assert enrol(world, token, None) is None
    assert enrol(world, token, certificates_world.request()) is not None


def test_a_request_that_cannot_be_taken_burns_nothing(world: World, builtin: authorities.BuiltIn, token: str) -> None:
    assert refused(world, "/v1/enrolments", body(token, "nonsense")) == (422, "csr_invalid")
    assert refused(world, "/v1/enrolments", body(token, "x" * 9_000)) == (422, "request_invalid")
    assert enrol(world, token, certificates_world.request(), "another-secret-of-at-least-32-characters")


def test_the_key_of_an_enrolment_stays(world: World, builtin: authorities.BuiltIn, token: str) -> None:
    enrol(world, token, certificates_world.request())
    again = body(token, certificates_world.request())
    assert refused(world, "/v1/enrolments", again) == (409, "certificate_of_another_key")


def test_a_robot_set_up_anew_takes_the_place_of_the_old_one(
    world: World, builtin: authorities.BuiltIn, token: str
) -> None:
    old = enrol(world, token, certificates_world.request())
    assert old is not None
    renewed = world.must("POST", "/v1/devices/amr-1:renew-token")["token"]
    assert listed(builtin) == set(), "until the new token is used, the old robot counts"
    new = enrol(world, renewed, certificates_world.request(), "another-secret-of-at-least-32-characters")
    assert new is not None
    assert listed(builtin) == {serial(old)}
    assert ("device_enrolled", {"revoked_certificate": serial(old)}) in history(world)


class Broken:
    """An authority that fails as often as it was told, and then asks the one behind it."""

    signs = True

    def __init__(self, behind: authorities.Authority, times: int) -> None:
        self._behind = behind
        self._left = times
        self.asked = 0

    def sign(self, *asked: Any) -> authorities.Signed:
        self.asked += 1
        self._left -= 1
        if self._left >= 0:
            raise errors.Problem(503, "certificate_unavailable", "not now")
        return self._behind.sign(*asked)

    def write_list(self, *_: Any) -> bool:
        return False


def test_an_authority_that_is_away_burns_nothing(world: World, builtin: authorities.BuiltIn, token: str) -> None:
    world.sign_certificates(Broken(builtin, 2))
    csr = certificates_world.request()
    for _ in range(2):
        assert refused(world, "/v1/enrolments", body(token, csr)) == (503, "certificate_unavailable")
    assert enrol(world, token, csr)


def at_once(act: Any) -> None:
    threads = [threading.Thread(target=act, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_a_hundred_robots_with_one_token_one_enrols(world: World, builtin: authorities.BuiltIn, token: str) -> None:
    outcomes: Counter[int] = Counter()
    requests = [certificates_world.request() for _ in range(MANY)]

    def ask(number: int) -> None:
        secret = f"a-secret-of-robot-number-{number:03}-of-many-others"
        outcomes[world.api("POST", "/v1/enrolments", body(token, requests[number], secret)).status_code] += 1

    at_once(ask)
    assert outcomes[201] == 1
    assert outcomes[201] + outcomes[401] + outcomes[429] == MANY
    assert [action for action, _ in history(world)] == ["device_created", "device_enrolled", "device_certified"]


def test_a_robot_that_asks_a_hundred_times_at_once_gets_one_answer(
    world: World, builtin: authorities.BuiltIn, token: str
) -> None:
    counting = Broken(builtin, 0)
    world.sign_certificates(counting)
    csr = certificates_world.request()
    answers: list[tuple[int, Any]] = []

    def ask(_: int) -> None:
        answer = world.api("POST", "/v1/enrolments", body(token, csr))
        answers.append((answer.status_code, answer.json()))

    at_once(ask)
    assert {status for status, _ in answers} == {201}
    assert all(answer == answers[0][1] for _, answer in answers)
    assert counting.asked == 1


class Killed(BaseException):
    """The server is gone; nothing after it runs. Not an Exception, so that no handler swallows it."""


class Fuse:
    """Kills the server before the step that it was told to, of those on the database and on the data directory."""

    def __init__(self, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, before: int) -> None:
        self.steps = 0
        self._before = before
        self._engine = engine
        write = files.write

        def written(path: Path, data: bytes) -> None:
            self.step()
            write(path, data)

        monkeypatch.setattr(files, "write", written)
        sqlalchemy.event.listen(engine, "before_cursor_execute", self.step)
        sqlalchemy.event.listen(engine, "commit", self.step)

    def step(self, *_: Any) -> None:
        self.steps += 1
        if self.steps == self._before:
            raise Killed

    def take_out(self) -> None:
        sqlalchemy.event.remove(self._engine, "before_cursor_execute", self.step)
        sqlalchemy.event.remove(self._engine, "commit", self.step)


def test_killed_at_any_step_a_server_burns_no_token(
    world: World, builtin: authorities.BuiltIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each statement, commit and file, between the commit and the answer among them. Whoever asked first may ask
    again, and nobody else enrols once it was recorded that it did."""
    from shallop_cloud.services import certificates

    shore = world.ashore.app.state.shore
    engine = shore.database.engine
    for step in range(1, 1000):
        made = world.must("POST", "/v1/devices", {"name": f"robot-{step}"})
        csr = authorities.read_request(certificates_world.request())
        first = None
        with monkeypatch.context() as patch:
            fuse = Fuse(engine, patch, step)
            try:
                device = devices.enrol(shore, made["token"], SECRET).devices[0].device
                first = certificates.ensure(shore, device, csr)
            except Killed:
                pass
            fuse.take_out()
        again = world.must("POST", "/v1/enrolments", body(made["token"], csr.pem))
        assert again["device"]["id"] == made["id"]
        assert first in (None, again["mqtt"]["certificate"])
        other = body(made["token"], csr.pem, "another-secret-of-at-least-32-characters")
        assert refused(world, "/v1/enrolments", other) == (401, "token_invalid")
        actions = [row["action"] for row in world.must("GET", f"/v1/devices/{made['id']}/history")["data"]]
        assert actions == ["device_created", "device_enrolled", "device_certified"]
        if first is not None:
            break
    assert step > 15
    assert world.must("GET", "/v1/history:verify")["whole"]
