"""Contents that come by themselves, before a config names them: files that are binary, or large."""

from __future__ import annotations

import codecs
import contextlib
import datetime
import re
import tempfile
from collections.abc import Generator
from typing import IO

from shallop_protocol import digests

from shallop_cloud import errors
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents
from shallop_cloud.store.contents import Content

KEPT = datetime.timedelta(days=1)
"""How long bytes are kept that no config names."""
AT_ONCE = 8 * contents.CHUNK
"""Bytes that one transaction takes: others write in between."""
_DIGEST = re.compile(digests.PATTERN)


class Upload:
    """Bytes that come in pieces, in a file without a name until they are found to be what they should be."""

    def __init__(self, shore: Shore, digest: str, file: IO[bytes]) -> None:
        self._shore = shore
        self._digest = digest
        self._file = file
        self._counted = digests.Counted()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_text = True

    def add(self, piece: bytes) -> None:
        """The next ones; raises as ``check_size`` does."""
        check_size(self._shore, self._counted.size + len(piece))
        self._file.write(piece)
        self._counted.add(piece)
        self._look(piece)

    def finish(self) -> Content:
        """Records the bytes. Doing so again, or beside somebody else, changes nothing.

        Raises:
            errors.Invalid: ``digest_differs``.
        """
        self._look(b"", final=True)
        if self._counted.digest != self._digest:
            words = f"{self._counted.size} bytes came, with digest {self._counted.digest}; said was {self._digest}"
            raise errors.Invalid("digest_differs", f"{words}; nothing was kept")
        content = Content(self._digest, self._counted.size, self._is_text)
        database, at = self._shore.database, self._shore.now()
        with database.write() as connection:
            contents.drop_unused(connection, at - KEPT)
            is_wanted = contents.begin_upload(connection, content, at)
        if is_wanted:
            self._record(content)
        return content

    def _record(self, content: Content) -> None:
        self._file.seek(0)
        start = 0
        while start < content.size or start == 0:
            data = self._file.read(AT_ONCE)
            with self._shore.database.write() as connection:
                contents.add_chunks(connection, content.digest, start, data)
                start += max(len(data), 1)
                if start >= content.size:
                    contents.finish_upload(connection, content.digest)

    def _look(self, piece: bytes, *, final: bool = False) -> None:
        if self._is_text:
            try:
                self._decoder.decode(piece, final)
            except UnicodeDecodeError:
                self._is_text = False


@contextlib.contextmanager
def receiving(shore: Shore, digest: str) -> Generator[Upload]:
    """An upload of bytes that are said to have this digest. What is not finished when the block ends, never was.

    Raises:
        errors.Invalid: ``digest_invalid``.
    """
    if not _DIGEST.match(digest):
        words = f"{digest[:100]!r} is no digest: sha256: and 64 lower-case hex digits"
        raise errors.Invalid("digest_invalid", words)
    with tempfile.TemporaryFile() as file:
        yield Upload(shore, digest, file)


def check_size(shore: Shore, size: int) -> None:
    """Passes if so many bytes may be uploaded.

    Raises:
        errors.Problem: 413 ``content_too_large``.
    """
    limit = shore.limits.content
    if size > limit:
        words = f"the content is larger than {limit} bytes"
        hint = "raise the limit with --content-limit where the server is started, or split the file"
        raise errors.Problem(413, "content_too_large", f"{words}; {hint}")


def find(shore: Shore, digest: str) -> Content:
    """What is known of a recorded content.

    Raises:
        errors.NotFound: there is none.
    """
    with shore.database.read() as connection:
        found = contents.find(connection, [digest])
    if digest not in found:
        raise errors.NotFound("content", digest[:100], "upload it with PUT")
    return found[digest]
