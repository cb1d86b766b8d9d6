"""What config files are made of: bytes by their digest, each kept once, in chunks.

A chunk is a row of at most 1 MiB, so a file of hundreds of megabytes is read and written piece by piece, and one code
does it for both databases. A content that is uploaded gets its chunks in several transactions, and counts from the
last of them on (``is_whole``): while a slow one is written, others go on.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import prepared, tables
from shallop_cloud.store.database import Database

CHUNK = 1_048_576
"""Bytes of a chunk. All but the last one of a content have exactly so many, or the content has but one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """What is known of some bytes without looking at them.

    Attributes:
        is_text: whether they are UTF-8.
    """

    digest: str
    size: int
    is_text: bool


def find(connection: sa.Connection, digests: Iterable[str]) -> dict[str, Content]:
    """Those of these contents that are recorded, by digest."""
    rows: Sequence[Any] = connection.execute(_FIND, {"digests": sorted(set(digests))}).all()
    return {digest: Content(digest, size, is_text) for digest, size, is_text in rows}


_FIND = sa.select(tables.contents.c.digest, tables.contents.c.size, tables.contents.c.is_text).where(
    prepared.among(tables.contents.c.digest, "digests"), tables.contents.c.is_whole
)


def read(connection: sa.Connection, digests: Iterable[str]) -> dict[str, bytes]:
    """The bytes of these contents, which are recorded."""
    wanted = sorted(set(digests))
    pieces: dict[str, list[bytes]] = {digest: [] for digest in wanted}
    rows: Sequence[Any] = connection.execute(_READ, {"digests": wanted}).all()
    for digest, data in rows:
        pieces[digest].append(data)
    return {digest: b"".join(each) for digest, each in pieces.items()}


_chunk = tables.content_chunks.c
_READ = (
    sa.select(_chunk.digest, _chunk.data)
    .where(prepared.among(_chunk.digest, "digests"))
    .order_by(_chunk.digest, _chunk.start)
)


def texts(connection: sa.Connection, digests: Iterable[str]) -> dict[str, bytes]:
    """The bytes of those of these contents that are text."""
    pieces: dict[str, list[bytes]] = {}
    rows: Sequence[Any] = connection.execute(_TEXTS, {"digests": sorted(set(digests))}).all()
    for digest, data in rows:
        pieces.setdefault(digest, []).append(data)
    return {digest: b"".join(each) for digest, each in pieces.items()}


_TEXTS = _READ.join(tables.contents, tables.contents.c.digest == _chunk.digest).where(tables.contents.c.is_text)


def stream(database: Database, digest: str, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a recorded content from ``start`` up to ``end``. Each piece is read in a transaction of its own:
    whoever is slow to take them holds nothing up.
    """
    query = (
        sa.select(_chunk.start, _chunk.data)
        .where(_chunk.digest == digest, _chunk.start <= sa.bindparam("at"))
        .order_by(_chunk.start.desc())
        .limit(1)
    )
    while start < end:
        with database.read() as connection:
            begin, data = connection.execute(query, {"at": start}).one()
        piece = data[start - begin : end - begin]
        assert piece, f"content {digest} has no byte {start}"
        yield piece
        start += len(piece)


def insert(connection: sa.Connection, contents: Mapping[str, bytes]) -> None:
    """Records contents; those that are known are kept once."""
    known = find(connection, contents)
    new = {digest: data for digest, data in sorted(contents.items()) if digest not in known}
    if not new:
        return
    rows = [_row(Content(digest, len(data), is_text(data))) for digest, data in new.items()]
    _INSERT.execute(connection, rows)
    _INSERT_CHUNK.execute(connection, [row for digest, data in new.items() for row in _chunks(digest, data)])
    # One of them may be half uploaded by somebody else just now.
    _MAKE_WHOLE.execute(connection, [{"of": digest} for digest in new])


def begin_upload(connection: sa.Connection, content: Content, at: datetime.datetime) -> bool:
    """Notes that a content is being uploaded. False if it is here already; then it is known to be wanted anew."""
    _INSERT.execute(connection, [{**_row(content), "is_whole": False, "uploaded_at": at}])
    column = tables.contents.c
    connection.execute(
        tables.contents.update()
        .where(column.digest == content.digest, column.uploaded_at.is_not(None))
        .values(uploaded_at=at)
    )
    return not connection.execute(sa.select(column.is_whole).where(column.digest == content.digest)).scalar_one()


def add_chunks(connection: sa.Connection, digest: str, start: int, data: bytes) -> None:
    """Records the bytes that stand at ``start``, a multiple of the size of chunks; what is there stays."""
    _INSERT_CHUNK.execute(connection, list(_chunks(digest, data, start)))


def finish_upload(connection: sa.Connection, digest: str) -> None:
    """All chunks are here."""
    _MAKE_WHOLE.execute(connection, [{"of": digest}])


def drop_unused(connection: sa.Connection, before: datetime.datetime) -> int:
    """Deletes what was uploaded, whole or not, before some time, and belongs to no config instance. Gives how many."""
    column = tables.contents.c
    used = sa.exists().where(tables.config_instances.c.digest == column.digest)
    old = sa.and_(column.uploaded_at < before, column.uploaded_at.is_not(None))
    connection.execute(tables.contents.update().where(old, used).values(uploaded_at=None))
    unused = list(connection.scalars(sa.select(column.digest).where(old).with_for_update()))
    connection.execute(tables.content_chunks.delete().where(_chunk.digest.in_(unused)))
    connection.execute(tables.contents.delete().where(column.digest.in_(unused)))
    return len(unused)


def is_text(data: bytes) -> bool:
    """Whether some bytes are UTF-8, and can be the text of an order."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _row(content: Content) -> dict[str, Any]:
    return {**dataclasses.asdict(content), "is_whole": True, "uploaded_at": None}


def _chunks(digest: str, data: bytes, start: int = 0) -> Iterator[dict[str, Any]]:
    for at in range(0, max(len(data), 1), CHUNK):
        yield {"digest": digest, "start": start + at, "data": data[at : at + CHUNK]}


_INSERT = prepared.insert_new(tables.contents, ["digest", "size", "is_text", "is_whole", "uploaded_at"])
_INSERT_CHUNK = prepared.insert_new(tables.content_chunks, ["digest", "start", "data"])
_MAKE_WHOLE = prepared.Prepared(
    tables.contents.update()
    .where(tables.contents.c.digest == sa.bindparam("of"), ~tables.contents.c.is_whole)
    .values(is_whole=sa.true())
)
