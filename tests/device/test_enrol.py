"""Enrolment against a cloud that answers as it was told to."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import certificates_world
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from shallop_device import backoff, enrol, errors, identity, schema, state, store, testing, tls
from shallop_protocol import keys, trust

AT_ONCE = backoff.Backoff(first=0.0, cap=0.0)


@pytest.fixture
def call(tmp_path: Path, cloud):
    """Enrols, with a state directory and a root below ``tmp_path``."""

    def call(token: str = "token", server: str | None = None, root: str = "root", state_dir: str = "state"):
        return enrol.enrol(server or cloud.url, token, tmp_path / state_dir, tmp_path / root, patience=AT_ONCE)

    return call


def problem(code: str, detail: str) -> dict[str, str]:
    return {"type": "about:blank", "title": "No", "code": code, "detail": detail}


def test_a_token_gives_an_identity(call, cloud, shore, tmp_path):
    shore.floor = (1, 7)
    cloud.will_answer((201, shore.answer("mqtts://broker.example.com", "5")))

    who = call(server=cloud.url + "/")

    (asked,) = cloud.asked
    request = x509.load_pem_x509_csr(asked.pop("csr").encode())
    assert request.is_signature_valid
    assert isinstance(request.public_key().curve, ec.SECP256R1)
    assert asked == {
        "path": "/v1/enrolments",
        "token": "token",
        "secret": who.password,
        "agent_version": enrol.__version__,
    }
    assert len(who.password) >= 43
    assert (who.device, who.wire_id, who.name) == (shore.device, shore.device.lower(), "amr-1")
    assert (who.server, who.root) == (cloud.url, tmp_path / "root")
    assert (who.broker, who.protocol) == (identity.Broker("broker.example.com", 8883, tls=True), "5")
    assert who.anchor == trust.Trust(who.wire_id, keys.Roots((shore.root.key,)), shore.listed, (1, 7))
    assert who.password not in repr(who)
    memory = store.Store.open_to_read(tmp_path / "state")
    assert memory.identity == who
    memory.close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / schema.FILE).stat().st_mode) == 0o600
    assert (tmp_path / "root").is_dir()


def test_a_lost_answer_is_asked_for_again_with_the_same_secret(call, cloud, shore):
    cloud.will_answer(None, (503, {}), (429, {}), (200, shore.answer()))

    who = call()

    assert len(cloud.asked) == 4
    assert {asked["secret"] for asked in cloud.asked} == {who.password}


def test_the_secret_is_durable_before_it_is_sent_and_survives_a_power_cut(call, cloud, shore, tmp_path):
    cloud.will_answer(None)
    with pytest.raises(errors.AgentError, match="gave up after 6 attempts"):
        call()
    memory = store.Store.open_to_read(tmp_path / "state")
    assert (memory.identity, memory.enrolling.secret) == (None, cloud.asked[0]["secret"])
    memory.close()
    cloud.will_answer((200, shore.answer()))

    who = call()

    assert {asked["secret"] for asked in cloud.asked} == {who.password}


def test_another_token_gets_another_secret(call, cloud, shore):
    cloud.will_answer((401, problem("unknown_token", "the token is not known")), (201, shore.answer()))
    with pytest.raises(errors.NotAuthorized, match="the token is not known") as error:
        call("wrong")
    assert error.value.exit_code == 4

    call("right")

    first, second = (asked["secret"] for asked in cloud.asked)
    assert first != second


def test_repeating_gives_the_same_device(call, cloud, shore):
    cloud.will_answer((201, shore.answer()), (200, shore.answer()))

    assert call() == call()

    first, second = (asked["secret"] for asked in cloud.asked)
    assert first == second


def test_an_enrolled_directory_takes_no_other_token_root_or_device(call, cloud, shore):
    other = shore.answer()
    other["device"]["id"] = "DEV-0000000000000000"
    cloud.will_answer((201, shore.answer()), (200, other))
    call()

    with pytest.raises(errors.AgentError, match=r"enrolled already: amr-1 \(DEV-0123456789ABCDEF\)"):
        call("another")
    with pytest.raises(errors.AgentError, match="the root does not change"):
        call(root="elsewhere")
    assert len(cloud.asked) == 1
    with pytest.raises(errors.AgentError, match="answered for DEV-0000000000000000"):
        call()


@pytest.mark.parametrize("server", ["", "broker.example.com", "ftp://x", "http://", "http://x:99999", "http://[x"])
def test_a_bad_address_is_a_usage_error(server, call):
    with pytest.raises(errors.BadUsage, match="is not a server's address") as error:
        enrol.enrol(server, "token", Path("/nonexistent/state"), Path("/nonexistent/root"))
    assert error.value.exit_code == 2


def test_an_empty_token_is_a_usage_error(call):
    with pytest.raises(errors.BadUsage, match="token is empty"):
        call(" ")


def test_an_unreachable_server_is_said_so(call, cloud):
    with pytest.raises(errors.AgentError, match=r"cannot reach http://127\.0\.0\.1:1: .*refused; gave up") as error:
        call(server="http://127.0.0.1:1")
    assert error.value.exit_code == 1


def test_a_refusal_is_shown_in_the_clouds_words(call, cloud):
    cloud.will_answer((409, problem("name_taken", "the name is taken")), (404, {"title": "Not here"}), (400, {}))

    for words in ("the name is taken", "Not here", "400 Bad Request"):
        with pytest.raises(errors.AgentError, match=words):
            call()


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b'{"detail"'])
def test_a_refusal_that_is_no_problem_document(body, call, cloud):
    cloud.answers = [(403, body)]

    with pytest.raises(errors.NotAuthorized, match="403 Forbidden"):
        call()


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer["device"].pop("id"),
        lambda answer: answer["device"].update(id="../../etc"),
        lambda answer: answer["mqtt"].update(url="http://x"),
        lambda answer: answer["mqtt"].update(url="mqtt://x:99999"),
        lambda answer: answer["mqtt"].update(protocol="4"),
        lambda answer: answer["mqtt"].update(topic_root="a/#"),
        lambda answer: answer.pop("trust"),
        lambda answer: answer.pop("floor"),
        lambda answer: answer["floor"].update(generation=-1),
        lambda answer: answer["trust"].update(roots=[]),
        lambda answer: answer["trust"].update(roots=["AAAA"]),
        lambda answer: answer["trust"].update(roots=[testing.Shore(2).root.key.text]),
        lambda answer: answer["trust"].update(threshold=0),
        lambda answer: answer["trust"].update(threshold=2),
        lambda answer: answer["trust"].update(key_list="{}"),
    ],
)
def test_an_answer_that_cannot_be_used_is_not_kept(change, call, cloud, shore, tmp_path):
    answer = shore.answer()
    change(answer)
    cloud.will_answer((201, answer))

    with pytest.raises(errors.AgentError, match="gave an answer that cannot be used"):
        call()

    memory = store.Store.open_to_read(tmp_path / "state")
    assert memory.identity is None
    memory.close()


def test_what_is_not_json_is_said_so(call, cloud):
    cloud.answers = [(200, b"<html>hello</html>")]

    with pytest.raises(errors.AgentError, match="is this the address of a shallop cloud"):
        call()


def test_a_directory_in_use_is_refused(call, cloud, tmp_path):
    with (
        state.locked(tmp_path / "state"),
        pytest.raises(errors.AgentError, match="another shallopd uses the state directory"),
    ):
        call()


def test_directories_that_cannot_be_made_are_said_so(call, cloud, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(errors.AgentError, match="cannot make the configuration root"):
        call(root="file/root")
    with pytest.raises(errors.AgentError, match="cannot use the state directory"):
        call(state_dir="file/state")


def test_a_password_in_the_clear_is_warned_of(caplog, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.AgentError):
        enrol.enrol("http://fleet.example.com", "token", tmp_path / "file", tmp_path)

    assert "travel unencrypted" in caplog.text


def certified(answer: dict[str, Any], csr: str) -> dict[str, Any]:
    """An answer with a certificate of the key in a request."""
    key = x509.load_pem_x509_csr(csr.encode()).public_key()
    return {**answer, "mqtt": {**answer["mqtt"], "certificate": certificates_world.signed(key)}}


def test_a_certificate_comes_with_the_key_that_was_made_before_it_was_asked_for(call, cloud, shore, tmp_path):
    cloud.will_answer(None)
    with pytest.raises(errors.AgentError, match="gave up"):
        call()
    cloud.will_answer((201, certified(shore.answer(), cloud.asked[0]["csr"])))

    who = call()

    assert len({certificates_world.key_of(asked["csr"]) for asked in cloud.asked}) == 1
    assert who.certificate.count("-----BEGIN CERTIFICATE-----") == 1
    assert who.certificate.count("-----BEGIN PRIVATE KEY-----") == 1
    assert "PRIVATE KEY" not in repr(who)
    tls.Trust(own=who.certificate).context()
    memory = store.Store.open_to_read(tmp_path / "state")
    assert memory.identity == who
    memory.close()


def test_another_token_gets_another_key(call, cloud, shore):
    cloud.will_answer((401, problem("token_invalid", "no")), (201, shore.answer()))
    with pytest.raises(errors.NotAuthorized):
        call("wrong")
    call("right")

    first, second = (certificates_world.key_of(asked["csr"]) for asked in cloud.asked)
    assert first != second


@pytest.mark.parametrize("make", [lambda: "no certificate", lambda: certificates_world.signed()])
def test_a_certificate_that_is_not_its_own_is_not_kept(make, call, cloud, shore, tmp_path):
    answer = shore.answer()
    answer["mqtt"]["certificate"] = make()
    cloud.will_answer((201, answer))

    with pytest.raises(errors.AgentError, match="/mqtt/certificate"):
        call()

    memory = store.Store.open_to_read(tmp_path / "state")
    assert memory.identity is None
    memory.close()
