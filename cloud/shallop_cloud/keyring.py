"""By which keys this server signs: the private halves in its data directory, and the key list in its database.

The list counts. A private half whose public one is not active there signs nothing; it may be one that was made for a
rotation and waits for the list that names it.
"""

from __future__ import annotations

import dataclasses
import datetime
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pydantic
import structlog
from shallop_protocol import dsse, keys, messages

from shallop_cloud import errors, files, root_keys
from shallop_cloud.store import key_lists
from shallop_cloud.store.database import Database

ROOT_KEY = "root.key"
SIGNING_KEY = "signing.key"
SIGNING_KEYS = "signing*.key"
PREPARED = "keys.json"
"""What ``shallop key init`` leaves in a data directory for the first start: the roots and list 1."""

log = structlog.get_logger()


class Prepared(pydantic.BaseModel):
    """The roots of a fleet and its first key list, made before the first start."""

    roots: list[str]
    threshold: Annotated[int, pydantic.Field(strict=True)]
    key_list: str


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What counts at a moment.

    Attributes:
        listed, envelope: the key list in force, and the bytes by which it travels.
        signers: those of its active keys whose private half is here; none on a server that cannot sign.
    """

    roots: keys.Roots
    listed: keys.KeyList
    envelope: bytes
    signers: tuple[dsse.Signer, ...]


class Keyring:
    """What this server signs with. For many threads: ``standing`` is one value, which ``refresh`` replaces.

    At the first start of a database, list 1 is taken from what was prepared, or made with a root key of its own.

    Raises:
        errors.StartupError: no private half of an active key is in the directory, or what was prepared for the first
            start does not fit.
    """

    def __init__(self, data: Path, database: Database) -> None:
        self._data = data
        self._database = database
        self._lock = threading.Lock()
        with database.write() as connection:
            database.take_turns(connection)
            if key_lists.find(connection) is None:
                key_lists.record(connection, _first(data), _now())
        self._held = _held(data)
        self._standing = self._read()
        self._check_start()

    @property
    def standing(self) -> Standing:
        """What counts now, as far as this server knows; all of it of one moment."""
        return self._standing

    @property
    def signers(self) -> tuple[dsse.Signer, ...]:
        """Those that sign."""
        return self._standing.signers

    @property
    def held(self) -> Mapping[str, dsse.PublicKey]:
        """All keys whose private halves are here, listed or not, by key id."""
        return {keyid: signer.key for keyid, signer in self._held.items()}

    def refresh(self) -> bool:
        """Takes over the list that the database has by now; gives whether it is another. Raises as ``read`` does."""
        with self._database.read() as connection:
            version, _ = key_lists.newest(connection)
        known = self._standing
        if version == known.listed.version and known.signers:
            return False
        with self._lock:
            self._held = _held(self._data)
            self._standing = self._read()
        if version == known.listed.version:
            return False
        if not self._standing.signers:
            log.error(
                "this server has the private half of none of the keys that sign now, and leaves the link to another",
                key_list=version,
                hint=f"copy {SIGNING_KEYS} from the data directory of a server that has one",
            )
        return True

    def generate(self) -> dsse.PublicKey:
        """Makes a signing key. It signs nothing until a key list names it."""
        seed = secrets.token_bytes(32)
        signer = dsse.signer_from_seed(seed)
        files.write(self._data / f"signing-{signer.key.keyid}.key", f"{seed.hex()}\n".encode())
        with self._lock:
            self._held = {**self._held, signer.key.keyid: signer}
        return signer.key

    def _read(self) -> Standing:
        with self._database.read() as connection:
            recorded = key_lists.find(connection)
        assert recorded is not None, "a list is there from the first start on"
        roots = roots_of(recorded)
        envelope = recorded.envelope.encode()
        listed = keys.open_key_list(envelope, roots)
        signers = tuple(self._held[keyid] for keyid in listed.active if keyid in self._held)
        return Standing(roots, listed, envelope, signers)

    def _check_start(self) -> None:
        standing = self._standing
        prepared = _prepared(self._data)
        if prepared is not None and set(prepared.roots) != {key.text for key in standing.roots.keys}:
            words = f"{self._data / PREPARED} names other root keys than this database, whose robots pinned theirs"
            raise errors.StartupError(words, f"remove {PREPARED}, or begin with a database of its own")
        if not standing.signers:
            active = ", ".join(standing.listed.active)
            words = f"{self._data} has the private half of none of the keys that sign for this database ({active})"
            raise errors.StartupError(words, COPY)


COPY = (
    f"copy {SIGNING_KEYS} from the data directory of a server that has one, and mqtt/cloud.password with it "
    "if the broker reads that server's password file"
)


def roots_of(recorded: key_lists.Recorded) -> keys.Roots:
    """The roots of a database."""
    return keys.Roots(tuple(dsse.PublicKey.from_text(text) for text in recorded.roots), recorded.threshold)


def first_list(signing: dsse.PublicKey, at: datetime.datetime) -> keys.KeyList:
    """The list that a fleet begins with."""
    entry = keys.SigningKey(key=signing.text, state=keys.KeyState.ACTIVE)
    return keys.KeyList(version=1, epoch=1, issued_at=messages.utc(at), signing_keys=(entry,))


def signing_key(data: Path) -> dsse.Signer:
    """The first signing key of a data directory, made if it has none.

    Raises:
        errors.StartupError: the file is none.
    """
    path = data / SIGNING_KEY
    files.secret(path, lambda: secrets.token_bytes(32).hex())
    return _signer(path)


def _first(data: Path) -> key_lists.Recorded:
    """The roots and list 1 of a new database: what was prepared, or made now."""
    prepared = _prepared(data)
    if prepared is None:
        root = _root(data / ROOT_KEY)
        sealed = keys.seal_key_list(first_list(signing_key(data).key, _now()), [root])
        return key_lists.Recorded([root.key.text], 1, 1, 1, sealed.decode())
    try:
        roots = keys.Roots(tuple(dsse.PublicKey.from_text(text) for text in prepared.roots), prepared.threshold)
        listed = keys.open_key_list(prepared.key_list.encode(), roots)
    except ValueError as error:
        hint = "make it anew with shallop key init, or have it signed by enough roots"
        raise errors.StartupError(f"{data / PREPARED} cannot be used: {error}", hint) from None
    return key_lists.Recorded(prepared.roots, prepared.threshold, listed.version, listed.epoch, prepared.key_list)


def _prepared(data: Path) -> Prepared | None:
    path = data / PREPARED
    try:
        return Prepared.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        words = f"{path} is not what shallop key init writes"
        raise errors.StartupError(words, "remove it, and make it anew with shallop key init") from None


def _root(path: Path) -> dsse.Signer:
    """The root key of a server that makes its own."""
    if path.exists():  # a first start was interrupted
        try:
            return root_keys.load(path)
        except root_keys.RootKeyError as error:
            raise errors.StartupError(str(error), f"or move {path} away, and another is made") from None
    root = root_keys.make(path)
    log.warning("a root key was made; keep it where no server can read it, and a copy elsewhere", file=str(path))
    return root


def _held(data: Path) -> dict[str, dsse.Signer]:
    """The signing keys in a data directory, by key id. A file that is none makes no other useless."""
    found: dict[str, dsse.Signer] = {}
    for path in sorted(data.glob(SIGNING_KEYS)):
        try:
            signer = _signer(path)
        except errors.StartupError as error:
            log.error("a file is passed over", why=str(error))  # noqa: TRY400  its words say all
        else:
            found[signer.key.keyid] = signer
    return found


def _signer(path: Path) -> dsse.Signer:
    try:
        return dsse.signer_from_seed(bytes.fromhex(path.read_text().strip()))
    except ValueError:
        raise errors.StartupError(f"{path} is no signing key: 64 hex digits", "put its copy back") from None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
