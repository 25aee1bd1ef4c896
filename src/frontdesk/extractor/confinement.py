"""What the extractor gives up before it reads a byte, as far as the kernel lets it.

The limits of resources hold everywhere. Namespaces, Landlock and seccomp are Linux's and may be refused by an older
kernel or a container's own rules: what was granted is told by name, so that it can be seen.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterator, Sequence

from frontdesk.extractor import landlock

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SECCOMP_MODE_FILTER = 2
_ALLOW, _DENY, _NOT_KNOWN = 0x7FFF0000, 0x00050001, 0x00050026  # EPERM, ENOSYS
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE3, _CLONE_THREAD = 435, 0x10000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
# (fork, vfork,) socket, connect, bind, execve, execveat, ptrace, kill, tkill, pidfd_send_signal, io_uring_setup,
# process_vm_writev and bpf; then the two that are asked what they are for, tgkill and clone.
_DENIED = {
    "x86_64": (0xC000003E, (57, 58, 41, 42, 49, 59, 322, 101, 62, 200, 424, 425, 311, 321), 234, 56),
    "aarch64": (0xC00000B7, (198, 203, 200, 221, 281, 117, 129, 130, 424, 425, 271, 280), 131, 220),
}
_X32 = 0x40000000  # on x86_64 the same calls under other numbers


def confine(*, scratch: str, seconds: int, memory_bytes: int) -> list[str]:
    """The names of what holds from now on. To be called before any thread is started: threads inherit it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _limit(seconds, memory_bytes)
    granted = ["limits"]
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return granted
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWNET) == 0:
        granted.append("namespace")
    if landlock.restrict(libc, readable=_programs(), writable=[scratch]):
        granted.append("landlock")
    if _filter_calls(libc):
        granted.append("seccomp")
    return granted


def _limit(seconds: int, memory_bytes: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, 2 * seconds),
        (resource.RLIMIT_FSIZE, memory_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    # Nobody waits for it any longer, whatever has become of who started it.
    signal.alarm(seconds + 5)
    os.nice(10)


def _programs() -> Iterator[str]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  without pathlib
    yield from (package, sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/dev/urandom", "/dev/null")


def _filter_calls(libc: ctypes.CDLL) -> bool:
    """No new socket, program or signal to another process, by whatever way it is asked for."""
    known = _DENIED.get(platform.machine())
    if known is None:
        return False
    architecture, denied, tgkill, clone = known
    program = b"".join(_program(architecture, denied, tgkill, clone=clone))
    buffer = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) == 0)


def _program(architecture: int, denied: Sequence[int], tgkill: int, *, clone: int) -> Iterator[bytes]:
    yield _step(_LOAD, _ARCHITECTURE_AT)
    yield _step(_EQUAL, architecture, skip_if=1)
    yield _step(_RETURN, _DENY)
    yield _step(_LOAD, _NUMBER_AT)
    yield _step(_AT_LEAST, _X32, skip_if_not=1)
    yield _step(_RETURN, _DENY)
    for number in denied:
        yield _step(_EQUAL, number, skip_if_not=1)
        yield _step(_RETURN, _DENY)
    # What clone3 is for cannot be seen from here. Without it threads are started by clone.
    yield _step(_EQUAL, _CLONE3, skip_if_not=1)
    yield _step(_RETURN, _NOT_KNOWN)
    yield _step(_EQUAL, clone, skip_if_not=3)
    yield _step(_LOAD, _FIRST_ARGUMENT_AT)
    yield _step(_ANY_OF, _CLONE_THREAD, skip_if=5)
    yield _step(_RETURN, _DENY)
    # A thread of its own may be signalled, which is how abort() ends the process.
    yield _step(_EQUAL, tgkill, skip_if_not=3)
    yield _step(_LOAD, _FIRST_ARGUMENT_AT)
    yield _step(_EQUAL, os.getpid(), skip_if=1)
    yield _step(_RETURN, _DENY)
    yield _step(_RETURN, _ALLOW)


def _step(code: int, value: int, *, skip_if: int = 0, skip_if_not: int = 0) -> bytes:
    return struct.pack("HBBI", code, skip_if, skip_if_not, value)
