"""An ext4 file system in a file, whose power can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from power import kernel

IMAGE_BYTES = 24 * 2**20
_SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class Volume:
    """One file system over one image, which lasts. ``mount``, then ``cut`` or ``unmount``, as often as one likes.

    Args:
        directory: for the image and the mount point, which are made.
        options: of mount(8).

    Raises:
        kernel.LacksError: mkfs.ext4 or a loop device cannot be had.
    """

    def __init__(self, directory: Path, name: str, options: str) -> None:
        self.image = directory / f"{name}.img"
        self.point = directory / name
        self.point.mkdir()
        self._options = options
        with self.image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        subprocess.run([_tool("mkfs.ext4"), "-q", "-F", "-b", "4096", self.image], check=True)
        self._device, self._held = kernel.attach(self.image)
        self._is_mounted = False

    def mount(self) -> None:
        """Mounts it."""
        kernel.mount(self._device, self.point, self._options)
        self._is_mounted = True

    def cut(self) -> None:
        """Cuts its power; whoever used it is to be killed, then ``unmount``."""
        kernel.cut_off(self.point)

    def unmount(self) -> None:
        """Unmounts it, if it is mounted."""
        if self._is_mounted:
            kernel.unmount(self.point)
            self._is_mounted = False

    def faults(self) -> str | None:
        """What e2fsck finds in it; None if it is sound. It is unmounted then, and was before, in good order."""
        ran = subprocess.run([_tool("e2fsck"), "-fn", self.image], capture_output=True, text=True, check=False)
        return ran.stdout + ran.stderr if ran.returncode else None

    @property
    def blocks_used(self) -> int:
        """Blocks of 4096 bytes in use, the file system's own among them."""
        found = os.statvfs(self.point)
        return found.f_blocks - found.f_bfree

    def close(self) -> None:
        """Unmounts it and gives the loop device back."""
        self.unmount()
        os.close(self._held)


def _tool(name: str) -> str:
    found = shutil.which(name, path=_SBIN)
    if found is None:
        raise kernel.LacksError(f"there is no {name} here: apt install e2fsprogs")
    return found
