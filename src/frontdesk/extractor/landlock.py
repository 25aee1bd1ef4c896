"""Linux's own rules of a process for itself: which files it may still reach (landlock(7)). Children inherit them."""

import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_READ_ONE = _EXECUTE | _READ_FILE
_EVERYTHING = (1 << 13) - 1
# What later versions added to it, by the version that did.
_ADDED = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_BIND_AND_CONNECT, _SOCKETS_AND_SIGNALS = 3, 3
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6


def restrict(libc: ctypes.CDLL, *, readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Whether the kernel knows how. Paths that are not there are left out; everything else is out of reach."""
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return False
    handled = _EVERYTHING + sum(right for since, right in _ADDED if version >= since)
    attributes = struct.pack(
        "QQQ",
        handled,
        _BIND_AND_CONNECT if version >= _NETWORK_SINCE else 0,
        _SOCKETS_AND_SIGNALS if version >= _SCOPES_SINCE else 0,
    )
    # An older kernel takes the longer structure as long as what it does not know is zero.
    rules = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    try:
        for path in readable:
            _add(libc, rules, path, rights=_READ)
        for path in writable:
            _add(libc, rules, path, rights=handled & ~_EXECUTE)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _add(libc: ctypes.CDLL, rules: int, path: str, *, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112  without pathlib
            rights &= _READ_ONE
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)
