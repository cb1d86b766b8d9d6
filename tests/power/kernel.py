"""What is asked of Linux and Python's ``os`` does not have: mounts, loop devices, a file system that is cut off, and a
process that stops before each of its system calls that changes something. Needs root."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import signal
import struct
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_CLONE_NEWNS, _MS_PRIVATE, _MS_REC = 0x20000, 1 << 18, 1 << 14
_EXT4_IOC_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE, _LO_FLAGS_AUTOCLEAR = 0x4C82, 0x4C0A, 4
_PTRACE_TRACEME, _PTRACE_CONT, _PTRACE_SETOPTIONS, _PTRACE_GETEVENTMSG = 0, 7, 0x4200, 0x4201
_PTRACE_O_TRACESECCOMP, _PTRACE_O_EXITKILL, _PTRACE_EVENT_SECCOMP = 0x80, 0x100000, 7
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2
_RET_TRACE, _RET_ALLOW = 0x7FF00000, 0x7FFF0000
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ARGUMENTS_AT = 16
_BUSY_DEVICES = 8

_NUMBERS = {
    "x86_64": {
        "write": 1, "pwrite64": 18, "writev": 20, "msync": 26, "fsync": 74, "fdatasync": 75, "truncate": 76,
        "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87,
        "symlink": 88, "chmod": 90, "fchmod": 91, "mkdirat": 258, "unlinkat": 263, "renameat": 264, "linkat": 265,
        "symlinkat": 266, "fchmodat": 268, "fallocate": 285, "pwritev": 296, "renameat2": 316, "fchmodat2": 452,
        "open": 2, "openat": 257,
    },
    "aarch64": {
        "write": 64, "writev": 66, "pwrite64": 68, "pwritev": 70, "msync": 227, "fsync": 82, "fdatasync": 83,
        "truncate": 45, "ftruncate": 46, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37,
        "renameat": 38, "fallocate": 47, "fchmod": 52, "fchmodat": 53, "renameat2": 276, "fchmodat2": 452,
        "openat": 56,
    },
}  # fmt: skip
"""The system calls that change a disk, by machine; SQLite's among them. Opening counts only where it may create."""
_FLAGS_OF = {"open": 1, "openat": 2}
"""Which argument holds the flags."""

CHANGES: dict[str, int] = _NUMBERS.get(platform.machine(), {})


class LacksError(Exception):
    """This machine lacks what a power cut needs; the text says what to do."""


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def leave_mounts_behind() -> None:
    """Gives this process mounts of its own: what it mounts is seen by nobody else, and gone when it ends.

    Raises:
        LacksError: it may not.
    """
    if _LIBC.unshare(_CLONE_NEWNS) or _LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise LacksError(f"cannot have mounts of its own ({os.strerror(ctypes.get_errno())}): run this as root")


def mount(device: str, point: Path, options: str) -> None:
    """Mounts an ext4 file system; its journal is played back then."""
    if _LIBC.mount(device.encode(), os.fsencode(point), b"ext4", 0, options.encode()):
        raise OSError(ctypes.get_errno(), f"cannot mount {device}: {os.strerror(ctypes.get_errno())}", str(point))


def unmount(point: Path) -> None:
    """Unmounts what nobody uses any more."""
    if _LIBC.umount2(os.fsencode(point), 0):
        raise OSError(ctypes.get_errno(), f"cannot unmount: {os.strerror(ctypes.get_errno())}", str(point))


def cut_off(point: Path) -> None:
    """The power goes: what is not on the disk by now never will be, the file system's own log included."""
    descriptor = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


def write_back(point: Path) -> None:
    """Puts on the disk what waits in memory, as the kernel may do by itself at any moment; syncfs(2)."""
    descriptor = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _LIBC.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(point))
    finally:
        os.close(descriptor)


def attach(image: Path) -> tuple[str, int]:
    """A loop device over an image, and the descriptor that holds it: it goes when that is closed, once it is unmounted.

    Raises:
        LacksError: there are no loop devices here.
    """
    try:
        for _ in range(_BUSY_DEVICES):
            control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
            try:
                device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            finally:
                os.close(control)
            loop = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
            try:
                info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, b"", b"", b"", 0, 0)
                fcntl.ioctl(loop, _LOOP_CONFIGURE, struct.pack("=II", backing, 0) + info + bytes(64))
            except OSError:  # somebody else was faster
                os.close(loop)
                continue
            finally:
                os.close(backing)
            return device, loop
    except OSError as error:
        raise LacksError(f"no loop device can be had ({error}): load the module loop, and run this as root") from error
    raise LacksError("no loop device is free: detach some (losetup -D)")


def stop_before_changes() -> None:
    """This process stops before each system call that changes something, for the parent to see; see ``traced``."""
    program = _filter()
    instructions = (_Instruction * len(program))(*(_Instruction(*each) for each in program))
    given = _Program(len(program), instructions)
    if (
        _LIBC.ptrace(_PTRACE_TRACEME, 0, None, None)
        or _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        or _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(given))
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def traced(process: int) -> None:
    """Begins to trace a child that called ``stop_before_changes`` and stopped itself. It dies with this process."""
    _ptrace(_PTRACE_SETOPTIONS, process, _PTRACE_O_TRACESECCOMP | _PTRACE_O_EXITKILL)


def proceed(process: int) -> int:
    """Lets a stopped child run, and gives its status (waitpid(2)) when it stops again or ended."""
    _ptrace(_PTRACE_CONT, process, 0)
    return os.waitpid(process, 0)[1]


def is_before_change(status: int) -> bool:
    """Whether a child stopped before a change, and not for another reason."""
    return status >> 8 == signal.SIGTRAP | _PTRACE_EVENT_SECCOMP << 8


def change_before_which(process: int) -> str:
    """The name of the system call that a stopped child is about to do."""
    number = ctypes.c_ulong()
    _ptrace(_PTRACE_GETEVENTMSG, process, ctypes.addressof(number))
    return list(CHANGES)[number.value]


def _ptrace(request: int, process: int, data: int) -> None:
    if _LIBC.ptrace(request, process, None, data) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _filter() -> list[tuple[int, int, int, int]]:
    """The rules of seccomp(2), in BPF: each call of ``CHANGES`` is told by its place there."""
    program = [(_LOAD, 0, 0, 0)]
    for place, (name, number) in enumerate(CHANGES.items()):
        told = (_RETURN, 0, 0, _RET_TRACE | place)
        if name not in _FLAGS_OF:
            program += [(_JUMP_IF_EQUAL, 0, 1, number), told]
            continue
        program += [
            (_JUMP_IF_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * _FLAGS_OF[name]),
            (_JUMP_IF_SET, 0, 1, os.O_CREAT),
            told,
            (_RETURN, 0, 0, _RET_ALLOW),
        ]
    return [*program, (_RETURN, 0, 0, _RET_ALLOW)]
