"""Orders that are carried by hand: taken like any other, or refused with nothing done."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from shallop_device import bundles, contents, errors, state, testing
from shallop_device.cli import root
from shallop_protocol import desired, digests, keys
from shallop_protocol.desired import Desired, Instance, Manifest

MAP = b"P5 1 1 255\n\xff" + bytes(range(256)) * 2_000
FILES = {"motion.yaml": b"max: 1\n", "maps/site.pgm": MAP}


@pytest.fixture
def robot(tmp_path: Path, shore: testing.Shore) -> testing.Robot:
    """Enrolled, and its agent does not run."""
    robot = testing.Robot(tmp_path, shore)
    robot.store.close()
    return robot


def order(shore: testing.Shore, files: dict[str, bytes] = FILES) -> Desired:
    small = shore.manifest(dict.fromkeys(files, ""))
    instances = tuple(
        Instance(
            id=each.id,
            path=path,
            digest=digests.of_bytes(data),
            size=len(data),
            content=None if data == MAP else data.decode(),
        )
        for each, (path, data) in zip(small.instances, files.items(), strict=True)
    )
    digest = digests.of_files(each.file for each in instances)
    return shore.order(Manifest(id=small.id, release="1.0.0", digest=digest, instances=instances))


def tar(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def carried(shore: testing.Shore, wanted: Desired, data: bytes = MAP) -> bytes:
    return tar((bundles.ORDER, shore.seal(wanted)), (f"contents/{digests.of_bytes(MAP)[7:]}", data))


@pytest.fixture
def shallopd(robot: testing.Robot, tmp_path: Path) -> Callable[..., Result]:
    def run(*arguments: str, bundle: bytes | None = None) -> Result:
        if bundle is not None:
            (tmp_path / "bundle").write_bytes(bundle)
            arguments = (*arguments, str(tmp_path / "bundle"))
        return CliRunner().invoke(root.shallopd, [*arguments, "--state", str(robot.state)])

    return run


def visible(robot: testing.Robot) -> dict[str, bytes] | None:
    current = robot.root / "current"
    if not current.exists():
        return None
    return {str(path.relative_to(current)): path.read_bytes() for path in current.rglob("*") if path.is_file()}


def test_a_bundle_comes_into_force_without_any_network(
    robot: testing.Robot, shore: testing.Shore, shallopd: Callable[..., Result]
) -> None:
    wanted = order(shore)
    assert wanted.deployment is not None
    ran = shallopd("apply-bundle", bundle=carried(shore, wanted))
    assert (ran.exit_code, ran.output.splitlines()[0]) == (0, f"{wanted.deployment.id}, release 1.0.0, is in force")
    assert visible(robot) == FILES
    assert list((robot.state / contents.DIRECTORY).iterdir()) == []
    report = testing.read_report(shallopd("report").output.encode())
    assert (report.generation, report.current) == (1, wanted.deployment.id)
    again = shallopd("apply-bundle", bundle=carried(shore, wanted))
    assert again.exit_code == 0
    nothing = shallopd("apply-bundle", bundle=tar((bundles.ORDER, shore.seal(shore.order(None)))))
    assert (nothing.exit_code, nothing.output.splitlines()[0]) == (0, "everything is taken off")
    assert visible(robot) is None


def test_what_can_never_be_applied_is_said(shore: testing.Shore, shallopd: Callable[..., Result]) -> None:
    wanted = order(shore, {"../motion.yaml": b"max: 1\n"})
    ran = shallopd("apply-bundle", bundle=tar((bundles.ORDER, shore.seal(wanted))))
    assert (ran.exit_code, "failed: " in ran.output) == (1, True)


def test_there_is_no_report_before_the_first(shallopd: Callable[..., Result]) -> None:
    with pytest.raises(errors.AgentError, match="there is no report yet"):
        raise shallopd("report").exception  # type: ignore[misc]


def test_an_agent_that_runs_and_has_no_door_is_not_interfered_with(
    robot: testing.Robot, shore: testing.Shore, shallopd: Callable[..., Result]
) -> None:
    with state.locked(robot.state):
        ran = shallopd("apply-bundle", bundle=carried(shore, order(shore)))
    assert "there is no agent at" in str(ran.exception)
    assert visible(robot) is None


def _changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def bad_bundles(shore: testing.Shore) -> list[tuple[bytes, str]]:
    wanted = order(shore)
    sealed, name = shore.seal(wanted), f"contents/{digests.of_bytes(MAP)[7:]}"
    good = carried(shore, wanted)
    linked = io.BytesIO()
    with tarfile.open(fileobj=linked, mode="w") as made:
        made.addfile(tarfile.TarInfo(bundles.ORDER))
        link = tarfile.TarInfo("contents/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    stranger, other = testing.Shore(seed=2), testing.Shore(device="DEV-0000000000000000")
    return [
        (b"", "none"),
        (b"not a tar" * 200, "damaged"),
        (good[:700], "cut short"),
        (good[:-12_000], "cut short"),
        (good[: len(good) // 2], "cut short"),
        (_changed(good, 10), "damaged"),
        (_changed(good, 10_000), "maps/site.pgm is damaged"),
        (good + b"more", "something behind its end"),
        (tar(("other.json", sealed)), "does not begin with keys.json and desired.json"),
        (linked.getvalue(), "the order in the bundle is refused"),
        (tar((bundles.ORDER, sealed)), "lacks maps/site.pgm"),
        (tar((bundles.ORDER, sealed), ("../../etc/passwd", b"x")), "does not belong there"),
        (tar((bundles.ORDER, sealed), (name, MAP), (name, MAP)), "does not belong there"),
        (tar((bundles.ORDER, sealed), (f"contents/{'0' * 64}", b"x")), "does not belong there"),
        (tar((bundles.ORDER, sealed), (name, MAP + b"x")), "damaged"),
        (tar((bundles.ORDER, b"{}")), "the order in the bundle is refused"),
        (tar((bundles.ORDER, b" " * (desired.MAX_ENVELOPE_BYTES + 1))), "does not begin with"),
        (carried(stranger, order(stranger)), "the order in the bundle is refused"),
        (tar((bundles.KEYS, stranger.rotate()), (bundles.ORDER, sealed)), "the key list in the bundle is refused"),
        (tar((bundles.KEYS, b" " * 20_000), (bundles.ORDER, sealed)), "does not begin with"),
        (tar((bundles.KEYS, shore.key_list)), "does not begin with"),
        (carried(shore, order(other)), "the order is for dev-0000000000000000"),
    ]


def test_a_bundle_brings_the_keys_that_its_order_needs(
    robot: testing.Robot, shore: testing.Shore, shallopd: Callable[..., Result]
) -> None:
    first = shore.key_list
    listed = shore.rotate(keys.KeyState.REVOKED, epochs=1)
    data = shore.seal(order(shore, {"motion.yaml": b"max: 1\n"}))

    refused = shallopd("apply-bundle", bundle=tar((bundles.ORDER, data)))
    assert isinstance(refused.exception, bundles.BadBundle)
    assert shallopd("apply-bundle", bundle=tar((bundles.KEYS, listed), (bundles.ORDER, data))).exit_code == 0
    assert visible(robot) == {"motion.yaml": b"max: 1\n"}
    assert json.loads(shallopd("report").output)["keys"] == 2

    later = shore.seal(order(shore, {"motion.yaml": b"max: 2\n"}))
    assert shallopd("apply-bundle", bundle=tar((bundles.KEYS, first), (bundles.ORDER, later))).exit_code == 0
    assert json.loads(shallopd("report").output)["keys"] == 2


def test_a_bad_bundle_is_refused_and_nothing_is_done(
    robot: testing.Robot, shore: testing.Shore, shallopd: Callable[..., Result]
) -> None:
    before = (robot.state / "state.db").read_bytes()
    for bad, words in bad_bundles(shore):
        ran = shallopd("apply-bundle", bundle=bad)
        assert isinstance(ran.exception, bundles.BadBundle), words
        assert words in str(ran.exception)
        assert (robot.state / "state.db").read_bytes() == before
        assert not (robot.state / contents.DIRECTORY).exists()
        assert list(robot.root.iterdir()) == []


def test_an_older_order_is_refused(shore: testing.Shore, shallopd: Callable[..., Result]) -> None:
    old, new = order(shore), order(shore, {"motion.yaml": b"max: 2\n"})
    assert shallopd("apply-bundle", bundle=tar((bundles.ORDER, shore.seal(new)))).exit_code == 0
    ran = shallopd("apply-bundle", bundle=carried(shore, old))
    assert isinstance(ran.exception, bundles.BadBundle)
    assert "generation" in str(ran.exception)
    assert json.loads(shallopd("report").output)["generation"] == 2
