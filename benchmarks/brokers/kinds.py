"""How each broker is started for a probe: with accounts for the cloud and two devices, and their rights if it has any.

None but mosquitto and the bench broker need be here; what is not installed is left out, and said.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import harness
from shallop_cloud.brokers import kinds, nats, rules
from shallop_cloud.brokers.check.peer import Account, Broker, Deadline, NoAnswer
from shallop_cloud.brokers.check.rig import Rig
from shallop_cloud.brokers.rules import Plan, Role, Tls
from shallop_cloud.passwords import hash_password, write_passwords
from shallop_protocol.topics import Access, Kind, Topics

DEVICES = ("check-a", "check-b")
USERS = ("cloud", "monitor", *DEVICES)
HERE = Path(__file__).parent
TOPICS = Topics()


@dataclasses.dataclass(frozen=True)
class Running:
    """A broker to be probed: its name and version, and what `shallop broker check` is told."""

    title: str
    options: tuple[str, ...]


Start = Callable[[Path], contextlib.AbstractContextManager[Running]]


def password(user: str) -> str:
    """The password of a user."""
    return f"secret of {user}"


def _plan(where: Path, port: int, tls: Tls | None = None) -> Plan:
    (where / "mqtt").mkdir(exist_ok=True)
    write_passwords(where / "mqtt" / "passwords", {user: hash_password(password(user)) for user in USERS})
    out = where / f"on-{port}"
    out.mkdir()
    return Plan(where, out, TOPICS, ("127.0.0.1", port), tls=tls)


def _write(kind: str, plan: Plan) -> None:
    for name, text in kinds.WRITERS[kind](plan).files.items():
        (plan.out / name).write_text(text)


def _told(port: int, title: str) -> Running:
    accounts = [f"{user}:{password(user)}" for user in ("cloud", *DEVICES)]
    given = ("--cloud", accounts[0], "--device", accounts[1], "--device", accounts[2])
    return Running(title, (f"mqtt://127.0.0.1:{port}", *given))


def _version(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else "?"


@contextlib.contextmanager
def mosquitto(where: Path) -> Generator[Running]:
    """As `shallop broker config mosquitto` sets it up."""
    program, port = harness.find("mosquitto"), harness.free_port()
    plan = _plan(where, port)
    _write("mosquitto", plan)
    started = harness.Program("mosquitto", [program, "-c", str(plan.out / "mosquitto.conf")], where / "log")
    with harness.running(started, lambda: harness.answers(port)):
        yield _told(port, f"mosquitto {_version(program, '-h')}")


@contextlib.contextmanager
def amqtt(where: Path) -> Generator[Running]:
    """The bench broker."""
    port = harness.free_port()
    plan = _plan(where, port)
    _write("amqtt", plan)
    command = [*harness.SHALLOP, "broker", "run", "--config", str(plan.out / "broker.yaml"), "--log-level", "warning"]
    with harness.running(harness.Program("amqtt", command, where / "log"), lambda: harness.answers(port)):
        yield _told(port, "the bench broker (amqtt 0.12.1)")


@contextlib.contextmanager
def _nats(where: Path, *, kill: bool) -> Generator[Running]:
    """Three servers as `shallop broker config nats` sets them up; the probe is of the second."""
    program = os.environ.get("NATS_SERVER") or harness.find("nats-server")
    tls = _certificates(where)
    names, inner, ports, routes = ("one", "two", "three"), *([harness.free_port() for _ in range(3)] for _ in range(3))
    others = ", ".join(f'"nats://127.0.0.1:{each}"' for each in routes)
    programs: list[harness.Program] = []
    for name, client, port, route in zip(names, inner, ports, routes, strict=True):
        plan = dataclasses.replace(_plan(where, port, tls), servers=3)
        _write("nats", plan)
        text = nats.configuration(plan).replace("127.0.0.1:4222", f"127.0.0.1:{client}")
        own = f'server_name: {name}\ncluster {{ name: shallop, listen: "127.0.0.1:{route}", routes: [{others}] }}\n'
        (plan.out / "nats.conf").write_text(own + text)
        command = [program, "-c", str(plan.out / "nats.conf")]
        programs.append(harness.Program(f"nats-server {name}", command, where / f"log-{name}"))
    title = f"NATS {_version(program, '--version')}, 3 servers"
    with contextlib.ExitStack() as stack:
        for each in programs:  # all of them before the first is waited for: a server alone has no quorum
            each.start()
            stack.callback(each.end)
        for each, port in zip(programs, ports, strict=True):
            harness.wait(f"{each.name} listens", lambda each=each, port=port: each.must_run() and harness.answers(port))
        accounts = ("--cloud", "cloud", "--device", DEVICES[0], "--device", DEVICES[1])
        urls = [f"mqtts://127.0.0.1:{port}" for port in ports]
        options = (*accounts, "--ca", str(where / "ca.pem"), "--certificates", str(where))
        rigs = [_rig(where, port) for port in ports]
        harness.wait("the cluster keeps a message", lambda: _kept(rigs[0], say=True), poll=1.0)
        if kill:
            harness.progress(f"killing {programs[0].name}")
            programs[0].end(signal.SIGKILL)
            started, title = time.monotonic(), f"{title}, one killed"
            harness.wait("a robot gets what was retained before", lambda: _kept(rigs[1], say=False), within=120)
            harness.progress(f"a robot got what was retained before after {time.monotonic() - started:.1f} s")
        yield Running(title, (urls[1], *options))


def _rig(where: Path, port: int) -> Rig:
    cloud, *devices = (Account(user, "", where / f"{user}.pem", where / f"{user}.key") for user in ("cloud", *DEVICES))
    return Rig(
        Broker("127.0.0.1", port, True, where / "ca.pem", Deadline(300)), TOPICS, cloud, (devices[0], devices[1])
    )


def _kept(rig: Rig, *, say: bool) -> bool:
    """Whether a device gets what is retained for it, in one attempt; before that, the cloud may say it."""
    topic = rig.topic(rig.devices[0], Kind.DESIRED)
    with contextlib.suppress(NoAnswer):
        if say:
            with rig.opened(rig.cloud) as cloud:
                cloud.publish(topic, b"kept", retain=True)
        with rig.opened(rig.devices[0]) as device:
            device.subscribe(topic)
            return any(each.payload == b"kept" for each in device.heard(within=1.0))
    return False


def nats_whole(where: Path) -> contextlib.AbstractContextManager[Running]:
    """All three run."""
    return _nats(where, kill=False)


def nats_killed(where: Path) -> contextlib.AbstractContextManager[Running]:
    """One is killed before the probe."""
    return _nats(where, kill=True)


def _certificates(where: Path) -> Tls:
    sys.path.insert(0, str(harness.REPOSITORY / "tests"))
    from certificates_world import Authority

    authority = Authority(where, "ca")
    for name in USERS:
        authority.sign(name)
    return Tls(*authority.sign("broker"), authority.file)


@contextlib.contextmanager
def rabbitmq(where: Path) -> Generator[Running]:
    """RabbitMQ with its MQTT plugin and topic permissions. It binds no client id to a user."""
    program, port = harness.find("rabbitmq-server"), harness.free_port()
    distribution, amqp = harness.free_port(), harness.free_port()
    lines = [f"listeners.tcp.1 = 127.0.0.1:{amqp}", f"mqtt.listeners.tcp.1 = 127.0.0.1:{port}"]
    lines += ["mqtt.allow_anonymous = false", "log.console = true", "log.file = false"]
    (where / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    (where / "plugins").write_text("[rabbitmq_mqtt].\n")
    mapper = str(harness.free_port())  # Erlang's daemon for names outlives the node: this one is ours alone
    node = {"RABBITMQ_NODENAME": f"probe-{port}@localhost", "HOME": str(where), "ERL_EPMD_PORT": mapper}
    variables = {
        **node,
        "RABBITMQ_CONFIG_FILE": str(where / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(where / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(where / "mnesia"),
        "RABBITMQ_LOG_BASE": str(where),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_PID_FILE": str(where / "pid"),
    }
    shutil.chown(where, "rabbitmq")
    where.parent.chmod(0o755)
    script = Path("/usr/lib/rabbitmq/bin")
    started = harness.Program("rabbitmq", ["runuser", "-u", "rabbitmq", "--", str(script / program.split("/")[-1])],
                              where / "log", variables)  # fmt: skip

    def control(*words: str) -> None:
        command = ["runuser", "-u", "rabbitmq", "--", str(script / "rabbitmqctl"), *words]
        environment = {**os.environ, **node}
        subprocess.run(command, env=environment, cwd=where, check=True, capture_output=True, timeout=60)

    with harness.running(started, lambda: harness.answers(port)):
        try:
            for user in USERS:
                control("add_user", user, password(user))
                control("set_permissions", user, "^mqtt-subscription-.*", ".*", ".*")
                control("set_topic_permissions", user, "amq.topic", *_routing_keys(user))
            yield _told(port, f"RabbitMQ {_installed('rabbitmq-server')}")
        finally:
            control("stop")
            subprocess.run(
                [harness.find("epmd"), "-port", mapper, "-kill"], check=False, capture_output=True, timeout=30
            )


def _routing_keys(user: str) -> tuple[str, str]:
    """What a user may write and read, as RabbitMQ wants it: expressions over routing keys."""
    found = []
    for access in (Access.PUBLISH, Access.SUBSCRIBE):
        filters = [right.of(user) for right in _rights(user) if right.access is access]
        keys = [re.escape(each.replace("/", ".")).replace(r"\+", r"[^.]+").replace(r"\#", ".*") for each in filters]
        found.append(f"^({'|'.join(keys)})$" if keys else "^$")
    return found[0], found[1]


def _rights(user: str) -> list[rules.Right]:
    role = Role.DEVICE if user in DEVICES else Role(user)
    return [each for each in rules.rights(TOPICS) if each.role is role]


def _installed(package: str) -> str:
    return _version("dpkg-query", "-W", "-f", "${Version}", package)


@contextlib.contextmanager
def aedes(where: Path) -> Generator[Running]:
    """aedes, below $AEDES (npm install aedes there), with the rights in its hooks."""
    home, port = Path(os.environ.get("AEDES", "none")), harness.free_port()
    package = home / "node_modules" / "aedes" / "package.json"
    if not package.exists():
        raise harness.BenchmarkError("aedes is not installed: npm install aedes somewhere, and say where in $AEDES")
    words = {Access.PUBLISH: "publish", Access.SUBSCRIBE: "subscribe"}
    known: dict[str, Mapping[str, Any]] = {}
    for user in USERS:
        filters = {word: [r.of(user) for r in _rights(user) if r.access is access] for access, word in words.items()}
        known[user] = {"password": password(user), "device": user in DEVICES, **filters}
    (where / "users.json").write_text(json.dumps(known))
    command = [harness.find("node"), str(HERE / "aedes.js"), str(port), str(where / "users.json")]
    (where / "node_modules").symlink_to(home / "node_modules")
    with harness.running(harness.Program("aedes", command, where / "log"), lambda: harness.answers(port)):
        yield _told(port, f"aedes {json.loads(package.read_text())['version']}")


@contextlib.contextmanager
def rumqttd(where: Path) -> Generator[Running]:
    """rumqttd, as the Python of $IOTCORE has it in the wheel iotcore. It knows passwords, and no rights."""
    python, port = os.environ.get("IOTCORE", ""), harness.free_port()
    if not python:
        raise harness.BenchmarkError(
            "rumqttd is not installed: pip install iotcore, and say in which Python in $IOTCORE"
        )
    accounts = "".join(f"{json.dumps(user)} = {json.dumps(password(user))}\n" for user in USERS)
    (where / "rumqttd.toml").write_text(f"""\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 5000
max_payload_size = {rules.PAYLOAD_BYTES + 1024}
max_inflight_count = 100
dynamic_filters = true
[v4.1.connections.auth]
{accounts}""")
    program = "import sys; from iotcore import IotCoreBroker; IotCoreBroker(config_path=sys.argv[1]).run_forever()"
    command = [python, "-c", program, str(where / "rumqttd.toml")]
    version = _version(python, "-c", "import importlib.metadata as m; print(m.version('iotcore'))")
    with harness.running(harness.Program("rumqttd", command, where / "log"), lambda: harness.answers(port)):
        yield _told(port, f"rumqttd (iotcore {version})")


KINDS: Mapping[str, Start] = {
    "mosquitto": mosquitto,
    "amqtt": amqtt,
    "nats": nats_whole,
    "nats-killed": nats_killed,
    "rabbitmq": rabbitmq,
    "aedes": aedes,
    "rumqttd": rumqttd,
}
