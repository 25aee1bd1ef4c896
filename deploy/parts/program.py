"""A process with an owner: its log is kept, and the end of the log is shown when it fails."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

LOG_TAIL_LINES = 40
POLL_SECONDS = 0.02


class PartFailedError(Exception):
    """A part is missing, died, or was not ready or gone in time; the text ends with the tail of its log."""


class Program:
    """`command` with its output in `log`. As a context it is stopped at the end, whatever happened.

    Standard output and standard error share the log. The environment is this process's with `environment` on top; a
    value of None takes a name away. `apart` gives it a session of its own, so that Ctrl-C is for its owner only.
    """

    def __init__(
        self,
        *command: str,
        log: Path,
        environment: Mapping[str, str | None] | None = None,
        directory: Path | None = None,
        apart: bool = False,
    ) -> None:
        self.log = log
        self._command = command
        merged = {**os.environ, **(environment or {})}
        self._environment = {name: value for name, value in merged.items() if value is not None}
        self._directory = directory
        self._apart = apart
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
        if self._child is not None:
            raise PartFailedError(f"{self._command[0]} runs already")
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(  # noqa: S603  the command is our own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._directory,
                start_new_session=self._apart,
            )
        return self

    def await_ready(self, is_ready: Callable[[], bool], *, seconds: float, complaint: str = "is not ready") -> None:
        """Raises `PartFailedError` when it ends before, or takes longer."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.pause(deadline, complaint)
        self.check()  # what answered may be another that has its port

    def check(self) -> None:
        """Raises `PartFailedError` when it has ended by itself."""
        code = self._running().poll()
        if code is not None:
            self._child = None
            raise PartFailedError(self.told(f"ended with {code}"))

    def output(self) -> str:
        """What it has written since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self._running().send_signal(number)

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
            raise PartFailedError(self.told(f"did not end within {seconds} s of SIGTERM")) from None

    def wait(self, *, seconds: float) -> int:
        """Its exit code once it has ended by itself. Raises `PartFailedError` when it does not in time."""
        child = self._running()
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise PartFailedError(self.told(f"did not end within {seconds} s")) from None
        self._child = None
        return code

    def kill(self) -> None:
        """`kill -9`, and waits until it is gone."""
        child, self._child = self._running(), None
        child.send_signal(signal.SIGKILL)
        child.wait()

    def pause(self, deadline: float, complaint: str) -> None:
        """A moment before looking again. Raises `PartFailedError` when it has ended, or the deadline is over."""
        code = self._running().poll()
        if code is not None:
            self._child = None
            raise PartFailedError(self.told(f"ended with {code} before it was ready"))
        if time.monotonic() > deadline:
            raise PartFailedError(self.told(complaint))
        time.sleep(POLL_SECONDS)

    def told(self, complaint: str) -> str:
        tail = "\n".join(self.output().splitlines()[-LOG_TAIL_LINES:])
        return f"{' '.join(self._command)} {complaint}. The end of {self.log}:\n{tail}"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise PartFailedError(f"{self._command[0]} does not run")
        return self._child
