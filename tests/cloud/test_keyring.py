"""The keys in a data directory, held against the key list of its database."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from keys_world import AT, ROOT, a_list, sealed
from shallop_cloud import errors, keyring, root_keys
from shallop_cloud.keyring import Keyring
from shallop_cloud.store import key_lists
from shallop_cloud.store.database import Database
from shallop_protocol import dsse, keys

ONE, TWO = (dsse.signer_from_seed(bytes([number]) * 32) for number in (1, 2))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.in_directory(tmp_path)
    yield made
    made.close()


def _put(data: Path, seed: int, name: str = keyring.SIGNING_KEY) -> None:
    (data / name).write_text((bytes([seed]) * 32).hex())


def _prepare(data: Path, listed: keys.KeyList, threshold: int = 1) -> None:
    prepared = {"roots": [ROOT.key.text], "threshold": threshold, "key_list": sealed(listed).decode()}
    (data / keyring.PREPARED).write_text(json.dumps(prepared))


def _renew(database: Database, listed: keys.KeyList) -> None:
    with database.write() as connection:
        key_lists.renew(connection, listed.version, listed.epoch, sealed(listed).decode(), AT)


def test_the_first_start_makes_a_root_a_key_and_list_one(tmp_path: Path, database: Database) -> None:
    ring = Keyring(tmp_path, database)
    standing = ring.standing
    assert standing.roots.keys == (root_keys.load(tmp_path / "root.key").key,)
    assert (standing.listed.version, standing.listed.epoch) == (1, 1)
    assert [signer.key.keyid for signer in ring.signers] == list(standing.listed.active)
    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == 0o600
    (tmp_path / "root.key").unlink()
    again = Keyring(tmp_path, database).standing
    assert (again.roots, again.envelope) == (standing.roots, standing.envelope)


def test_a_directory_from_before_keeps_its_key(tmp_path: Path, database: Database) -> None:
    _put(tmp_path, 1)
    assert list(Keyring(tmp_path, database).standing.listed.active) == [ONE.key.keyid]


def test_what_was_prepared_is_taken_up(tmp_path: Path, database: Database) -> None:
    _put(tmp_path, 1)
    _prepare(tmp_path, a_list(ONE.key))
    ring = Keyring(tmp_path, database)
    assert (ring.standing.listed, ring.standing.roots.keys) == (a_list(ONE.key), (ROOT.key,))
    assert not (tmp_path / "root.key").exists()
    Keyring(tmp_path, database)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: _prepare(path, a_list(ONE.key), threshold=2), "cannot be met by 1 root keys"),
        (lambda path: (path / keyring.PREPARED).write_text("{}"), "not what shallop key init writes"),
        (lambda path: _prepare(path, a_list(TWO.key)), "has the private half of none"),
        (lambda path: _put(path, 1, "root.key"), "is no private key in PEM"),
        (lambda path: (path / "signing.key").write_text("no key"), "no signing key: 64 hex digits"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_says_what_to_do(tmp_path: Path, database: Database, write, words) -> None:
    _put(tmp_path, 1)
    write(tmp_path)
    with pytest.raises(errors.StartupError, match=words):
        Keyring(tmp_path, database)


def test_roots_do_not_change(tmp_path: Path, database: Database) -> None:
    Keyring(tmp_path, database)
    _prepare(tmp_path, a_list(ONE.key))
    with pytest.raises(errors.StartupError, match="other root keys"):
        Keyring(tmp_path, database)


def test_it_signs_with_what_the_list_names_and_the_directory_has(tmp_path: Path, database: Database) -> None:
    _put(tmp_path, 1)
    _prepare(tmp_path, a_list(ONE.key))
    ring = Keyring(tmp_path, database)
    made = ring.generate()
    assert [signer.key for signer in ring.signers] == [ONE.key]
    assert not ring.refresh()
    _renew(database, a_list(ONE.key, made, version=2))
    assert ring.refresh()
    assert [signer.key for signer in ring.signers] == [ONE.key, made]
    _renew(database, a_list(TWO.key, version=3))
    assert ring.refresh()
    assert ring.signers == ()
    _put(tmp_path, 2, "signing-two.key")
    (tmp_path / "signing-broken.key").write_text("half a ke")
    ring.refresh()
    assert [signer.key for signer in ring.signers] == [TWO.key]
    assert [signer.key for signer in Keyring(tmp_path, database).signers] == [TWO.key]
