"""Inputs that are right, or nearly: where the mutations begin."""

from __future__ import annotations

import base64
import datetime
import io
import json
import struct
import tarfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from shallop_protocol import desired, digests, dsse, echo, keys, messages, strict_json
from shallop_protocol.desired import Desired, Instance, Manifest

KEY = "DEV-0123456789ABCDEF"
ROBOT = KEY.lower()
DEPLOYMENT = "DPL-0123456789ABCDEF"
AT = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
MAP = bytes(range(256)) * 4


def _order(generation: int = 1) -> Desired:
    files = {"motion.yaml": b"max: 1\n", "maps/site.pgm": MAP}
    instances = tuple(
        Instance(
            id=f"CFG-{number:016}",
            path=path,
            digest=digests.of_bytes(data),
            size=len(data),
            content=None if data == MAP else data.decode(),
        )
        for number, (path, data) in enumerate(files.items())
    )
    digest = digests.of_files(each.file for each in instances)
    manifest = Manifest(id=DEPLOYMENT, release="1.0.0", digest=digest, instances=instances)
    return Desired(
        device=ROBOT, epoch=1, generation=generation, issued_at=AT, deployment=manifest, fallback=None, confirm_s=60
    )


def orders(signer: dsse.Signer) -> list[bytes]:
    empty = Desired(device=ROBOT, epoch=1, generation=2, issued_at=AT, deployment=None)
    return [_order().to_bytes(), empty.to_bytes(), desired.seal_desired(_order(), signer)]


def key_list(signer: dsse.Signer, version: int = 1) -> keys.KeyList:
    key = keys.SigningKey(key=signer.key.text, state=keys.KeyState.ACTIVE)
    return keys.KeyList(version=version, epoch=1, issued_at=AT, signing_keys=(key,))


def key_lists(signer: dsse.Signer) -> list[bytes]:
    made = [key_list(signer, version) for version in (1, 2)]
    return [
        *(each.to_bytes() for each in made),
        *(keys.seal_key_list(each, [signer]) for each in made),
        *orders(signer),
    ]


def echoes(signer: dsse.Signer) -> list[bytes]:
    fields = {
        "v": 1, "device": ROBOT, "nonce": "n" * 22, "incarnation": "a", "seq": 1, "epoch": 1, "generation": 1,
        "issued_at": AT.isoformat(),
    }  # fmt: skip
    payload = strict_json.dumps(fields)
    return [payload, dsse.seal(echo.PAYLOAD_TYPE, payload, signer)]


def envelopes(signer: dsse.Signer) -> list[bytes]:
    other = dsse.signer_from_seed(bytes(32))
    return [dsse.seal("text/plain", b"hello", signer), dsse.seal("text/plain", b"{}", signer, other), b"{}",
            signer.key.text.encode()]  # fmt: skip


def reports() -> list[bytes]:
    reason = {"code": "disk_full", "message": "no space left \x1b[31m"}
    entry = {"id": DEPLOYMENT, "activity": "queued", "error": "retrying", "attempts": 3, "reason": reason,
             "digest": "sha256:" + "0f" * 32, "since": AT.isoformat()}  # fmt: skip
    report = {"v": 1, "device": ROBOT, "incarnation": "a", "seq": 1, "at": AT.isoformat(), "clock_synced": True,
              "epoch": 1, "generation": 1, "current": DEPLOYMENT, "refused": None, "deployments": [entry],
              "agent": {"version": "1", "started_at": AT.isoformat()}}  # fmt: skip
    presence = {"v": 1, "device": ROBOT, "status": "online", "incarnation": "a", "connection": 7}
    event = {"v": 1, "device": ROBOT, "at": AT.isoformat(), "code": "x", "deployment": DEPLOYMENT, "message": "ok"}
    hello = messages.Hello(at=AT) if "at" in messages.Hello.model_fields else None
    said = [hello.to_bytes()] if hello else [b'{"v": 1}']
    return [*(json.dumps(each).encode() for each in (report, presence, event)), *said]


def names() -> list[bytes]:
    return [b"motion.yaml", b"a/b/c.json\na/b/d.json", b"DEV-7K3QF0H2M9XW4RTC", b"dev-7k3qf0h2m9xw4rtc",
            b"shallop/v1/dev-7k3qf0h2m9xw4rtc/report", b"shallop/v1/+/#", b"$share/g/shallop/v1/#",
            b"../etc/passwd"]  # fmt: skip


def json_texts() -> list[bytes]:
    return [b"{}", b'{"a": [1, 2.5, "x", null, true], "b": {"c": "\\u00e9"}}', b"[[[]]]", b'"text"', b"1e10", b" 1 "]


def yaml_texts() -> list[bytes]:
    return [
        b"max: 1\nlist: [a, b, 'c']\nnested:\n  deep: {x: 1.5, y: ~}\n", b"- 1\n- two\n- {a: b}\n",
        b"base: &b {a: 1}\nother:\n  <<: *b\n  c: 2\n", b"text: |\n  one\n  two\nfold: >-\n  a\n  b\n",
        b"a: 0x1F\nb: 0o17\nc: .inf\nd: -.5e3\ne: 2001-01-01\nf: yes\n", b"%YAML 1.2\n---\na: !!str 1\n...\n",
        b'? complex\n: "\\x41\\u263a"\n', b"# only a comment\n",
    ]  # fmt: skip


def schemas() -> list[bytes]:
    return [json.dumps(each).encode() for each in (
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}, "required": ["a"]},
        {"$defs": {"n": {"minimum": 1, "pattern": "^a+$"}}, "anyOf": [{"$ref": "#/$defs/n"}, {"const": 1}]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"x": {}}, "$ref": "#/definitions/x"},
        {"patternProperties": {"^x": {"enum": [1, "2"]}}, "additionalProperties": False, "if": {}, "then": {}},
        {"unevaluatedProperties": False, "allOf": [{"properties": {"b": True}}], "dependentRequired": {"a": ["b"]}},
    )]  # fmt: skip


def patterns() -> list[bytes]:
    return [b"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$", b"(a|b)*c", b"\\d{3}-\\w+", b"(?:x+)y?", b"\\p{L}+", b"[^\\s/]+",
            b"(?=a)b", b"a{2,5}b{3}"]  # fmt: skip


def edits() -> list[bytes]:
    return [b"max: 1\nlist:\n  - a\n  - b\nnested: {x: 1}\n/nested/x 2", b'{"a": {"b": [1, 2]}}\n/a/b/- 3',
            b"a: 1 # why\nb: &x [1]\nc: *x\n/a 5", b"[1, 2, 3]\n/0 x"]  # fmt: skip


def manifests() -> list[bytes]:
    one = b"version: 1.0.0\nconfig_types:\n  motion:\n    schema: s.json\n    format: json\n    path: motion.json\n"
    slots = b"    slots:\n      a: {path: a.yaml}\n"
    return [one, b"version: 1.0.0\nconfig_types:\n  m:\n    schema: opaque\n    format: yaml\n" + slots]


def credentials() -> list[bytes]:
    """Password files, and a certificate request."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ROBOT)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    hashed = b"$7$101$" + base64.b64encode(bytes(12)) + b"$" + base64.b64encode(bytes(64))
    pem = request.public_bytes(serialization.Encoding.PEM)
    return [pem, b"cloud:" + hashed + b"\n", b"# users\n\na:" + hashed + b"\nb:" + hashed + b"\n"]


def broker_yaml() -> list[bytes]:
    from shallop_cloud.bench import broker_settings

    return [broker_settings.BUNDLED.read_bytes()]


def recordings() -> list[bytes]:
    line = {"at": 0.125, "topic": f"shallop/v1/{ROBOT}/report", "retained": False, "payload": "e30="}
    return [json.dumps(line).encode() + b"\n" + json.dumps({**line, "at": 1}).encode() + b"\n"]


def packets() -> list[bytes]:
    """Of MQTT 3.1.1 and 5."""

    def packet(first: int, body: bytes) -> bytes:
        return bytes([first, len(body)]) + body

    def text(words: bytes) -> bytes:
        return struct.pack(">H", len(words)) + words

    connect = text(b"MQTT") + bytes([4, 0xC2, 0, 30]) + text(ROBOT.encode()) + text(b"user") + text(b"pass")
    will = text(b"MQTT") + bytes([4, 0x26, 0, 30]) + text(b"c") + text(b"t/will") + text(b"gone")
    five = text(b"MQTT") + bytes([5, 2, 0, 30, 5, 0x11, 0, 0, 0, 1]) + text(b"c")
    publish = packet(0x33, text(b"shallop/v1/x/report") + b"\x00\x01{}")
    return [
        packet(0x10, connect), packet(0x10, will), packet(0x10, five), publish, packet(0x30, text(b"t") + b"payload"),
        packet(0x40, b"\x00\x01"), packet(0x82, b"\x00\x02" + text(b"a/#") + b"\x01"),
        packet(0xA2, b"\x00\x03" + text(b"a")),
        b"\xc0\x00", b"\xe0\x00", packet(0x10, connect) + packet(0x82, b"\x00\x02" + text(b"a") + b"\x00") + publish,
        packet(0x32, text(b"t") + b"\x00\x05" + b"\x02\x01\x00" + b"x"),
        packet(0x20, b"\x00\x00"), packet(0x90, b"\x00\x02\x01"),
    ]  # fmt: skip


def bundles() -> list[bytes]:
    def tar(*members: tuple[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
        return out.getvalue()

    from shallop_device import bundles as reader

    envelope = desired.seal_desired(_order(), dsse.signer_from_seed(bytes(range(32))))
    content = f"contents/{digests.of_bytes(MAP)[7:]}"
    return [tar((reader.ORDER, envelope), (content, MAP)), tar((reader.ORDER, envelope)), tar(("x", b"y"))]


def settings() -> list[bytes]:
    return [b'[log]\nlevel = "info"\n\n[link]\nprofile = "metered"\n', b"[retry]\nfirst = 1\n[hooks]\nuser = 'robot'\n",
            b'health.window = 60\n"door" = {path = "/run/x"}\n', b"link = 5\nunknown = [1, 2]\n"]  # fmt: skip


def said() -> list[bytes]:
    return [b"all is well\n", b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J", "\u202egnp.exe \u200f".encode(),
            b"one\r\ntwo\rthree\x00\x08\x7f", b"\xff\xfe\x9d0;x\x9c", b"<script>alert(1)</script>"]  # fmt: skip


def answers() -> list[bytes]:
    signer = dsse.signer_from_seed(bytes(range(32)))
    listed = keys.seal_key_list(key_list(signer), [signer]).decode()
    trusted = {"roots": [signer.key.text], "threshold": 1, "key_list": listed}
    mqtt = {"url": "mqtt://127.0.0.1:1883", "username": ROBOT, "protocol": "3.1.1", "topic_root": "shallop/v1"}
    enrolled = {"device": {"id": KEY, "name": "amr-1"}, "mqtt": mqtt, "trust": trusted,
                "floor": {"epoch": 1, "generation": 0}}  # fmt: skip
    return [
        json.dumps(enrolled).encode(),
        b"mqtts://user:p%40ss@[::1]:8883",
        b"postgresql://u:p@host:5432/db?sslmode=require",
    ]


def door_requests() -> list[bytes]:
    hold = b'{"reason": "x", "expires_in_s": 5}'
    return [
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/health HTTP/1.0\r\n\r\n",
        b"PUT /v1/holds/nav HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(hold), hold),
        b"DELETE /v1/holds/nav HTTP/1.1\r\n\r\n", b"GET /v1/files/f HTTP/1.1\r\nRange: bytes=0-0\r\n\r\n",
        b"POST /v1/acknowledgements HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"GET /v1/device?x=1 HTTP/1.1\r\n\r\n",
        b"GET /v1/trials HTTP/1.1\r\nIf-None-Match: \"a\"\r\n\r\n",
    ]  # fmt: skip


def api_requests() -> list[bytes]:
    schema = {"entry": "s.json", "documents": {"s.json": '{"type": "object"}'}}
    release = {"version": "2.0.0", "config_types": [{"name": "a", "format": "json", "path": "a", "schema": schema}]}
    config = {"config_type": "motion", "content": "max: 1\n"}
    deployment = {"device": "mine", "release": "1.0.0", "configs": [config], "staged": True}
    kind = "\ncontent-type: application/json\n\n"
    return [text.encode() for text in (
        "GET /v1/devices?limit=2&label=a%3Db", "GET /v1/devices/mine?expand=current,fallback",
        "GET /v1/deployments?status=queued&since=2026-01-01T00:00:00Z&cursor=abc", "GET /v1/history?limit=1",
        "GET /v1/diff?before=device:mine&after=device:other", "GET /v1/contents/sha256:00\nrange: bytes=0-1",
        "GET /v1/device/contents/sha256:00\nauthorization: Basic eDp5",
        "GET /v1/devices/mine/why\nif-none-match: \"x\"",
        f"POST /v1/devices{kind}" + json.dumps({"name": "new", "labels": {"a": "b"}, "confirm_s": 5}),
        f"PATCH /v1/devices/mine{kind}" + json.dumps({"labels": {"site": "lyon"}}),
        f"POST /v1/deployments\nidempotency-key: x{kind}" + json.dumps(deployment),
        f"POST /v1/releases{kind}" + json.dumps(release),
        f"POST /v1/tokens{kind}" + json.dumps({"name": "t", "role": "viewer", "expires_at": "2099-01-01T00:00:00Z"}),
        f"POST /v1/devices/mine/report{kind}" + reports()[0].decode(),
        f"POST /v1/enrolments{kind}" + json.dumps({"token": "x", "secret": "y" * 32}),
        "PUT /v1/contents/sha256:" + "0" * 64 + "\n\nbytes", "POST /v1/devices/other:rollback", "OPTIONS /v1/devices",
    )]  # fmt: skip
