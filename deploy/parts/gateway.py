"""Our own programs: a replica of the gateway, and a worker."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from deploy.parts.program import Program
from frontdesk.settings import Settings

READY_SECONDS = 100.0
# Above the drain: what a process needs to let go of everything, on a machine that has no time for it.
LEAVE_SECONDS = 30.0


class Role:
    """One process of ours on loopback, in `folder`, configured by `settings` alone. `name` is its log's too.

    `beside` are further variables, for what it loads.
    """

    def __init__(
        self,
        command: str,
        name: str,
        port: int,
        *,
        folder: Path,
        settings: Settings,
        beside: Mapping[str, str | None] | None = None,
    ) -> None:
        self.name = name
        self.address = f"127.0.0.1:{port}"
        self._stop_seconds = settings.drain_seconds + LEAVE_SECONDS
        home = folder / "home"  # without a `.env`
        home.mkdir(exist_ok=True)
        self.program = Program(
            *(sys.executable, "-m", "frontdesk", command, "--port", str(port)),
            log=folder / f"{name}.log",
            environment={**environment_of(settings), **(beside or {})},
            directory=home,
            apart=True,
        )

    def start(self) -> Self:
        """Returns once all that it needs is there."""
        self.program.start()
        self.program.await_ready(self._is_ready, seconds=READY_SECONDS)
        return self

    def stop(self) -> None:
        self.program.stop(seconds=self._stop_seconds)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://{self.address}/health/ready", timeout=5) as response:
                return bool(response.status == 200)  # noqa: PLR2004  HTTP's
        except (URLError, OSError):
            return False


class Replica(Role):
    """`frontdesk serve`; `port` is for everybody."""

    def __init__(
        self,
        number: int,
        port: int,
        *,
        folder: Path,
        settings: Settings,
        beside: Mapping[str, str | None] | None = None,
    ) -> None:
        super().__init__("serve", f"replica-{number}", port, folder=folder, settings=settings, beside=beside)


class Worker(Role):
    """`frontdesk worker`; `port` is for operators."""

    def __init__(self, number: int, port: int, *, folder: Path, settings: Settings) -> None:
        super().__init__("worker", f"worker-{number}", port, folder=folder, settings=settings)


def environment_of(settings: Settings) -> Mapping[str, str | None]:
    """Every setting as an environment variable; those without a value are taken away."""
    found: dict[str, str | None] = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        reveal = getattr(value, "get_secret_value", None)
        variable = str(field.validation_alias or f"CHAT_{name}").upper()
        found[variable] = None if value is None else str(reveal() if reveal else value)
    return found
