"""A PostgreSQL server on a port of its own, which a test may restart at once, pause and resume."""

import signal
from pathlib import Path

import psutil

from harness.databases import PostgresDatabases
from harness.ports import lasting_port


class ListeningPostgres:
    """One migrated database, `url`. `folder` must be short, for it holds a socket."""

    def __init__(self, folder: Path, *, ports: range) -> None:
        self.port = lasting_port(ports)
        self._folder = folder
        self._wheel = PostgresDatabases(folder).start()
        self._name = self._wheel.create()
        self._control("restart", "-m", "fast", "-o", f"-h 127.0.0.1 -p {self.port} -k {folder}")

    @property
    def url(self) -> str:
        return self.url_through(self.port)

    def url_through(self, port: int) -> str:
        """The same database, reached by another port of this machine."""
        return f"postgresql://postgres:@127.0.0.1:{port}/{self._name}"

    def stop_at_once(self) -> None:
        """Every connection is dropped, and nothing is written: the next start recovers."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Returns when it takes connections."""
        self._control("start", "-o", f"-h 127.0.0.1 -p {self.port} -k {self._folder}")

    def pause(self) -> None:
        """It and all its children keep their connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def aclose(self) -> None:
        if (self._folder / "postmaster.pid").exists():
            self.resume()
            self.stop_at_once()
        self._wheel.stop()

    def _signal(self, number: signal.Signals) -> None:
        postmaster = psutil.Process(int((self._folder / "postmaster.pid").read_text().split()[0]))
        for process in (postmaster, *postmaster.children(recursive=True)):
            process.send_signal(number)

    def _control(self, action: str, *options: str) -> None:
        self._wheel.control("-w", "-D", str(self._folder), "-l", str(self._folder / "log"), *options, action)
