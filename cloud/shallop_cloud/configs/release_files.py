"""The files of a release on disk: read below one directory and nowhere else, and the git commit that they lie in."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Sequence

from shallop_cloud.configs import linking, values

_GIT_SECONDS = 10


class Directory:
    """The directory that the files of a release are named by relative paths from."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    @classmethod
    def around(cls, files: Sequence[pathlib.Path]) -> Directory:
        """The working directory if it holds all these files, else the nearest one that does."""
        here = cls(pathlib.Path())
        if all(map(here.holds, files)):
            return here
        return cls(pathlib.Path(os.path.commonpath([_absolute(file).parent for file in files])))

    def holds(self, file: pathlib.Path) -> bool:
        """Whether a file lies in this directory or below it, by its path alone."""
        return _absolute(file).is_relative_to(_absolute(self.path))

    def name_of(self, file: pathlib.Path) -> str:
        """The relative path of a file that lies below this directory."""
        return _absolute(file).relative_to(_absolute(self.path)).as_posix()

    def shown(self, name: str) -> str:
        """What people call a file of this directory."""
        return str(self.path / name)

    def read(self, name: str) -> bytes | None:
        """A file's content by its relative path, None if it is not there.

        Raises:
            UnreadableError: it leads out of the directory (also by a symlink), or cannot be read.
        """
        path = self.path / name
        try:
            inside = path.resolve().is_relative_to(self.path.resolve())
        except (OSError, RuntimeError, ValueError) as error:  # a loop of symlinks, a name that no file can have
            raise linking.UnreadableError(f"{values.show(name)} cannot be read: {error}") from None
        if not inside:
            raise linking.UnreadableError(f"{values.show(name)} leads out of the release's directory")
        return read(path)

    def existing(self, name: str) -> bytes:
        """A file's content by its relative path; raises as `read` does, and if there is no such file."""
        return existing(self.read(name), name)

    def git_commit(self) -> str | None:
        """The commit checked out here; None outside of a repository, or without git."""
        git = shutil.which("git")
        if git is None:
            return None
        command = [git, "-C", str(self.path), "rev-parse", "--verify", "HEAD"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return None
        commit = done.stdout.strip()
        return commit if done.returncode == 0 and re.fullmatch("[0-9a-f]{40}", commit) else None


def _absolute(path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(os.path.normpath(path.absolute()))


def existing(content: bytes | None, name: str) -> bytes:
    """The content of a file that was read.

    Raises:
        UnreadableError: it is not there.
    """
    if content is None:
        raise linking.UnreadableError(f"there is no file {name}")
    return content


def read(path: pathlib.Path) -> bytes | None:
    """A file's content, None if it is not there.

    Raises:
        UnreadableError: it is no regular file, too large, or cannot be read.
    """
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise linking.UnreadableError(f"{path.name} is not a regular file")
        if path.stat().st_size > linking.MAX_BYTES:
            raise linking.UnreadableError(f"{path.name} is larger than {linking.MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise linking.UnreadableError(f"{path.name} cannot be read: {error.strerror}") from None
