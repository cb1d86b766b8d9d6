"""What all benchmarks share: where they run, the processes that they start and end, and how they say what they found.

A benchmark starts what it needs on free ports of 127.0.0.1 below a directory of its own, and ends it by process id.
With ``--json`` it prints exactly one JSON object: the fields of its result, its name, and the environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx
from shallop_cloud.bench.fleet.ports import free as free_port
from shallop_cloud.brokers import mosquitto as brokers
from shallop_cloud.brokers import rules
from shallop_protocol.topics import Topics

REPOSITORY = Path(__file__).resolve().parent.parent
SHALLOP = [sys.executable, "-c", "import sys; from shallop_cloud.cli import main; sys.exit(main())"]
SHALLOPD = [sys.executable, "-c", "import sys; from shallop_device.cli import main; sys.exit(main())"]
WITHIN_S = 60.0
"""How long anything that is started may take to be there."""

Broker = Literal["mosquitto", "amqtt"]
Result = Mapping[str, Any]  # Any: what JSON can say

_LOAD_BEFORE = os.getloadavg()
_PACKAGES = {"mosquitto": "mosquitto", "etcd": "etcd-server", "nats-server": "nats-server"}
_VERSIONS = {
    "mosquitto": ["mosquitto", "-h"],
    "etcd": ["etcd", "--version"],
    "nats-server": ["nats-server", "--version"],
}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class BenchmarkError(Exception):
    """The benchmark cannot be run here, or something did not happen. The message says what to do."""


# What it ran on


def environment() -> dict[str, Any]:
    """The machine, the programs, and how busy it was when the benchmark was loaded."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * _PAGE / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": filesystem(Path(tempfile.gettempdir())),
        "load_before": [round(each, 2) for each in _LOAD_BEFORE],
        "versions": {name: version for name in _VERSIONS if (version := _version(name))} | {"amqtt": _amqtt_version()},
    }


def filesystem(path: Path) -> str:
    """The type of the filesystem that a path lies on, such as ``ext4``."""
    mounts = [line.split(" ")[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    resolved = path.resolve()
    under = [(point, kind) for point, kind in mounts if resolved.is_relative_to(point)]
    return max(under, key=lambda mount: len(mount[0]))[1]


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        program = find(name)
    except BenchmarkError:
        return None
    done = subprocess.run([program, *_VERSIONS[name][1:]], capture_output=True, text=True, timeout=10, check=False)
    words = (done.stdout or done.stderr).partition("\n")[0].split()
    return next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit()), None)


def _amqtt_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("amqtt")


# What it found


def emit(name: str, result: Result, as_json: bool) -> None:
    """Prints a result: one JSON object on stdout, or a table for people."""
    around = environment()
    if as_json:
        print(json.dumps({"benchmark": name, **result, "environment": around}))
        return
    rows = [(key, _shown(value)) for key, value in result.items()]
    machine = f"{around['cpu']}, {around['cpus']} CPUs, Linux {around['kernel']}, Python {around['python']}"
    versions = ", ".join(f"{program} {version}" for program, version in around["versions"].items())
    rows += [("machine", machine), ("filesystem", around["filesystem"]), ("versions", versions)]
    rows += [("load before", " ".join(str(each) for each in around["load_before"])), ("date", around["date"])]
    width = max(len(key) for key, _ in rows)
    print(name)
    for key, value in rows:
        print(f"  {key:<{width}}  {value}")


def _shown(value: Any) -> str:  # Any: what JSON can say
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    return str(value)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least so many percent of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def progress(text: str) -> None:
    """Says on stderr how far a benchmark is; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


# What it starts


def find(name: str) -> str:
    """The path of a program; Debian puts some where only root looks.

    Raises:
        BenchmarkError: it is not installed.
    """
    program = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if program is None:
        package = _PACKAGES.get(name, name)
        raise BenchmarkError(f"{name} is not installed; on Debian: apt install {package}")
    return program


def wait(what: str, holds: Callable[[], object], within: float = WITHIN_S, poll: float = 0.02) -> None:
    """Waits for a condition; a connection or file that is not there yet counts as not yet.

    Raises:
        BenchmarkError: it does not hold within so many seconds.
    """
    end = time.monotonic() + within
    last: Exception | None = None
    while time.monotonic() < end:
        try:
            if holds():
                return
            last = None
        except (OSError, httpx.HTTPError) as error:
            last = error
        time.sleep(poll)
    raise BenchmarkError(f"after {within:.0f} s it is still not so that {what}" + (f" ({last})" if last else ""))


@contextlib.contextmanager
def directory() -> Generator[Path]:
    """A directory for one run, on whatever filesystem TMPDIR is; deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="shallop-bench-") as path:
        yield Path(path)


@dataclasses.dataclass
class Program:
    """A program, its output in a file, with variables in its environment beside those of this process."""

    name: str
    arguments: Sequence[str]
    log: Path
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it, in a process group of its own and in the directory of its log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env={**os.environ, **self.variables},
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, by force if it does not go in time; if it was not started, nothing happens."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def must_run(self) -> bool:
        """True.

        Raises:
            BenchmarkError: it has ended; its last words are in the message.
        """
        if not self.is_running:
            words = self.log.read_text(errors="replace")[-2_000:].strip()
            raise BenchmarkError(f"{self.name} ended: {words or 'without a word'}")
        return True


@contextlib.contextmanager
def running(program: Program, ready: Callable[[], object]) -> Generator[Program]:
    """A program, started and ready, while the block lasts."""
    program.start()
    try:
        wait(f"{program.name} is ready", lambda: program.must_run() and ready())
        yield program
    finally:
        program.end()


def answers(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


# Brokers and the cloud


def mosquitto(where: Path, port: int, passwords: Path | None = None) -> Program:
    """mosquitto, tuned as `shallop broker config mosquitto` does it, not started yet.

    Client ids are free, unlike there: several connections of one account are what a load generator needs.

    Args:
        where: a directory for its configuration and log.
        passwords: the file that the cloud keeps, with the access list for it; without one, everybody may do anything.

    Raises:
        BenchmarkError: it is not installed.
    """
    program = find("mosquitto")
    plan = rules.Plan(passwords.parent.parent if passwords else where, where, Topics(), ("127.0.0.1", port))
    own = ("use_username_as_clientid", "max_keepalive", "persistence", "autosave_interval", "pid_file")
    if passwords is None:
        own += ("allow_anonymous", "password_file", "acl_file")
    kept = [line for line in brokers.configuration(plan).splitlines() if not line.startswith(own)]
    if passwords is None:
        kept.append("allow_anonymous true")
    else:
        acl = where / "acl"
        acl.write_text(brokers.access_list(plan.topics))
        acl.chmod(0o600)
    path = where / f"mosquitto-{port}.conf"
    path.write_text("\n".join(kept) + "\n")
    return Program("mosquitto", [program, "-c", str(path)], where / f"mosquitto-{port}.log")


def amqtt(where: Path, port: int, passwords: Path) -> Program:
    """The bench broker as a process of its own, not started yet."""
    options = ["--listen", f"127.0.0.1:{port}", "--passwords", str(passwords), "--log-level", "warning"]
    return Program("amqtt", [*SHALLOP, "broker", "run", *options], where / f"amqtt-{port}.log")


@dataclasses.dataclass
class System:
    """A broker and a cloud, each a process of its own, below one directory.

    Attributes:
        http: speaks to the API as the operator.
    """

    directory: Path
    kind: Broker
    url: str
    broker_port: int
    cloud: Program
    broker: Program
    http: httpx.Client

    @property
    def data(self) -> Path:
        """The cloud's data directory."""
        return self.directory / "shallop-data"

    @property
    def database(self) -> Path:
        """The cloud's database."""
        return self.data / "shallop.db"

    @property
    def token(self) -> str:
        """The operator's token."""
        return (self.data / "admin.token").read_text().strip()

    @property
    def cloud_password(self) -> str:
        """The password of the account ``cloud`` on the broker. Client ids must begin with ``cloud`` too."""
        return (self.data / "mqtt" / "cloud.password").read_text().strip()

    def load_accounts(self) -> None:
        """Has mosquitto read the accounts again; the bench broker does so by itself."""
        if self.kind == "mosquitto":
            self.broker.send(signal.SIGHUP)

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer of the API.

        Raises:
            BenchmarkError: it is not a success.
        """
        answer = self.http.request(method, path, json=body) if body is not None else self.http.request(method, path)
        if not answer.is_success:
            raise BenchmarkError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def make_release(self) -> str:
        """Makes the example robot's release. Gives its version."""
        from shallop_cloud import configs

        draft = configs.read_release(REPOSITORY / "examples" / "mobile-robot" / "release.yaml")
        self.must("POST", "/v1/releases", draft.to_json())
        return draft.version


@contextlib.contextmanager
def system(where: Path, kind: Broker) -> Generator[System]:
    """A broker and a cloud, connected, while the block lasts.

    Raises:
        BenchmarkError: the broker is not installed, or something did not start.
    """
    broker_port, api_port = free_port(), free_port()
    data = where / "shallop-data"
    passwords = data / "mqtt" / "passwords"
    url = f"http://127.0.0.1:{api_port}"
    broker = mosquitto(where, broker_port, passwords) if kind == "mosquitto" else amqtt(where, broker_port, passwords)
    address = f"mqtt://127.0.0.1:{broker_port}"
    protocol = "3.1.1"
    options = ["--data", str(data), "--listen", f"127.0.0.1:{api_port}", "--broker", address]
    arguments = [*SHALLOP, "serve", *options, "--broker-protocol", protocol, "--log-level", "warning"]
    cloud = Program("shallop serve", arguments, where / "cloud.log")
    with contextlib.ExitStack() as stack:
        # The cloud comes first: it makes the password file that the broker reads.
        stack.enter_context(running(cloud, (data / "admin.token").exists))
        stack.enter_context(running(broker, lambda: answers(broker_port)))
        http = stack.enter_context(httpx.Client(base_url=url, timeout=300.0))
        made = System(where, kind, url, broker_port, cloud, broker, http)
        http.headers["Authorization"] = f"Bearer {made.token}"
        wait("the cloud has its broker", lambda: http.get("/v1/health").json()["broker_connected"])
        yield made


# What a process costs


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants, those that ended included."""
    return sum(_cpu_of(each) for each in family(pid))


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    total = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * _PAGE
    return total


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(each) for each in fields[11:15]) / _TICKS
