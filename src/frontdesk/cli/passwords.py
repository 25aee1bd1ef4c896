"""Where a new password comes from: a file, the terminal, or chance."""

import secrets
import sys
from getpass import getpass
from pathlib import Path

from frontdesk.cli.password_file import read_password_file
from frontdesk.identity.users.rules import is_password

_MADE_UP_BYTES = 15


def made_up_password() -> str:
    """20 characters from 120 random bits; they need no quoting in a shell or in JSON."""
    return secrets.token_urlsafe(_MADE_UP_BYTES)


def read_password(path: Path | None) -> str | None:
    """From `path` (`-` is standard input), else asked for twice on a terminal, else None: there is nobody to ask."""
    if path is not None:
        return read_password_file(path)
    if not sys.stdin.isatty():
        return None
    while True:
        first = getpass("New password: ")
        if not is_password(first):
            sys.stderr.write("A password has at least 8 characters and at most 1,024 bytes.\n")
        elif first == getpass("The same again: "):
            return first
        else:
            sys.stderr.write("They differ.\n")
