"""Separate processes with an owner: started on one core, waited for, ended by their own process group."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import pinned

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent


class BenchmarkError(Exception):
    """A contender could not be measured: it did not start, or answered something else than it should."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def environment(**extra: str) -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **extra}


class Program:
    """One process, on one core or where its starter is. Its output goes to a file, of which the end is shown when it
    does not start.
    """

    def __init__(self, command: list[str], *, core: int | None, log: Path, extra: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                pinned(core, command),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=log.parent,
                env=environment(**(extra or {})),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def _check(self, deadline: float) -> None:
        if self._process.poll() is not None or time.monotonic() > deadline:
            state = f"ended with {self._process.returncode}" if self._process.poll() is not None else "is not ready"
            self.stop()
            raise BenchmarkError(f"{self.log.stem} {state}:\n{self.log.read_text(errors='replace')[-3000:]}")

    async def listening(self, port: int, *, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self._check(deadline)
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    async def first_line(self, *, seconds: float = 30) -> dict[str, str]:
        """The JSON object that the program prints when it is ready."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.log.read_text(errors="replace").splitlines(keepends=True):
                if line.startswith("{") and line.endswith("\n"):
                    return dict(json.loads(line))
            self._check(deadline)
            await asyncio.sleep(0.02)

    def stop(self, *, graceful: bool = False) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGTERM if graceful else signal.SIGKILL)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
