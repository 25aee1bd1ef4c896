"""Redis, which holds the log and the limits that replicas share."""

import shutil
import signal
import socket
from pathlib import Path
from typing import Self

from deploy.parts.program import PartFailedError, Program

START_SECONDS = 20.0


class RedisServer:
    """`redis-server` in `folder`, on a port that it keeps. It stores nothing on disk: the database is the truth."""

    def __init__(self, folder: Path, port: int, *, apart: bool = False) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise PartFailedError("redis-server is not installed: apt-get install redis-server")
        self.port = port
        self._paused = False
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        self.program = Program(program, *options, log=folder / "redis.log", apart=apart)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self.program.started and not self._paused

    def start(self) -> Self:
        """Returns when it answers; it is empty."""
        self.program.start()
        self.program.await_ready(self._answers, seconds=START_SECONDS, complaint="does not answer")
        return self

    def stop(self) -> None:
        """It is gone, with all it held. Nothing if it is stopped."""
        if self._paused:
            self.resume()
        self.program.stop()

    def kill(self) -> None:
        """It is gone at once, with all it held."""
        self.program.kill()
        self._paused = False

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self.program.send(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """It answers, first what it was asked meanwhile."""
        self.program.send(signal.SIGCONT)
        self._paused = False

    def flush(self) -> None:
        """Forget every key."""
        reply = self._say("FLUSHALL")
        if reply != "+OK":
            raise PartFailedError(self.program.told(f"answered FLUSHALL with {reply}"))

    def _answers(self) -> bool:
        try:
            return self._say("PING") == "+PONG"
        except OSError:
            return False

    def _say(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            with connection.makefile() as reply:
                return reply.readline().rstrip()
