"""The agent as a process of its own, against a real mosquitto: what the cloud would hear and see."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from shallop_device import daemon, inbox, settings, store, testing
from shallop_protocol import keys, messages, strict_json
from shallop_protocol.statuses import Activity

pytestmark = pytest.mark.mosquitto

DEVICE = "dev-0123456789abcdef"
ROOT = f"shallop/v1/{DEVICE}"


def enrolled(directory: Path, shore: testing.Shore, url: str, protocol: str) -> Path:
    """The state directory of an enrolled device."""
    (directory / "root").mkdir()
    memory = store.Store.open(directory / "state")
    memory.begin_enrolment("http://127.0.0.1", directory / "root", "token")
    memory.finish_enrolment(strict_json.dumps(shore.answer(url, protocol)))
    memory.close()
    return directory / "state"


class Running:
    """The agent in a thread of the test."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.start()

    def start(self) -> None:
        self.inbox = inbox.Inbox()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def stop(self) -> None:
        self.inbox.put(inbox.Stop())
        self.thread.join(15)
        assert not self.thread.is_alive()

    def _run(self) -> None:
        daemon.run(settings.Settings(state=self.state, retry=settings.Retry(cap_s=0.2)), self.inbox)


class Process:
    """The agent in a process of its own."""

    def __init__(self, state: Path, log: Path) -> None:
        self.state = state
        self.log = log
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "shallop_device", "run", "--state", str(self.state)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, "--retry-cap", "0.2", "--log-level", "debug"], stderr=log)

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(15)


@pytest.fixture(params=["3.1.1", "5"])
def agent(request, tmp_path, shore, broker):
    agent = Running(enrolled(tmp_path, shore, broker.url, request.param))
    yield agent
    agent.stop()


@pytest.fixture
def process(tmp_path, shore, broker):
    process = Process(enrolled(tmp_path, shore, broker.url, "3.1.1"), tmp_path / "log")
    yield process
    if process.process.poll() is None:
        process.stop(signal.SIGKILL)


def reports(watch) -> list[messages.Report]:
    return [testing.read_report(body) for body in watch.of(f"{ROOT}/report")]


def presences(watch) -> list[tuple[str, int]]:
    found = [messages.parse_presence(body, DEVICE) for body in watch.of(f"{ROOT}/presence")]
    return [(presence.status, presence.connection) for presence in found]


def test_an_order_is_put_in_force_and_reported(agent, tmp_path, shore, watch, eventually):
    manifest = shore.manifest({"nav2/params.yaml": "speed: 1\n"})
    watch.publish(f"{ROOT}/desired", shore.seal(shore.order(manifest)), retain=True)

    eventually(lambda: reports(watch) and reports(watch)[-1].current == manifest.id)

    assert (tmp_path / "root/current/nav2/params.yaml").read_text() == "speed: 1\n"
    (deployment,) = reports(watch)[-1].deployments
    assert (deployment.activity, deployment.digest) == (Activity.DEPLOYED, manifest.digest)


def test_birth_farewell_and_will_carry_the_connection_number(process, watch, eventually):
    eventually(lambda: ("online", 1) in presences(watch))
    assert process.stop(signal.SIGTERM) == 0
    eventually(lambda: presences(watch)[-1] == ("offline", 1))

    process.start()
    eventually(lambda: presences(watch)[-1] == ("online", 2))
    process.stop(signal.SIGKILL)

    eventually(lambda: presences(watch)[-1] == ("offline", 2))


def test_what_is_retained_is_heard_after_a_start(agent, tmp_path, shore, watch, eventually):
    eventually(lambda: reports(watch))
    agent.stop()
    manifest = shore.manifest({"a": "1"})
    watch.publish(f"{ROOT}/desired", shore.seal(shore.order(manifest)), retain=True)

    agent.start()

    eventually(lambda: (tmp_path / "root/current/a").exists())


def test_an_amnesiac_broker_is_told_again(agent, tmp_path, shore, broker, watch, eventually):
    watch.publish(f"{ROOT}/desired", shore.seal(shore.order(shore.manifest({"a": "1"}))), retain=True)
    eventually(lambda: reports(watch) and reports(watch)[-1].current)
    last = reports(watch)[-1]

    broker.stop()
    watch.heard.clear()
    broker.start()

    eventually(lambda: reports(watch))
    again = reports(watch)[-1]
    assert again == last.model_copy(update={"seq": again.seq, "at": again.at, "nonce": again.nonce})
    assert (tmp_path / "root/current/a").read_text() == "1"


def test_a_hello_is_answered_with_the_same_under_a_new_number(agent, watch, eventually):
    eventually(lambda: reports(watch))
    (first,) = reports(watch)

    watch.publish("shallop/v1/cloud/hello", messages.Hello(spread_s=0.05).to_bytes())

    eventually(lambda: len(reports(watch)) == 2)
    again = reports(watch)[1]
    assert again.seq > first.seq
    assert again.model_copy(update={"seq": first.seq, "at": first.at}) == first


def test_a_poison_message_is_reported_and_harms_nothing(agent, shore, watch, eventually):
    watch.publish(f"{ROOT}/desired", b"\xff" * 2_000_000, retain=False)
    watch.publish(f"{ROOT}/desired", b"{" * 1000, retain=True)
    eventually(lambda: reports(watch) and reports(watch)[-1].refused)
    manifest = shore.manifest({"a": "1"})
    watch.publish(f"{ROOT}/desired", shore.seal(shore.order(manifest)), retain=True)

    eventually(lambda: reports(watch)[-1].current == manifest.id)

    assert reports(watch)[-1].refused is None


def test_two_agents_cannot_share_a_state_directory(process, watch, eventually):
    eventually(lambda: reports(watch))
    command = [sys.executable, "-m", "shallop_device", "run", "--state", str(process.state)]

    second = subprocess.run(command, capture_output=True, text=True, timeout=15)

    assert second.returncode == 1
    assert second.stderr.startswith("shallopd: another shallopd uses the state directory")


def test_the_log_is_json_and_holds_no_secret(process, shore, watch, eventually):
    watch.publish(f"{ROOT}/desired", shore.seal(shore.order(shore.manifest({"a": "confidential"}))), retain=True)
    eventually(lambda: reports(watch) and reports(watch)[-1].current)
    memory = store.Store.open_to_read(process.state)
    secret = memory.enrolling.secret
    memory.close()
    process.stop(signal.SIGTERM)

    text = process.log.read_text()

    assert [json.loads(line)["level"] for line in text.splitlines()]
    assert secret not in text
    assert "confidential" not in text


def test_a_robot_that_was_away_for_a_rotation_recovers_by_what_is_retained(agent, tmp_path, shore, watch, eventually):
    eventually(lambda: reports(watch))
    agent.stop()
    listed = shore.rotate(keys.KeyState.REVOKED, epochs=1)
    manifest = shore.manifest({"a": "1"})
    watch.publish(f"{ROOT}/desired", shore.seal(shore.order(manifest)), retain=True)
    watch.publish("shallop/v1/cloud/keys", listed, retain=True)

    agent.start()

    eventually(lambda: (tmp_path / "root/current/a").exists())
    eventually(lambda: reports(watch)[-1].current == manifest.id)
    assert (reports(watch)[-1].keys, reports(watch)[-1].epoch) == (2, 2)
