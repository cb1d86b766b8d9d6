"""Links for robot software that insists on a path of its own: each leads into ``current/``, and never changes again.

Only the device's settings ask for one, never the cloud. What is in its place and is not such a link stays as it is. A
link that is no longer in the settings stays too: who set it up removes it, since nothing here can know whether robot
software still reads it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

_NEW = ".shallopd-new"

logger = logging.getLogger(__name__)


def lay(links: Mapping[Path, str], current: Path) -> list[str]:
    """Makes and repairs the links, each at one instant. One that leads below the configuration root is ours.

    Args:
        links: where they are, and where below ``current`` they lead.
        current: what robot software reads, in the configuration root.

    Returns:
        What could not be done, in words for a person; it is logged as well.
    """
    troubles = [trouble for path, target in links.items() if (trouble := _lay(path, current, target))]
    for trouble in troubles:
        logger.warning(trouble)
    return troubles


def _lay(path: Path, current: Path, target: str) -> str | None:
    wanted = current / target
    try:
        if path.is_symlink():
            found = path.readlink()
            if found == wanted:
                return None
            if not found.is_relative_to(current.parent):
                return f"{path} is a link to {found}; remove it, then the agent links it to {wanted} when it starts"
        elif path.exists():
            return f"{path} is there already and is no link; move it away, then the agent links it to {wanted}"
        new = path.with_name(path.name + _NEW)
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        new.symlink_to(wanted)
        new.rename(path)
        _sync(path.parent)
    except OSError as error:
        return f"cannot link {path} to {wanted}: {error.strerror or error}"
    logger.info("%s leads to %s", path, wanted)
    return None


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
