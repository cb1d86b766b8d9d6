"""``shallop key``, from the first start to a leaked key, against the real API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_world import served
from click.testing import CliRunner, Result
from cloud_world import World
from keys_world import a_list
from shallop_cloud import keyring, root_keys
from shallop_cloud.cli.root import shallop
from shallop_cloud.testing.ashore import SIGNER, TOKEN
from shallop_protocol import dsse, keys, messages
from shallop_protocol.topics import Kind

Run = Callable[..., Result]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A shore on SQLite; ``two_roots`` prepares another first list."""
    running = World(tmp_path)
    yield running
    running.close()


@pytest.fixture
def two_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A shore whose key lists two of three roots sign."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    made = CliRunner().invoke(shallop, ["key", "init", "--data", str(data), "--out", "roots",
                                        "--roots", "3", "--threshold", "2"])  # fmt: skip
    assert made.exit_code == 0, made.output
    running = World(data)
    yield running
    running.close()


def _runs(world: World) -> Iterator[Run]:
    with served(world) as url:

        def run(*words: str, code: int = 0, table: bool = False) -> Result:
            format_ = [] if table else ["-o", "json"]
            told = {"SHALLOP_URL": url, "SHALLOP_TOKEN": TOKEN}
            result = CliRunner(env=told).invoke(shallop, [*format_, "key", *words])
            problem = result.exception
            got = int(getattr(problem, "exit", result.exit_code))
            assert got == code, (result.output, problem)
            return result

        yield run


@pytest.fixture
def run(world: World) -> Iterator[Run]:
    yield from _runs(world)


@pytest.fixture
def root(tmp_path: Path) -> list[str]:
    return ["--root", str(tmp_path / keyring.ROOT_KEY)]


def _states(world: World) -> dict[str, str]:
    return {each["id"]: each["state"] for each in world.must("GET", "/v1/keys")["keys"]}


def _enrolled(world: World, name: str, keys: int) -> None:
    """A robot that goes by a key list."""
    robot = world.device(name)
    token = world.must("POST", f"/v1/devices/{name}:renew-token")["token"]
    world.must("POST", "/v1/enrolments", {"token": token, "secret": "s" * 40})
    world.hear(robot.id, Kind.REPORT, robot.report().model_copy(update={"keys": keys}).to_bytes())


def test_a_rotation(world: World, run: Run, root: list[str]) -> None:
    old = SIGNER.key.keyid
    run("rotate", *root)
    (new,) = [keyid for keyid in _states(world) if keyid != old]
    assert _states(world) == {old: "active", new: "active"}
    assert {signer.key.keyid for signer in world.ashore.shore.keyring.signers} == {old, new}
    assert "a rotation is under way" in str(run("rotate", *root, code=6).exception)
    run("rotate", "--finish", *root)
    assert _states(world) == {old: "retired", new: "active"}
    assert [signer.key.keyid for signer in world.ashore.shore.keyring.signers] == [new]
    assert "no rotation is under way" in str(run("rotate", "--finish", *root, code=6).exception)
    changes = [row for row in world.must("GET", "/v1/history")["data"] if row["action"] == "keys_changed"]
    assert [(row["before"]["version"], row["after"]["version"]) for row in changes] == [(2, 3), (1, 2)]
    assert changes[0]["after"]["keys"] == {old: "retired", new: "active"}
    assert world.ashore.ordered


def test_a_rotation_is_not_ended_over_robots_that_do_not_follow(world: World, run: Run, root: list[str]) -> None:
    run("rotate", *root)
    _enrolled(world, "amr-1", 1)
    _enrolled(world, "amr-2", 2)
    refused = str(run("rotate", "--finish", *root, code=6).exception)
    assert "do not have key list 2: amr-1;" in refused
    run("rotate", "--finish", "--force", *root)
    assert world.must("GET", "/v1/keys")["version"] == 3


def test_the_list_says_who_goes_by_it(world: World, run: Run) -> None:
    for name, version in (("a", 1), ("b", 1), ("c", 0), ("d", 7)):
        _enrolled(world, name, version)
    found = json.loads(run("list").stdout)
    assert found["devices"] == {"newest": 2, "older": 0, "newer": 1, "unknown": 1}
    shown = run("list", table=True).stdout
    assert "2 go by it, 1 by a newer one than this server knows, 1 have not said" in shown
    assert SIGNER.key.keyid in shown


def test_a_key_that_leaked_ends_with_its_epoch(world: World, run: Run, root: list[str]) -> None:
    run("revoke", SIGNER.key.keyid[:6], *root)
    found = world.must("GET", "/v1/keys")
    assert (found["version"], found["epoch"]) == (2, 2)
    assert [each["state"] for each in found["keys"]] == ["revoked", "active"]
    assert found["keys"][1]["held"]


def test_the_epoch_alone(world: World, run: Run, root: list[str]) -> None:
    run("epoch", *root)
    found = world.must("GET", "/v1/keys")
    assert (found["version"], found["epoch"], len(found["keys"])) == (2, 2, 1)


def test_retiring(world: World, run: Run, root: list[str]) -> None:
    assert "0 keys are active" in str(run("retire", SIGNER.key.keyid, *root, code=6).exception)
    run("rotate", *root)
    run("retire", SIGNER.key.keyid, *root)
    assert _states(world)[SIGNER.key.keyid] == "retired"
    assert "has no key 'zz'" in str(run("retire", "zz", *root, code=5).exception)


def test_two_of_three_roots(two_roots: World, tmp_path: Path) -> None:
    for run in _runs(two_roots):
        told = run("rotate", "--root", "roots/root-1.key").stdout
        assert "signed by 1 of 2 roots" in told
        assert two_roots.must("GET", "/v1/keys")["version"] == 1
        refused = run("publish", "key-list-2.json", code=7)
        assert "1 of the trusted keys signed this, and 2 have to" in str(refused.exception)
        signed = CliRunner().invoke(shallop, ["key", "sign", "key-list-2.json", "--root", "roots/root-3.key"])
        assert "key list 2, epoch 1" in signed.stdout
        run("publish", "key-list-2.json")
        run("publish", "key-list-2.json")
        assert two_roots.must("GET", "/v1/keys")["version"] == 2
        run("rotate", "--finish", "--root", "roots/root-2.key", "--root", "roots/root-3.key")
        assert two_roots.must("GET", "/v1/keys")["version"] == 3


def test_what_cannot_sign(world: World, run: Run, root: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    stranger = root_keys.make(tmp_path / "stranger.key")
    refused = str(run("epoch", "--root", str(tmp_path / "stranger.key"), code=7).exception)
    assert f"stranger.key is root key {stranger.key.keyid}, which no robot of this fleet pinned" in refused
    root_keys.make(tmp_path / "locked.key", "over the sea")
    assert "has a passphrase" in str(run("epoch", "--root", str(tmp_path / "locked.key"), code=7).exception)
    monkeypatch.setenv("SHALLOP_ROOT_PASSPHRASE", "under the sea")
    assert "does not open" in str(run("epoch", "--root", str(tmp_path / "locked.key"), code=7).exception)
    assert "no private key" in str(run("epoch", "--root", str(tmp_path / "signing.key"), code=7).exception)
    assert "cannot be read" in str(run("epoch", "--root", str(tmp_path / "none.key"), code=7).exception)
    assert world.must("GET", "/v1/keys")["version"] == 1


def test_what_is_not_published(world: World, run: Run, root: list[str], tmp_path: Path) -> None:
    home = root_keys.load(tmp_path / keyring.ROOT_KEY)
    path = tmp_path / "list.json"

    def put(listed: keys.KeyList, *signers: dsse.Signer) -> None:
        path.write_bytes(keys.seal_key_list(listed, signers or [home]))

    put(a_list(dsse.signer_from_seed(bytes(32)).key, version=2))
    assert "has the private half of none" in str(run("publish", str(path), code=6).exception)
    put(a_list(SIGNER.key, version=2), dsse.signer_from_seed(bytes(32)))
    assert "must be signed by 1 of the roots" in str(run("publish", str(path), code=7).exception)
    run("epoch", *root)
    put(a_list(SIGNER.key, version=1))
    assert "is older than key list 2" in str(run("publish", str(path), code=6).exception)
    put(a_list(SIGNER.key, version=2))
    assert "another key list 2 is known already" in str(run("publish", str(path), code=6).exception)
    path.write_bytes(dsse.seal("text/plain", messages.Hello().to_bytes(), home))
    assert "is no key list: its payload type" in str(run("publish", str(path), code=7).exception)
    path.write_text("no envelope")
    assert "is no key list" in str(run("publish", str(path), code=7).exception)


def test_a_list_that_its_roots_did_not_sign_is_no_base_for_another(world: World, root: list[str]) -> None:
    from shallop_cloud.cli import exits, successors

    answer = world.must("GET", "/v1/keys")
    forged = keys.seal_key_list(a_list(SIGNER.key), [dsse.signer_from_seed(bytes(32))])
    with pytest.raises(exits.Failure, match="its own roots did not sign"):
        successors.Present.of({**answer, "key_list": forged.decode()})


@pytest.mark.slow
def test_a_list_that_is_full_loses_the_oldest_that_does_not_count(world: World, run: Run, root: list[str]) -> None:
    for _ in range(keys.MAX_KEYS):
        run("rotate", *root)
        run("rotate", "--finish", *root)
    states = list(_states(world).values())
    assert states == ["retired"] * (keys.MAX_KEYS - 1) + ["active"]


def test_what_is_there_already_is_not_made_again(two_roots: World, tmp_path: Path) -> None:
    arguments = ["key", "init", "--data", str(tmp_path / "data"), "--out", "other"]
    again = CliRunner().invoke(shallop, arguments)
    assert "keys.json is there already, and nothing was made" in str(again.exception)
    impossible = CliRunner().invoke(shallop, [*arguments[:-1], "x", "--data", "y", "--threshold", "2"])
    assert "cannot be met by 1 root keys" in str(impossible.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "roots"]
