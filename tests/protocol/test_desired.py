"""Orders: sealed ashore, opened by the one robot they are for."""

from __future__ import annotations

import dataclasses
import datetime
import gzip
import hashlib
import json
import random
import re
import zlib

import pytest
from shallop_protocol import desired, digests, dsse, errors, messages
from shallop_protocol.desired import Desired, Instance, Manifest

ROBOT = "dev-7k3qf0h2m9xw4rtc"
SIGNER = dsse.signer_from_seed(bytes(range(32)))
TRUSTED = {SIGNER.key.keyid: SIGNER.key}
NOW = datetime.datetime(2024, 5, 17, 9, 30, tzinfo=datetime.timezone.utc)
ONE, TWO = "DPL-7K3QF0H2M9XW4RTC", "DPL-0000000000000001"


def an_order(content: str = "speed: 1.5  # m/s\n") -> Desired:
    file = Instance(
        id="CFG-7K3QF0H2M9XW4RTC",
        path="nav2/params.yaml",
        digest=digests.of_bytes(content.encode()),
        size=len(content.encode()),
        content=content,
    )
    manifest = Manifest(id=ONE, release="1.4.0", digest=digests.of_files([file.file]), instances=(file,))
    return Desired(
        device=ROBOT, epoch=1, generation=17, issued_at=NOW, deployment=manifest, fallback="DPL-0000000000000002"
    )


ORDER = an_order()


def sealed(payload: bytes, payload_type: str = desired.PAYLOAD_TYPE) -> bytes:
    return dsse.seal(payload_type, payload, SIGNER)


def changed(**fields: object) -> bytes:
    return sealed(json.dumps({**json.loads(ORDER.to_bytes()), **fields}).encode())


def opened(data: bytes) -> Desired:
    return desired.open_desired(data, TRUSTED, ROBOT)


def test_what_is_sealed_is_opened_unchanged() -> None:
    envelope = desired.seal_desired(ORDER, SIGNER)
    assert json.loads(envelope)["payloadType"] == "application/vnd.shallop.desired+json"
    assert opened(envelope) == ORDER


def test_a_file_keeps_its_bytes() -> None:
    text = "# größe\r\nlimit: 1.0\n\n\tx: \x00\u2028"
    file = opened(desired.seal_desired(an_order(text), SIGNER)).deployment.instances[0]
    assert file.data == text.encode()
    assert file.file == digests.FileDigest("nav2/params.yaml", "0644", len(text.encode()), digests.of_bytes(file.data))


def test_an_order_for_nothing_is_explicit() -> None:
    nothing = Desired(device=ROBOT, epoch=1, generation=18, issued_at=NOW, deployment=None)
    assert opened(desired.seal_desired(nothing, SIGNER)) == nothing
    fields = json.loads(nothing.to_bytes())
    del fields["deployment"]
    with pytest.raises(errors.Malformed, match="/deployment: Field required"):
        opened(sealed(json.dumps(fields).encode()))


def test_a_large_order_is_compressed_and_a_small_one_is_not() -> None:
    large = an_order("speed: 1.5\n" * 20_000)
    envelope = desired.seal_desired(large, SIGNER)
    assert json.loads(envelope)["payloadType"] == "application/vnd.shallop.desired+json+gzip"
    assert len(envelope) < desired.DEFAULT_LIMIT
    assert opened(envelope) == large


def test_the_limit_is_on_the_whole_envelope() -> None:
    plain = dsse.seal(desired.PAYLOAD_TYPE, ORDER.to_bytes(), SIGNER)
    assert desired.seal_desired(ORDER, SIGNER, limit=len(plain)) == plain
    packed = desired.seal_desired(ORDER, SIGNER, limit=len(plain) - 1)
    assert json.loads(packed)["payloadType"] == desired.PAYLOAD_TYPE_GZIP
    assert opened(packed) == ORDER
    with pytest.raises(errors.TooLarge) as refused:
        desired.seal_desired(ORDER, SIGNER, limit=len(packed) - 1)
    assert refused.value.message == (
        f"the deployment takes {len(packed)} bytes on the wire, compressed and signed; the limit is {len(packed) - 1}"
    )


def test_what_does_not_compress_is_refused() -> None:
    noise = random.Random(1).randbytes(100_000).hex()
    with pytest.raises(errors.TooLarge, match="the limit is 120000"):
        desired.seal_desired(an_order(noise), SIGNER)


def test_what_no_device_would_unpack_is_not_sealed() -> None:
    with pytest.raises(errors.TooLarge, match="a device takes at most 8388608"):
        desired.seal_desired(an_order("x" * desired.MAX_PAYLOAD_BYTES), SIGNER)


def test_a_gzip_bomb_is_not_unpacked() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(50)) + packer.flush()
    with pytest.raises(errors.TooLarge) as refused:
        opened(sealed(bomb, desired.PAYLOAD_TYPE_GZIP))
    assert refused.value.message == "the payload unpacks to more than 8388608 bytes"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (ORDER.to_bytes(), "the payload is not gzip"),
        (zlib.compress(ORDER.to_bytes()), "the payload is not gzip"),
        (b"", "the gzip payload is cut short, or has more behind it"),
        (gzip.compress(ORDER.to_bytes(), mtime=0)[:-1], "the gzip payload is cut short, or has more behind it"),
        (gzip.compress(ORDER.to_bytes(), mtime=0) + b"x", "the gzip payload is cut short, or has more behind it"),
        (gzip.compress(ORDER.to_bytes(), mtime=0) * 2, "the gzip payload is cut short, or has more behind it"),
        (gzip.compress(b"{}", mtime=0)[:-8] + bytes(8), "the payload is not gzip"),
    ],
)
def test_a_broken_gzip_payload_is_refused(payload: bytes, words: str) -> None:
    with pytest.raises(errors.Malformed) as refused:
        opened(sealed(payload, desired.PAYLOAD_TYPE_GZIP))
    assert refused.value.message == words


def test_an_order_for_another_robot_is_refused() -> None:
    with pytest.raises(errors.WrongDevice) as refused:
        desired.open_desired(desired.seal_desired(ORDER, SIGNER), TRUSTED, "dev-2")
    assert refused.value.message == f"the order is for {ROBOT}, this is dev-2"


def test_the_signature_is_checked_before_anything_else() -> None:
    for data in (changed(v=2), changed(device="dev-2"), sealed(b"", "x"), sealed(b"{", desired.PAYLOAD_TYPE_GZIP)):
        with pytest.raises(errors.BadSignature):
            desired.open_desired(data, {}, ROBOT)


def test_another_version_or_payload_type_is_not_guessed_at() -> None:
    with pytest.raises(
        errors.Unsupported, match=re.escape("version 2 of the protocol; this software speaks version 1")
    ):
        opened(changed(v=2))
    with pytest.raises(errors.Unsupported) as refused:
        opened(sealed(ORDER.to_bytes(), "t" * 200))
    assert refused.value.message == f"payload type '{'t' * 100}'"


def test_envelope_and_payload_are_bounded() -> None:
    with pytest.raises(errors.TooLarge, match="at most 1048576 are taken"):
        opened(b" " * (desired.MAX_ENVELOPE_BYTES + 1))


INSTANCE = json.loads(ORDER.to_bytes())["deployment"]["instances"][0]
DEPLOYMENT = json.loads(ORDER.to_bytes())["deployment"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"device": "DEV-1"}, "/device"),
        ({"device": ""}, "/device"),
        ({"epoch": 0}, "/epoch"),
        ({"epoch": "1"}, "/epoch"),
        ({"generation": 0}, "/generation"),
        ({"generation": 2**53}, "/generation"),
        ({"generation": 17.0}, "/generation"),
        ({"generation": True}, "/generation"),
        ({"issued_at": "2024-05-17T09:30:00"}, "/issued_at"),
        ({"issued_at": 1715938200}, "/issued_at"),
        ({"fallback": "DPL-1"}, "/fallback"),
        ({"fallback": "CFG-7K3QF0H2M9XW4RTC"}, "/fallback"),
        ({"deployment": {**DEPLOYMENT, "id": "DPL-7K3QF0H2M9XW4RTC\n"}}, "/deployment/id"),
        ({"deployment": {**DEPLOYMENT, "release": ""}}, "/deployment/release"),
        ({"deployment": {**DEPLOYMENT, "release": "1" * 129}}, "/deployment/release"),
        ({"deployment": {**DEPLOYMENT, "digest": "sha256:" + "A" * 64}}, "/deployment/digest"),
        ({"deployment": {**DEPLOYMENT, "instances": [INSTANCE] * 257}}, "/deployment/instances"),
        ({"deployment": {**DEPLOYMENT, "instances": {}}}, "/deployment/instances"),
        *(
            (
                {"deployment": {**DEPLOYMENT, "instances": [{**INSTANCE, **wrong}]}},
                f"/deployment/instances/0/{next(iter(wrong))}",
            )
            for wrong in (
                {"id": "DPL-7K3QF0H2M9XW4RTC"},
                {"slot": ""},
                {"slot": "s" * 65},
                {"path": ""},
                {"path": "p" * 4097},
                {"mode": "644"},
                {"mode": "4755"},
                {"mode": "0888"},
                {"digest": "md5:00"},
                {"size": -1},
                {"size": 2**53},
                {"content": 1},
            )
        ),
    ],
)
def test_every_field_has_a_limit(fields: dict, place: str) -> None:
    with pytest.raises(errors.Malformed, match=f"^{place}: "):
        opened(changed(**fields))


def test_what_is_at_the_limit_is_taken_and_unknown_fields_are_passed_over() -> None:
    full = {**DEPLOYMENT, "release": "1" * 128, "instances": [{**INSTANCE, "path": "p" * 512, "more": []}] * 256}
    order = opened(changed(deployment=full, generation=2**53 - 1, epoch=2**53 - 1, more={"x": 1}))
    assert (order.generation, order.epoch, len(order.deployment.instances)) == (2**53 - 1, 2**53 - 1, 256)
    assert not hasattr(order, "more")


def test_half_a_surrogate_pair_is_no_text() -> None:
    broken = {**DEPLOYMENT, "instances": [{**INSTANCE, "content": "\ud800"}]}
    with pytest.raises(errors.Malformed, match="Invalid JSON: unexpected end of hex escape"):
        opened(changed(deployment=broken))


def test_the_digest_of_an_order_is_the_documented_formula() -> None:
    text = f"{ROBOT} 1 17 {ONE} {ORDER.deployment.digest} DPL-0000000000000002"
    assert ORDER.digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    nothing = ORDER.model_copy(update={"deployment": None, "fallback": None})
    assert nothing.digest == f"sha256:{hashlib.sha256(f'{ROBOT} 1 17 - -'.encode()).hexdigest()}"


def test_the_digest_tells_orders_apart_by_what_they_order() -> None:
    other_content = an_order("speed: 2\n").deployment
    different = [
        ORDER,
        *(
            ORDER.model_copy(update=change)
            for change in (
                {"device": "dev-2"},
                {"epoch": 2},
                {"generation": 18},
                {"epoch": 11, "generation": 7},
                {"deployment": None},
                {"deployment": other_content},
                {"deployment": ORDER.deployment.model_copy(update={"id": TWO})},
                {"fallback": None},
                {"fallback": TWO},
                {"deployment": None, "fallback": None},
            )
        ),
    ]
    assert len({order.digest for order in different}) == len(different)
    assert ORDER.model_copy(update={"issued_at": NOW + datetime.timedelta(days=1)}).digest == ORDER.digest


def test_an_order_is_a_value() -> None:
    assert hash(an_order()) == hash(ORDER)
    with pytest.raises(ValueError, match="frozen"):
        ORDER.generation = 18
    with pytest.raises(dataclasses.FrozenInstanceError):
        SIGNER.key.raw = b""
    assert isinstance(ORDER, messages.Message)


def several(*contents: str) -> Desired:
    """An order for these files."""
    instances = tuple(
        Instance(
            id="CFG-7K3QF0H2M9XW4RTC",
            path=f"{number}.txt",
            digest=digests.of_bytes(content.encode()),
            size=len(content.encode()),
            content=content,
        )
        for number, content in enumerate(contents)
    )
    manifest = Manifest(
        id=ONE, release="1.4.0", digest=digests.of_files(each.file for each in instances), instances=instances
    )
    return ORDER.model_copy(update={"deployment": manifest})


def noise(size: int, seed: int = 1) -> str:
    return random.Random(seed).randbytes(size // 2).hex()


def test_what_fits_is_left_whole() -> None:
    assert desired.seal_to_fit(ORDER, SIGNER) == (desired.seal_desired(ORDER, SIGNER), frozenset())


def test_the_fewest_and_largest_contents_are_left_out() -> None:
    order = several(*(noise(size, size) for size in (4_000, 60_000, 2_000, 90_000, 30_000, 8_000)))
    envelope, left_out = desired.seal_to_fit(order, SIGNER, limit=60_000)
    found = opened(envelope)
    assert len(envelope) <= 60_000
    assert [each.content is None for each in found.deployment.instances] == [False, True, False, True, False, False]
    assert left_out == {each.digest for each in found.deployment.instances if each.content is None}
    assert found == desired.referring(order, left_out)
    assert (found.digest, found.deployment.digest) == (order.digest, order.deployment.digest)


def test_equal_contents_are_left_out_together() -> None:
    twice = noise(90_000)
    envelope, left_out = desired.seal_to_fit(several(twice, "x", twice), SIGNER, limit=60_000)
    assert [each.data for each in opened(envelope).deployment.instances] == [None, b"x", None]
    assert left_out == {digests.of_bytes(twice.encode())}


@pytest.mark.parametrize("limit", range(900, 4_000, 300))
def test_one_content_more_would_never_have_fitted(limit: int) -> None:
    order = several(*(noise(size, size) for size in (200, 400, 600, 800)))
    envelope, left_out = desired.seal_to_fit(order, SIGNER, limit=limit + 1_400)
    assert len(envelope) <= limit + 1_400
    if left_out:
        smallest = min(left_out, key=lambda digest: next(
            each.size for each in order.deployment.instances if each.digest == digest
        ))  # fmt: skip
        with pytest.raises(errors.TooLarge):
            desired.seal_desired(desired.referring(order, left_out - {smallest}), SIGNER, limit=limit + 1_400)


def test_a_manifest_that_does_not_fit_is_refused() -> None:
    with pytest.raises(errors.TooLarge, match="the limit is 500"):
        desired.seal_to_fit(ORDER, SIGNER, limit=500)
    nothing = ORDER.model_copy(update={"deployment": None})
    with pytest.raises(errors.TooLarge, match="the limit is 50"):
        desired.seal_to_fit(nothing, SIGNER, limit=50)
    assert desired.referring(nothing, {ORDER.deployment.digest}) == nothing
