"""Every parser of bytes that come from outside: what it is given, and all that it may raise.

One entry may feed several that belong together. The runs with a pinned key sign the input first, too: what stands
behind a signature must hold up when the key is in the wrong hands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import pathlib
import tempfile
from collections.abc import Callable, Generator, Sequence

from fuzz import seeds, whole
from shallop_protocol import desired, dsse, echo, errors, ids, keys, messages, paths, strict_json, topics, trust

Parse = Callable[[bytes], object]
Ready = Callable[[], contextlib.AbstractContextManager[Parse]]


@dataclasses.dataclass(frozen=True, slots=True)
class Parser:
    """One entry.

    Attributes:
        ready: gives the parser for as long as the block lasts.
        declared: what it may raise.
        seeds: inputs that are right, or nearly.
        within_s: seconds of processor time that one input may take, on a machine that does much else.
    """

    name: str
    ready: Ready
    declared: tuple[type[Exception], ...]
    seeds: Callable[[], Sequence[bytes]]
    within_s: float = 5.0


def _plain(parse: Parse) -> Ready:
    return lambda: contextlib.nullcontext(parse)


def _in_file(name: str, parse: Callable[[pathlib.Path], object]) -> Ready:
    """For what reads a file by its name."""

    @contextlib.contextmanager
    def ready() -> Generator[Parse]:
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / name

            def run(data: bytes) -> None:
                path.write_bytes(data)
                parse(path)

            yield run

    return ready


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _all(*steps: Callable[[], object], declared: tuple[type[Exception], ...]) -> None:
    """Does all of them, though one raises what it may; the last such is raised, for its words."""
    raised: Exception | None = None
    for step in steps:
        try:
            step()
        except declared as error:
            raised = error
    if raised is not None:
        raise raised


# The protocol

SIGNER = dsse.signer_from_seed(bytes(range(32)))
PINNED = {SIGNER.key.keyid: SIGNER.key}
ROOTS = keys.Roots((SIGNER.key,))
PROTOCOL = (errors.ProtocolError,)


def _envelope(data: bytes) -> None:
    _all(
        lambda: dsse.open_envelope(data, PINNED, 65_536),
        lambda: dsse.add_signature(data, SIGNER, 65_536),
        lambda: dsse.PublicKey.from_text(data.decode(errors="replace")),
        declared=PROTOCOL,
    )


def _desired(data: bytes) -> None:
    signed = dsse.seal(desired.PAYLOAD_TYPE, data, SIGNER)
    _all(
        lambda: desired.open_desired(data, PINNED, seeds.ROBOT),
        lambda: desired.open_desired(signed, PINNED, seeds.ROBOT),
        declared=PROTOCOL,
    )


def _echo(data: bytes) -> None:
    signed = dsse.seal(echo.PAYLOAD_TYPE, data, SIGNER)
    _all(
        lambda: echo.open_echo(data, PINNED, seeds.ROBOT),
        lambda: echo.open_echo(signed, PINNED, seeds.ROBOT),
        declared=PROTOCOL,
    )


def _key_list(data: bytes) -> None:
    trusted = trust.Trust(seeds.ROBOT, ROOTS, seeds.key_list(SIGNER))
    signed = dsse.seal(keys.PAYLOAD_TYPE, data, SIGNER)
    _all(
        lambda: trusted.renewed(data),
        lambda: trusted.renewed(signed),
        lambda: trusted.order(data),
        lambda: trusted.echo(data),
        declared=PROTOCOL,
    )


def _messages(data: bytes) -> None:
    _all(
        lambda: messages.parse_report(data, seeds.ROBOT).to_bytes(),
        lambda: messages.parse_presence(data, seeds.ROBOT).to_bytes(),
        lambda: messages.parse_event(data, seeds.ROBOT).to_bytes(),
        lambda: messages.parse_hello(data).to_bytes(),
        declared=PROTOCOL,
    )


NAMES = (paths.PathError, ids.IdError, topics.TopicError)


def _names(data: bytes) -> None:
    text = _text(data)
    known = topics.Topics()
    _all(
        lambda: paths.check_path(text),
        lambda: paths.check_paths(text.split("\n")),
        lambda: [ids.normalize(text, prefix) for prefix in ids.Prefix],
        lambda: ids.is_id(text) and ids.from_wire(ids.on_wire(text)),
        lambda: known.parse(text),
        lambda: [known.allows(user, access, text) for user in (seeds.ROBOT, text) for access in topics.Access],
        lambda: topics.Topics(text),
        declared=NAMES,
    )


# Configs and releases; imported when they are asked for, so that one process loads what it needs


@contextlib.contextmanager
def _configs(parse: Callable[..., object]) -> Generator[Parse]:
    from shallop_cloud import configs

    yield lambda data: parse(configs, data)


def _documents(*formats: str) -> Ready:
    def parse(configs, data: bytes) -> None:
        kinds = [configs.Format(each) for each in formats]
        _all(
            *(lambda kind=kind, any_keys=any_keys: configs.parse(data, kind, any_keys=any_keys)
              for kind in kinds for any_keys in (False, True)),
            declared=(configs.Refused,),
        )  # fmt: skip

    return lambda: _configs(parse)


def _schema(configs, data: bytes) -> None:
    made = configs.ConfigSchema.from_json({"entry": "s.json", "documents": {"s.json": data.decode(errors="replace")}})
    for document in (b"{}", b'{"a": [1, "x"], "b": {"c": null}}', data[:2_000]):
        made.check(document, configs.Format.JSON)


def _edit(configs, data: bytes) -> None:
    """A file, and an operation in its last line."""
    content, _, last = data.rpartition(b"\n")
    pointer, _, value = last.decode(errors="replace").partition(" ")
    other = data[len(data) // 3 :]
    for form in (configs.Format.YAML, configs.Format.JSON):
        _all(
            lambda form=form: configs.patching.set_value(content, form, pointer, value),
            lambda form=form: configs.patching.remove_value(content, form, pointer),
            lambda form=form: configs.diff.compare(content, other, form),
            lambda form=form: configs.merge.merge(content, other, data, form),
            declared=(configs.Refused,),
        )


def _pattern(data: bytes) -> None:
    from shallop_cloud.configs import patterns

    compiled = patterns.compile(data.decode(errors="replace"))
    for text in ("", "a" * 5_000, "ab" * 3_000 + "!", data.decode(errors="replace")):
        compiled.matches(text)


def _manifest(path: pathlib.Path) -> None:
    from shallop_cloud import configs

    (path.parent / "s.json").write_bytes(b"{}")
    configs.read_release(path)


def _refused() -> tuple[type[Exception], ...]:
    from shallop_cloud import configs
    from shallop_cloud.configs.regex_syntax import PatternError

    return (configs.Refused, PatternError)


# Files of the cloud and of the bench


def _credentials(data: bytes) -> None:
    from shallop_cloud import authorities, passwords

    text = data.decode(errors="replace")
    if text.startswith("-----BEGIN"):
        authorities.read_request(text)
        return
    for hashed in passwords.parse_passwords(text).values():
        if len(hashed) < 400 and len(hashed.split("$")[2]) < 4:  # the iterations cost what they say
            passwords.verify_password("x", hashed)


def _broker_yaml(path: pathlib.Path) -> None:
    from shallop_cloud.bench import broker_settings

    broker_settings.load_settings(path)


def _recording(data: bytes) -> None:
    from shallop_cloud.bench.fleet import recording

    for each in recording.read(io.StringIO(data.decode(errors="replace"))):
        each.to_line()


def _bench_errors() -> tuple[type[Exception], ...]:
    from shallop_cloud import errors as cloud_errors
    from shallop_cloud import passwords
    from shallop_cloud.bench import broker_settings, broker_wire, proxy_wire
    from shallop_cloud.bench.fleet import recording

    return (
        passwords.PasswordFileError, broker_settings.BrokerSettingsError, recording.RecordingError,
        proxy_wire.NotMqtt, broker_wire.BadPacket, EOFError, cloud_errors.StartupError,
        cloud_errors.Invalid,
    )  # fmt: skip


def _proxy(data: bytes) -> None:
    from shallop_cloud.bench import proxy_wire

    cutter = proxy_wire.Cutter()
    packets = [packet for start in range(0, len(data), 1_000) for packet in cutter.feed(data[start : start + 1_000])]
    if sum(len(each.data) for each in packets) > len(data):
        raise AssertionError("more came out than went in")
    _all(
        *(lambda packet=packet: proxy_wire.connect_of(packet) for packet in packets[:50]),
        *(lambda packet=packet, level=level: proxy_wire.message_of(packet, level)
          for packet in packets[:50] for level in (4, 5)),
        declared=(proxy_wire.NotMqtt,),
    )  # fmt: skip


# The robot


def _bundle(data: bytes) -> None:
    from shallop_device import bundles
    from shallop_protocol import device

    now = datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc)
    bundles.read(io.BytesIO(data), trust.Trust(seeds.ROBOT, ROOTS, seeds.key_list(SIGNER)), device.Memory(), now)


def _settings(path: pathlib.Path) -> None:
    from shallop_device import settings

    lines = _text(path.read_bytes()).split("\n")
    environment = {f"SHALLOPD_{line[:40].upper()}": line for line in lines[:5]}
    _all(
        lambda: list(settings.load(path, {}).rows()),
        lambda: settings.load(path, environment),
        declared=_agent_errors(),
    )


def _said(data: bytes) -> None:
    """What programs and devices say, made fit to be shown."""
    from shallop_cloud.cli import words
    from shallop_device import hooks

    text = hooks.printable(data)
    reason = messages.Reason.of("hook_failed", _text(data))
    for shown in (text, words.clean(_text(data)), words.clean(reason.message)):
        if any(each in shown for each in "\x1b\x9b\x07\u202e"):
            raise AssertionError(f"a terminal would obey {shown[:100]!r}")
    reason.model_dump_json()


def _answer(data: bytes) -> None:
    """What a server answers to a robot, and addresses that people give."""
    from shallop_cloud.link.connection import BrokerUrl
    from shallop_cloud.store import postgres
    from shallop_device import identity

    text = data.decode(errors="replace")
    _all(
        lambda: identity.of(data, "http://127.0.0.1", pathlib.Path("/etc/robot"), "secret"),
        lambda: identity.broker_of(text),
        lambda: BrokerUrl.parse(text),
        lambda: postgres.parse(text),
        declared=(*_agent_errors(), *_bench_errors(), ValueError),
    )


def _agent_errors() -> tuple[type[Exception], ...]:
    from shallop_device import errors as device_errors

    return (device_errors.AgentError,)


def every() -> list[Parser]:
    """The registry."""
    refused, bench, agent = _refused(), _bench_errors(), _agent_errors()
    return [
        Parser("strict JSON", _plain(lambda data: strict_json.loads(data, 65_536)), PROTOCOL, seeds.json_texts),
        Parser("envelopes", _plain(_envelope), PROTOCOL, lambda: seeds.envelopes(SIGNER)),
        Parser("orders", _plain(_desired), PROTOCOL, lambda: seeds.orders(SIGNER)),
        Parser("echoes", _plain(_echo), PROTOCOL, lambda: seeds.echoes(SIGNER)),
        Parser("key lists and trust", _plain(_key_list), PROTOCOL, lambda: seeds.key_lists(SIGNER)),
        Parser("reports, presence, events, hellos", _plain(_messages), PROTOCOL, seeds.reports),
        Parser("paths, ids, topics", _plain(_names), NAMES, seeds.names),
        Parser("YAML", _documents("yaml"), refused, seeds.yaml_texts),
        Parser("JSON and texts", _documents("json", "text"), refused, seeds.json_texts),
        Parser("schemas", lambda: _configs(_schema), refused, seeds.schemas),
        Parser("patterns", _plain(_pattern), refused, seeds.patterns),
        Parser("patches, diffs, merges", lambda: _configs(_edit), refused, seeds.edits),
        Parser("release manifests", _in_file("release.yaml", _manifest), refused, seeds.manifests),
        Parser("password files, certificate requests", _plain(_credentials), bench, seeds.credentials),
        Parser("broker.yaml", _in_file("broker.yaml", _broker_yaml), bench, seeds.broker_yaml, within_s=15.0),
        Parser("recorded traffic", _plain(_recording), bench, seeds.recordings),
        Parser("MQTT at the proxy", _plain(_proxy), bench, seeds.packets),
        Parser("MQTT at the bench broker", whole.bench_broker, bench, seeds.packets),
        Parser("bundles", _plain(_bundle), agent, seeds.bundles),
        Parser("settings", _in_file("agent.toml", _settings), agent, seeds.settings),
        Parser("what programs say", _plain(_said), (), seeds.said),
        Parser("answers and addresses", _plain(_answer), (*agent, *bench, ValueError), seeds.answers),
        Parser("requests at the door", whole.door, (), seeds.door_requests, within_s=10.0),
        Parser("requests at the API", whole.api, (), seeds.api_requests, within_s=10.0),
    ]
