"""The two cores of a run, and what a process tree has used of them: CPU time and private memory."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

MIB = 1_048_576


@cache
def available() -> tuple[int, ...]:
    """Asked once, before this process puts itself on one of them."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cores() -> tuple[int, int]:
    """The server's core and the load's (provider and clients); the same one twice on a machine with one core."""
    return available()[0], available()[-1]


@contextmanager
def on_every_core() -> Iterator[None]:
    """For this thread, and what it starts meanwhile on no core of its own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, available())
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pinned(core: int | None, command: list[str]) -> list[str]:
    """None leaves the program where the one is that starts it."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def tree(pid: int) -> list[int]:
    """The process and its descendants that are alive."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in task.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, in seconds with nanosecond clocks (`clock_getcpuclockid(3)`)."""
    return sum(time.clock_gettime((~process << 3) | 2) for process in tree(pid))


def busy_seconds(core: int) -> float:
    """What the core has worked for anyone since the start of the machine, in hundredths of a second."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, soft, stolen = (int(field) for field in fields[:8])
            return (user + nice + system + irq + soft + stolen) / os.sysconf("SC_CLK_TCK")
    raise LookupError(f"/proc/stat has no core {core}")


class Usage:
    """How many cores were busy with what since it was made: by clocks in seconds, and `all` of the machine."""

    def __init__(self, **clocks: Callable[[], float]) -> None:
        self._clocks = {"all": lambda: sum(map(busy_seconds, available())), **clocks}
        self._before = self._read()

    def cores(self) -> dict[str, float]:
        seconds, *used = (late - early for late, early in zip(self._read(), self._before, strict=True))
        return {name: each / seconds for name, each in zip(self._clocks, used, strict=True)}

    def _read(self) -> list[float]:
        return [time.monotonic(), *(clock() for clock in self._clocks.values())]


def private_bytes(pid: int) -> int:
    """Memory that would be freed if the tree ended: private pages, clean and dirty."""
    return sum(own_private_bytes(process) for process in tree(pid))


def own_private_bytes(pid: int) -> int:
    """The same of one process, without those that it has started."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def description() -> dict[str, object]:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    server, load = cores()
    return {
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "server_core": server,
        "load_core": load,
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }
