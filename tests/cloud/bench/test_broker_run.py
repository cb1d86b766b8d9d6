"""The broker in a thread and in the foreground, and the clients that people really use."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator

import paho.mqtt.client as mqtt
import pytest
from cloud.bench.raw_mqtt import BOUND, RawClient, password_of, settings_for
from paho.mqtt.enums import CallbackAPIVersion
from shallop_cloud.bench.broker import BenchBroker, BrokerStartError
from shallop_cloud.bench.broker_run import BrokerThread
from shallop_cloud.bench.broker_settings import BrokerSettings

ROOT = "shallop/v1"
needs_mosquitto = pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="mosquitto is not installed")


@pytest.fixture
def settings(tmp_path) -> BrokerSettings:
    return settings_for(tmp_path, ["cloud", "monitor", "dev-a"])


@contextlib.contextmanager
def paho(address: tuple[str, int], user: str, protocol: mqtt.MQTTProtocolVersion = mqtt.MQTTv311) -> Generator:
    """A client and the events that it reported, connected or refused."""
    events: queue.Queue[tuple] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=protocol)
    client.username_pw_set(user, password_of(user))
    client.on_connect = lambda client, userdata, flags, code, properties: events.put(("connected", str(code)))
    client.on_disconnect = lambda *_: events.put(("disconnected",))
    client.on_subscribe = lambda *_: events.put(("subscribed",))
    client.on_message = lambda client, userdata, message: events.put((message.topic, message.payload))
    client.connect(*address)
    client.loop_start()
    try:
        yield client, events
    finally:
        client.disconnect()
        client.loop_stop()


def is_closed(connection: socket.socket) -> bool:
    """Whether the broker ends a connection in time, in order or by a reset."""
    connection.settimeout(BOUND)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def connects(address: tuple[str, int]) -> int:
    async def code() -> int:
        client = await RawClient.open(address)
        try:
            return await client.connect("dev-a")
        finally:
            await client.close()

    return asyncio.run(code())


def test_it_accepts_connections_when_start_returns_and_none_after_stop(settings):
    threads = threading.active_count()
    broker = BrokerThread(settings)
    broker.start()
    host, port = address = broker.address
    assert (host, port > 0) == ("127.0.0.1", True)
    assert connects(address) == 0
    with socket.create_connection(address) as connection:
        broker.stop()
        assert is_closed(connection)
    with pytest.raises(ConnectionRefusedError):
        connects(address)
    assert threading.active_count() == threads
    broker.stop()


def test_it_can_be_started_again_and_has_forgotten_everything(settings):
    broker = BrokerThread(settings)
    for _ in range(2):
        with broker, paho(broker.address, "cloud") as (client, events):
            assert events.get(timeout=BOUND) == ("connected", "Success")
            client.subscribe(f"{ROOT}/#", qos=1)
            assert events.get(timeout=BOUND) == ("subscribed",)
            client.publish(f"{ROOT}/dev-a/desired", b"kept", qos=1, retain=True).wait_for_publish(BOUND)
            assert events.get(timeout=BOUND) == (f"{ROOT}/dev-a/desired", b"kept")
            assert events.empty()


def test_it_can_be_started_again_at_the_same_address(settings):
    with BrokerThread(settings) as first:
        host, port = first.address
        assert connects(first.address) == 0
    with BrokerThread(dataclasses.replace(settings, bind=f"{host}:{port}")) as second:
        assert connects(second.address) == 0


def test_misuse_is_told(settings):
    broker = BrokerThread(settings)
    with pytest.raises(RuntimeError, match="not running"):
        _ = broker.address
    with broker, pytest.raises(RuntimeError, match="running already"):
        broker.start()


def test_an_address_in_use_is_told_and_leaves_nothing_behind(settings, caplog):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        broker = BrokerThread(dataclasses.replace(settings, bind=taken))
        with pytest.raises(BrokerStartError, match=rf"cannot listen on {taken}: .*in use.* stop it or choose another"):
            broker.start()
    assert caplog.records == []
    with broker:
        assert connects(broker.address) == 0


@pytest.mark.parametrize(("content", "problem"), [(None, "No such file"), ("nonsense", "line 1: expected user:")])
def test_a_password_file_that_cannot_be_used_is_told(settings, content: str | None, problem: str):
    settings.password_file.unlink()
    if content:
        settings.password_file.write_text(content)
    with pytest.raises(BrokerStartError, match=rf"mqtt-passwords: {problem}"):
        BrokerThread(settings).start()


def test_a_configuration_without_our_plugins_is_refused():
    async def construct() -> None:
        BenchBroker({"plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}})

    with pytest.raises(BrokerStartError, match=r"lacks the plugin shallop_cloud\.bench\.broker_plugins\.PasswordFile"):
        asyncio.run(construct())


def test_ordinary_comings_and_goings_are_no_warnings_and_no_password_is_logged(settings, caplog):
    caplog.set_level(logging.DEBUG)
    with BrokerThread(settings) as broker:
        with paho(broker.address, "dev-a") as (_, events):
            assert events.get(timeout=BOUND) == ("connected", "Success")
        connects(broker.address)
        socket.create_connection(broker.address).close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert [record for record in caplog.records if record.name.startswith(("amqtt", "transitions"))] == []
    assert "dev-a connected as user dev-a" in caplog.messages
    assert "secret" not in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_a_signal_ends_it_in_order(settings, number: signal.Signals):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = (
        "import asyncio, pathlib, sys\n"
        "from shallop_cloud.bench import broker_run, broker_settings\n"
        "file = pathlib.Path(sys.argv[2])\n"
        "asyncio.run(broker_run.serve(broker_settings.BrokerSettings(bind=sys.argv[1], password_file=file)))\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, f"127.0.0.1:{port}", str(settings.password_file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + BOUND
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    connection = socket.create_connection(("127.0.0.1", port))
                    break
                except ConnectionRefusedError:
                    time.sleep(0.02)
            with connection:
                os.kill(process.pid, number)
                assert is_closed(connection)
            assert process.communicate(timeout=BOUND) == (None, b"")
            assert process.returncode == 0
        finally:
            process.kill()


def test_paho_delivers_through_it(settings):
    with BrokerThread(settings) as broker, paho(broker.address, "monitor") as (monitor, heard):
        assert heard.get(timeout=BOUND) == ("connected", "Success")
        monitor.subscribe(f"{ROOT}/+/report", qos=1)
        assert heard.get(timeout=BOUND) == ("subscribed",)
        with paho(broker.address, "dev-a") as (device, events):
            assert events.get(timeout=BOUND) == ("connected", "Success")
            device.publish(f"{ROOT}/dev-a/report", b"{}", qos=1, retain=True).wait_for_publish(BOUND)
            assert heard.get(timeout=BOUND) == (f"{ROOT}/dev-a/report", b"{}")


def test_paho_with_mqtt_5_learns_why(settings):
    with BrokerThread(settings) as broker, paho(broker.address, "dev-a", mqtt.MQTTv5) as (_, events):
        assert events.get(timeout=BOUND) == ("connected", "Unsupported protocol version")


@pytest.mark.mosquitto
@needs_mosquitto
def test_the_tools_of_mosquitto_work_with_it(settings):
    with BrokerThread(settings) as broker:
        where = ["-h", broker.address[0], "-p", str(broker.address[1])]
        report = ["-t", f"{ROOT}/dev-a/report"]
        device = ["-u", "dev-a", "-P", password_of("dev-a"), "-i", "dev-a"]
        monitor = ["-u", "monitor", "-P", password_of("monitor")]
        for qos in "012":
            message = ["-q", qos, "-r", "-m", f"at {qos}"]
            subprocess.run(["mosquitto_pub", *where, *device, *report, *message], check=True, timeout=BOUND)
            seen = subprocess.run(
                ["mosquitto_sub", *where, *monitor, *report, "-q", qos, "-C", "1"],
                check=True,
                timeout=BOUND,
                capture_output=True,
                text=True,
            )
            assert seen.stdout == f"at {qos}\n"


@pytest.mark.mosquitto
@pytest.mark.skipif(shutil.which("mosquitto", path="/usr/sbin:/usr/bin") is None, reason="mosquitto is not installed")
def test_mosquitto_takes_our_password_file(settings, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {settings.password_file}\n")
    if os.geteuid() == 0:
        config.write_text(f"user root\n{config.read_text()}")
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    assert mosquitto is not None
    with subprocess.Popen(
        [mosquitto, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + BOUND
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    assert connects(("127.0.0.1", port)) == 0
                    break
                except ConnectionRefusedError:
                    time.sleep(0.02)
            else:
                pytest.fail("mosquitto did not start")
        finally:
            process.terminate()
