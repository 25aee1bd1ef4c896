"""One run: its mode, its folder, and the fleet of contenders that a measure takes in turns."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import AiohttpRelay, Contender, Direct, HttpxRelay, LiteLLM, Nginx, Provider
from benchmarks.figures import Rows
from benchmarks.frontdesk_server import Frontdesk

QUIET_SECONDS = 0.1
QUIET_SHARE = 0.03
YARDSTICKS: tuple[type[Contender], ...] = (Direct, Nginx, AiohttpRelay, HttpxRelay)
Make = Callable[[Path], Contender]


@dataclass(frozen=True)
class Bench:
    quick: bool
    without: frozenset[str] = frozenset()
    peers: bool = field(default_factory=lambda: os.environ.get("BENCH_PEERS") == "1")

    def of(self, quick: float, full: float) -> float:
        return quick if self.quick else full

    def count(self, quick: int, full: int) -> int:
        return quick if self.quick else full

    def contenders(self, *, peers: bool = True, ours: type[Contender] = Frontdesk) -> list[Make]:
        kinds = [*YARDSTICKS, *([LiteLLM] if self.peers and peers else []), ours]
        return [kind for kind in kinds if kind.name not in self.without]

    @asynccontextmanager
    async def fleet(self, makes: Sequence[Make]) -> AsyncIterator[tuple[Provider, list[Contender]]]:
        """All of them running at once, idle until it is their turn; gone afterwards, with their files."""
        with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as name:
            folder = Path(name)
            provider = Provider(folder)
            contenders: list[Contender] = []
            try:
                await provider.start()
                for make in makes:
                    contenders.append(make(folder))
                    await contenders[-1].start(provider)
                yield provider, contenders
            finally:
                for contender in contenders:
                    contender.stop()
                provider.stop()


async def quiet(contender: Contender, *, seconds: float = 30) -> None:
    """Until the contender has done what it does after an answer, so that this work is counted too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = contender.cpu_seconds()
        await asyncio.sleep(QUIET_SECONDS)
        if contender.cpu_seconds() - before < QUIET_SECONDS * QUIET_SHARE:
            return


def say(text: str) -> None:
    print(text, flush=True)


def show(rows: Rows) -> None:
    for contender, metrics in rows.items():
        say(f"  {contender:14}" + "  ".join(f"{metric}={figure.median:.4g}" for metric, figure in metrics.items()))
