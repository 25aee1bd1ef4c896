"""A password in a file, for scripts."""

import sys
from pathlib import Path

from frontdesk.cli.failures import USAGE, CommandError


def read_password_file(path: Path) -> str:
    """Without the line's end. Raises CommandError."""
    try:
        return (sys.stdin.read() if str(path) == "-" else path.read_text()).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The password file cannot be read: {error}", exit_code=USAGE) from error
