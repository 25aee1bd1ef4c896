"""Many answers at a model's own pace: what a token costs then, how late it comes, and whether all come in time.

Each token carries its time of sending. Its delay is arrival minus sending, less the direct client's median of the
same round. Tokens delivered in time are those that arrived in the window, over those that were due in it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil

from benchmarks.bench import Bench, quiet, say
from benchmarks.client import Connection, Recorder
from benchmarks.contenders import Contender
from benchmarks.figures import Rows, Table, percentile
from benchmarks.machine import Usage, busy_seconds, cores
from benchmarks.programs import BenchmarkError

OPENED_PER_SECOND = 250
FIRST_TOKEN_SECONDS = 4.0
MARGIN_SECONDS = 8.0
OTHERS_ALLOWED = 0.08
TRIES = 3


@dataclass(frozen=True)
class Shape:
    streams: int
    pause_ms: int

    @property
    def name(self) -> str:
        return f"{self.streams}x{self.pause_ms}ms"

    def due(self, seconds: float) -> float:
        return self.streams * seconds * 1000 / self.pause_ms


SHAPES = (Shape(100, 20), Shape(500, 20), Shape(1000, 100))


@dataclass(frozen=True)
class Window:
    """Delays in milliseconds, sorted; CPU in seconds. `used` is cores, by what was asked for."""

    delays: list[float]
    tokens: int
    seconds: float
    cpu: float
    server_core: float
    load_core: float
    used: Mapping[str, float] = field(default_factory=dict)

    @property
    def others(self) -> float:
        """The share of the server's core that other programs took."""
        return max(0.0, self.server_core - self.cpu) / self.seconds


async def _opened(contender: Contender, shape: Shape, model: str, *, recorder: Recorder) -> list[Connection]:
    """All streams, opened at an even rate and each past its first token, unless the server cannot bring it in time."""
    requests = await contender.requests(model, shape.streams)
    await quiet(contender)
    start = time.monotonic()
    async with asyncio.TaskGroup() as group:
        opening = []
        for number, request in enumerate(requests):
            opening.append(group.create_task(contender.open_stream(number, request, recorder)))
            await asyncio.sleep(max(0.0, start + number / OPENED_PER_SECOND - time.monotonic()))
    connections = [each.result() for each in opening]
    deadline = time.monotonic() + FIRST_TOKEN_SECONDS
    while time.monotonic() < deadline and not all(connection.answer.first for connection in connections):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return connections


async def window_of(contender: Contender, shape: Shape, seconds: float, **clocks: Callable[[], float]) -> Window:
    """`clocks` are read for `used`."""
    duration = shape.streams / OPENED_PER_SECOND + seconds + MARGIN_SECONDS
    tokens = ceil(duration * 1000 / shape.pause_ms)
    recorder = Recorder()
    model = f"scripted?tokens={tokens}&pause_ms={shape.pause_ms}&stamp=1"
    connections = await _opened(contender, shape, model, recorder=recorder)
    before, usage = _clocks(contender), Usage(**clocks)
    recorder.open = True
    await asyncio.sleep(seconds)
    recorder.open = False
    used = usage.cores()
    elapsed, cpu, server_core, load_core = (
        late - early for late, early in zip(_clocks(contender), before, strict=True)
    )
    for connection in connections:
        connection.close()
    await quiet(contender)
    if not recorder.tokens:
        raise BenchmarkError(f"{contender.name} delivered nothing at {shape.name}")
    delays = sorted(delay / 1e6 for delay in recorder.delays)
    return Window(delays, recorder.tokens, elapsed, cpu=cpu, server_core=server_core, load_core=load_core, used=used)


def _clocks(contender: Contender) -> tuple[float, float, float, float]:
    server, load = cores()
    return time.monotonic(), contender.cpu_seconds(), busy_seconds(server), busy_seconds(load)


async def quietest(contender: Contender, shape: Shape, seconds: float) -> Window:
    """The first window in which the server had its core to itself, or the best of a few."""
    windows: list[Window] = []
    while len(windows) < TRIES and not any(window.others < OTHERS_ALLOWED for window in windows):
        windows.append(await window_of(contender, shape, seconds))
    return min(windows, key=lambda window: window.others)


def _values(shape: Shape, window: Window, floor: float) -> dict[str, float]:
    added = {
        f"{shape.name}_added_p{round(share * 100)}_ms": percentile(window.delays, share) - floor
        for share in (0.5, 0.95, 0.99)
    }
    return {
        f"{shape.name}_cpu_ms_per_1000_tokens": window.cpu * 1e6 / window.tokens,
        f"{shape.name}_server_core_used": window.cpu / window.seconds,
        f"{shape.name}_server_core_used_by_others": window.others,
        f"{shape.name}_load_core_used": window.load_core / window.seconds,
        **added,
        f"{shape.name}_in_time": window.tokens / shape.due(window.seconds),
    }


async def measure(bench: Bench) -> Rows:
    """LiteLLM is left out: one worker of it carries less than the lightest of these loads."""
    table = Table()
    async with bench.fleet(bench.contenders(peers=False)) as (_, contenders):
        for number in range(bench.count(1, 3)):
            for shape in SHAPES:
                say(f"  round {number + 1}, {shape.name}")
                floor = 0.0
                for contender in contenders:
                    window = await quietest(contender, shape, bench.of(2, 6))
                    floor = percentile(window.delays, 0.5) if contender.name == "direct" else floor
                    table.add(contender.name, **_values(shape, window, floor))
    return table.rows()
