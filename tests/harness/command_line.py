"""The `frontdesk` command as its users meet it: in a script, in the background, on a terminal."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.processes import SOURCE, Process

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 100.0  # a busy machine takes long to start a process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def await_output(process: Process, pattern: str, *, seconds: float = PATIENCE_SECONDS) -> re.Match[str]:
    """The first match of `pattern` in what the process has written since its start."""
    deadline = time.monotonic() + seconds
    while True:
        match = re.search(pattern, process.output())
        if match:
            return match
        process.pause(deadline, f"never wrote {pattern!r}")


class Home:
    """A user of the command line with a folder of their own and none of this process's CHAT_* settings."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
        own = {
            "HOME": str(folder),
            "PYTHONPATH": str(SOURCE),
            "CHAT_SEARCH_ENABLED": "false",
            "CHAT_PASSWORD_HASHING": "owasp",
        }
        self.environment: Mapping[str, str] = {**inherited, **own, **settings}

    def run(
        self, *arguments: str, stdin: str = "", seconds: float = PATIENCE_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "frontdesk", *arguments],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=seconds,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """The caller ends it, and reads both pipes with `communicate`."""
        return subprocess.Popen(
            [sys.executable, "-m", "frontdesk", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def background(self, *arguments: str) -> Process:
        """For a server: its output is in `server.log` in the folder."""
        return Process(
            "frontdesk",
            *arguments,
            log=self.folder / "server.log",
            environment={name: None for name in os.environ if name.startswith("CHAT_")} | dict(self.environment),
            directory=self.folder,
        )

    def terminal(self, *arguments: str) -> "Terminal":
        return Terminal([sys.executable, "-m", "frontdesk", *arguments], self)


class Terminal:
    """A command on a pseudo-terminal of 80 columns. As a context it is killed at the end if it still runs."""

    def __init__(self, command: list[str], home: Home) -> None:
        self._shown = ""
        primary, secondary = pty.openpty()
        self._primary = primary
        self._child = subprocess.Popen(
            command,
            env={**home.environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
            cwd=home.folder,
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509  no threads here; nothing else makes the terminal its own
        )
        os.close(secondary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGKILL)
        self._child.wait()
        os.close(self._primary)

    def type(self, text: str) -> None:
        os.write(self._primary, text.encode())

    def await_text(self, pattern: str, *, seconds: float = PATIENCE_SECONDS) -> str:
        """What was shown up to the end of the first match, which is then forgotten."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self._shown)
            if match:
                seen, self._shown = self._shown[: match.end()], self._shown[match.end() :]
                return seen
            assert time.monotonic() < deadline, f"never showed {pattern!r} but {self._shown!r}"
            if select.select([self._primary], [], [], POLL_SECONDS)[0]:
                self._shown += self._read()

    def wait(self, *, seconds: float = PATIENCE_SECONDS) -> int:
        deadline = time.monotonic() + seconds
        while self._child.poll() is None:
            assert time.monotonic() < deadline, f"it still runs and shows {self._shown!r}"
            if select.select([self._primary], [], [], POLL_SECONDS)[0]:
                self._shown += self._read()
        return self._child.returncode

    def _read(self) -> str:
        try:
            return os.read(self._primary, 65536).decode(errors="replace")
        except OSError:
            return ""


def _own_terminal() -> None:
    """Makes standard input the controlling terminal, so that Ctrl-C typed there is a SIGINT here."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))
