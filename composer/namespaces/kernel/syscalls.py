"""One function per system call, named like the call; they return what it returns or raise `KernelError`.

The library is loaded as `PyDLL`: the interpreter lock stays held, so that a child made by clone3 never
waits for a lock whose holder does not exist in it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel.errors import KernelError

_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_mount = _libc.mount
_mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # as os.fsencode does
_long = ctypes.c_long
_ulong = ctypes.c_ulong


def _check(result: int, call: str, subject: str = "") -> int:
    if result < 0:
        raise KernelError(ctypes.get_errno(), call, subject)
    return result


def _name(path: str | bytes) -> bytes:
    return path if isinstance(path, bytes) else path.encode(_ENCODING, _ERRORS)


def clone3(flags: int, *, cgroup: int = -1, exit_signal: int = 17) -> tuple[int, int]:
    """Fork with *flags*.

    Args:
        flags: CLONE_ flags; CLONE_PIDFD is added.
        cgroup: Descriptor of a cgroup v2 directory the child is born in, or -1.
        exit_signal: Sent to the parent when the child ends.

    Returns:
        (pid, pidfd) in the parent, (0, -1) in the child.
    """
    pidfd = ctypes.c_int(-1)
    flags |= c.CLONE_PIDFD
    if cgroup >= 0:
        flags |= c.CLONE_INTO_CGROUP
    args = struct.pack(
        "11Q", flags, ctypes.addressof(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0, max(cgroup, 0)
    )
    pid = _check(_syscall(_long(c.NR_CLONE3), args, _long(len(args))), "clone3")
    return (pid, pidfd.value) if pid else (0, -1)


def unshare(flags: int) -> None:
    """Leave namespaces."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, flags: int) -> None:
    """Join namespaces of a pidfd or of a namespace file."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)), "setns")


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    """The system call; its manual page is mount in section 2."""
    _check(
        _mount(_name(source), _name(target), _name(fstype), flags, _name(data) if data else None),
        "mount",
        target,
    )


def umount2(target: str, flags: int) -> None:
    """The system call; its manual page is umount in section 2."""
    _check(_libc.umount2(_name(target), ctypes.c_int(flags)), "umount", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """The system call; its manual page is pivot_root in section 2."""
    _check(_syscall(_long(c.NR_PIVOT_ROOT), _name(new_root), _name(put_old)), "pivot_root", new_root)


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """Open *path* below *directory*. Repeats when a rename raced with the walk (EAGAIN)."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    fd = -1
    for _ in range(64):
        fd = _syscall(_long(c.NR_OPENAT2), _long(directory), _name(path), how, _long(len(how)))
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    return _check(fd, "open", path)


def open_tree(directory: int, path: str, flags: int) -> int:
    """A descriptor of a mount, or with OPEN_TREE_CLONE of a detached copy."""
    return _check(
        _syscall(_long(c.NR_OPEN_TREE), _long(directory), _name(path), _ulong(flags | c.OPEN_TREE_CLOEXEC)),
        "open_tree",
        path,
    )


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach a detached mount on an open directory or file."""
    flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
    _check(
        _syscall(_long(c.NR_MOVE_MOUNT), _long(mount_fd), b"", _long(target_fd), b"", _ulong(flags)),
        "move_mount",
    )


def mount_setattr(
    fd: int, path: str, flags: int, *, add: int = 0, clear: int = 0, propagation: int = 0
) -> None:
    """Change attributes of a mount, with AT_RECURSIVE of a whole tree."""
    attr = struct.pack("QQQQ", add, clear, propagation, 0)
    _check(
        _syscall(_long(c.NR_MOUNT_SETATTR), _long(fd), _name(path), _ulong(flags), attr, _long(len(attr))),
        "mount_setattr",
        path,
    )


def fsopen(fstype: str) -> int:
    """A file system context."""
    return _check(_syscall(_long(c.NR_FSOPEN), _name(fstype), _ulong(c.FSOPEN_CLOEXEC)), "fsopen", fstype)


def fsconfig_string(fd: int, key: str, value: str) -> None:
    """Set a parameter; a value has at most 255 bytes."""
    _check(
        _syscall(
            _long(c.NR_FSCONFIG),
            _long(fd),
            _ulong(c.FSCONFIG_SET_STRING),
            _name(key),
            _name(value),
            _long(0),
        ),
        "fsconfig",
        f"{key}={value}",
    )


def fsconfig_flag(fd: int, key: str) -> None:
    """Set a parameter that has no value."""
    _check(
        _syscall(_long(c.NR_FSCONFIG), _long(fd), _ulong(c.FSCONFIG_SET_FLAG), _name(key), None, _long(0)),
        "fsconfig",
        key,
    )


def fsmount(fd: int, attributes: int = 0) -> int:
    """Create the file system of a context and return its detached mount."""
    if _syscall(_long(c.NR_FSCONFIG), _long(fd), _ulong(c.FSCONFIG_CMD_CREATE), None, None, _long(0)) < 0:
        number = ctypes.get_errno()
        raise KernelError(number, "fsconfig", _context_log(fd))
    return _check(
        _syscall(_long(c.NR_FSMOUNT), _long(fd), _ulong(c.FSMOUNT_CLOEXEC), _ulong(attributes)), "fsmount"
    )


def _context_log(fd: int) -> str:
    """The kernel's own words on why a context failed; looked at only when it did."""
    try:
        return os.read(fd, 4096).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def prctl(option: int, arg2: int = 0, arg3: int = 0) -> int:
    """The system call; its manual page is prctl in section 2."""
    return _check(
        _libc.prctl(ctypes.c_int(option), _ulong(arg2), _ulong(arg3), _ulong(0), _ulong(0)), "prctl"
    )


def sethostname(name: str) -> None:
    """The system call; its manual page is sethostname in section 2."""
    raw = _name(name)
    _check(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname", name)


def setdomainname(name: str) -> None:
    """The system call; its manual page is setdomainname in section 2."""
    raw = _name(name)
    _check(_libc.setdomainname(raw, ctypes.c_size_t(len(raw))), "setdomainname", name)


def prlimit(pid: int, resource: int, soft: int, hard: int) -> None:
    """Set a resource limit; -1 is infinity."""
    value = struct.pack("QQ", soft & 0xFFFFFFFFFFFFFFFF, hard & 0xFFFFFFFFFFFFFFFF)
    _check(_syscall(_long(c.NR_PRLIMIT64), _long(pid), _long(resource), value, None), "prlimit")


def getrlimit(resource: int) -> tuple[int, int]:
    """Soft and hard limit of this process; -1 is infinity."""
    value = ctypes.create_string_buffer(16)
    _check(_syscall(_long(c.NR_PRLIMIT64), _long(0), _long(resource), None, value), "prlimit")
    soft, hard = struct.unpack("qq", value.raw)
    return soft, hard


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the capability sets of this thread."""
    header = struct.pack("Ii", c.CAPABILITY_VERSION_3, 0)
    low = 0xFFFFFFFF
    data = struct.pack(
        "6I",
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> 32,
        permitted >> 32,
        inheritable >> 32,
    )
    _check(_syscall(_long(c.NR_CAPSET), header, data), "capset")


def capget() -> int:
    """The permitted capability set of this thread."""
    header = struct.pack("Ii", c.CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    _check(_syscall(_long(c.NR_CAPGET), header, data), "capget")
    fields = struct.unpack("6I", data.raw)
    return int(fields[1] | fields[4] << 32)


def seccomp_load(program: bytes) -> None:
    """Install a filter, an array of struct sock_filter; see seccomp(2)."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    _check(_syscall(_long(c.NR_SECCOMP), _ulong(c.SECCOMP_SET_MODE_FILTER), _ulong(0), fprog), "seccomp")


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Close descriptors, or mark them close-on-exec."""
    _check(_syscall(_long(c.NR_CLOSE_RANGE), _ulong(first), _ulong(last), _ulong(flags)), "close_range")


def default_action(number: int) -> None:
    """Give a signal its default action, behind the interpreter's back: its enums cost a shim 200 KiB."""
    _libc.signal(ctypes.c_int(number), None)


def join_session_keyring() -> None:
    """A new session keyring, so that the container cannot see the caller's keys; see keyctl(2).

    A kernel without keys, or a used up quota, is no reason not to start.
    """
    _syscall(_long(c.NR_KEYCTL), _long(c.KEYCTL_JOIN_SESSION_KEYRING), None, _long(0), _long(0), _long(0))


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Send *signal*."""
    _check(
        _syscall(_long(c.NR_PIDFD_SEND_SIGNAL), _long(pidfd), _long(signal), None, _ulong(0)),
        "pidfd_send_signal",
    )


def bpf(command: int, attributes: bytes) -> int:
    """The system call; its manual page is bpf in section 2."""
    return _check(_syscall(_long(c.NR_BPF), _long(command), attributes, _long(len(attributes))), "bpf")


def fs_magic(fd: int) -> int:
    """f_type of the file system that *fd* is on; see fstatfs(2)."""
    buffer = ctypes.create_string_buffer(256)
    _check(_libc.fstatfs(ctypes.c_int(fd), buffer), "fstatfs")
    return int(struct.unpack_from("q", buffer.raw)[0])
