"""A real Redis server for tests: one for the run, which a test may stop, start, pause and resume."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.server import lasting_port

LOG_TAIL_LINES = 20
PORTS = range(21000, 21100)  # its own, so that no other server takes its port while it is down
POLL_SECONDS = 0.02


class RedisFailedError(AssertionError):
    """The server is missing, died or did not answer; the text ends with the tail of its log."""


class RedisServer:
    """`redis-server` with its working folder in `folder`, on a free port that it keeps. It stores nothing on disk."""

    def __init__(self, folder: Path, *, ports: range = PORTS) -> None:
        self._folder = folder
        self._log = folder / "redis.log"
        self._port = lasting_port(ports)
        self._child: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def running(self) -> bool:
        return self._child is not None and not self._paused

    def start(self) -> None:
        """Returns when it answers; it is empty."""
        assert self._child is None, "it runs already"
        program = shutil.which("redis-server")
        if program is None:
            raise RedisFailedError("redis-server is not installed: apt-get install redis-server")
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with self._log.open("ab") as output:
            self._child = subprocess.Popen(
                [program, *options, "--dir", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._await_answer(seconds=20)

    def stop(self, *, seconds: float = 10) -> None:
        """It is gone, with all it held; one that does not end in time is killed and fails. Nothing if it is stopped."""
        if self._child is None:
            return
        self.resume()
        child, self._child = self._child, None
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise RedisFailedError(self._told(f"did not end within {seconds} s of SIGTERM")) from None

    def kill(self) -> None:
        """`kill -9`: it is gone at once, with all it held."""
        assert self._child is not None, "it does not run"
        child, self._child, self._paused = self._child, None, False
        child.kill()
        child.wait()

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """It answers, first what it was asked meanwhile."""
        self._signal(signal.SIGCONT)
        self._paused = False

    def flush(self) -> None:
        """Forget every key."""
        reply = self._say("FLUSHALL")
        if reply != "+OK":
            raise RedisFailedError(self._told(f"answered FLUSHALL with {reply}"))

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None, "it does not run"
        self._child.send_signal(number)

    def _await_answer(self, *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._answers():
            code = None if self._child is None else self._child.poll()
            if code is not None:
                self._child = None
                raise RedisFailedError(self._told(f"ended with {code} before it answered"))
            if time.monotonic() > deadline:
                raise RedisFailedError(self._told(f"did not answer within {seconds} s"))
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            return self._say("PING") == "+PONG"
        except OSError:
            return False

    def _say(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            with connection.makefile() as reply:
                return reply.readline().rstrip()

    def _told(self, complaint: str) -> str:
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        return f"redis-server {complaint}. The end of {self._log}:\n{tail}"


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """Running and empty, whatever the test before did to it."""
    if not redis_process.running:
        redis_process.stop()
        redis_process.start()
    redis_process.flush()
    return redis_process
