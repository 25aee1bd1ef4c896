"""Our programs as processes of their own: started, awaited, their logs kept, stopped or killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SOURCE = Path(__file__).parents[2] / "src"
LOG_TAIL_LINES = 40
POLL_SECONDS = 0.02


class ProcessFailedError(AssertionError):
    """The process died or did not become ready; the text ends with the tail of its log."""


class Process:
    """`python -m module arguments` with its output in `log`. As a context it is stopped at the end, whatever happened.

    Standard output and standard error share the log. The environment is this process's, with `PYTHONPATH` set to the
    sources, and `environment` on top; a value of None takes a name away.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        log: Path,
        environment: Mapping[str, str | None] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.log = log
        self._command: Sequence[str] = (sys.executable, "-m", module, *arguments)
        merged = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._environment = {name: value for name, value in merged.items() if value is not None}
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def started(self) -> bool:
        return self._child is not None

    def start(self) -> Self:
        """Starts it; again after `stop` or `kill`, with the log going on in the same file."""
        assert self._child is None, "it runs already"
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._directory,
            )
        return self

    def ready_line(self, *, seconds: float = 20) -> dict[str, Any]:
        """The first line of its output that is a JSON object."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.output().splitlines():
                if line.startswith("{") and isinstance(value := _json(line), dict):
                    return value
            self._pause(deadline, "said nothing in JSON")

    def port_file(self, path: Path, *, seconds: float = 20) -> int:
        """The number that it writes to `path` once it listens."""
        deadline = time.monotonic() + seconds
        while True:
            text = path.read_text() if path.exists() else ""
            if text.endswith("\n"):
                return int(text)
            self._pause(deadline, f"wrote no port to {path.name}")

    def output(self) -> str:
        """What it has written since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode(errors="replace")

    def stop(self, *, seconds: float = 10) -> int | None:
        """Asks it to end (SIGTERM) and returns its exit code; one that does not end in time is killed and fails."""
        if self._child is None:
            return None
        child, self._child = self._child, None
        child.terminate()
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise ProcessFailedError(self._told(f"did not end within {seconds} s of SIGTERM")) from None

    def kill(self) -> None:
        """`kill -9`, and waits until it is gone."""
        child, self._child = self._running(), None
        child.send_signal(signal.SIGKILL)
        child.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._child is not None, "it does not run"
        return self._child

    def _pause(self, deadline: float, complaint: str) -> None:
        code = self._running().poll()
        if code is not None:
            self._child = None
            raise ProcessFailedError(self._told(f"ended with {code} before it was ready"))
        if time.monotonic() > deadline:
            raise ProcessFailedError(self._told(complaint))
        time.sleep(POLL_SECONDS)

    def _told(self, complaint: str) -> str:
        tail = "\n".join(self.output().splitlines()[-LOG_TAIL_LINES:])
        return f"{' '.join(self._command[1:])} {complaint}. The end of {self.log}:\n{tail}"


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
