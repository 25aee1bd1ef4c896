"""Our programs as processes of their own: started, awaited, their logs kept, stopped or killed."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from deploy.parts.program import PartFailedError, Program

SOURCE = Path(__file__).parents[2] / "src"
ProcessFailedError = PartFailedError


class Process(Program):
    """`python -m module arguments`, with `PYTHONPATH` set to the sources."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        log: Path,
        environment: Mapping[str, str | None] | None = None,
        directory: Path | None = None,
    ) -> None:
        ours = {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **(environment or {})}
        command = (sys.executable, "-m", module, *arguments)
        super().__init__(*command, log=log, environment=ours, directory=directory)

    @property
    def resident_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    @property
    def cpu_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def ready_line(self, *, seconds: float = 60) -> dict[str, Any]:
        """The first line of its output that is a JSON object."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.output().splitlines():
                if line.startswith("{") and isinstance(value := _json(line), dict):
                    return value
            self.pause(deadline, "said nothing in JSON")

    def port_file(self, path: Path, *, seconds: float = 60) -> int:
        """The number that it writes to `path` once it listens."""
        deadline = time.monotonic() + seconds
        while True:
            text = path.read_text() if path.exists() else ""
            if text.endswith("\n"):
                return int(text)
            self.pause(deadline, f"wrote no port to {path.name}")


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
