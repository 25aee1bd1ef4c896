"""`python -m chaos`: every proof on one footing, with a table at the end; exit code 1 when a promise was broken
or a figure missed."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from chaos import (
    aborts,
    budgets,
    cuts,
    documents,
    drain,
    files,
    floods,
    hops,
    indexes,
    invocations,
    kills,
    limits,
    model_faults,
    overload,
    postgres_away,
    redis_away,
    sends,
    slow_readers,
    slow_sockets,
    soak,
    sockets,
    stops,
    temporal_away,
    tool_kills,
    widget,
    writers,
)
from chaos.findings import Findings
from chaos.footing import Footing
from chaos.topology import Topology, scaled
from harness.databases import PostgresDatabases
from harness.model_stub import ModelStub
from harness.processes import Process
from harness.server import Server, serve
from harness.threads_client import LOST

Prove = Callable[[Server, ModelStub, Footing], Awaitable[Findings]]
ProveScaled = Callable[[Topology, ModelStub], Awaitable[Findings]]
Chosen = dict[str, object] | Callable[[Path], dict[str, object]]
T = TypeVar("T")
SHOWN_FAULTS = 20
REMEMBERED = 130  # seconds: memory is compared with that of a log that has begun to forget


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "--footing",
        choices=["sqlite", "postgresql", "scaled", "temporal"],
        default="sqlite",
        help="one server on a database, or two over PostgreSQL and Redis with a bad network on every hop, without and "
        "with Temporal and two workers",
    )
    parser.add_argument("--kills", type=int, default=200, help="kill -9 of a server (default 200)")
    parser.add_argument("--cuts", type=int, default=1_000, help="cuts of readers (default 1,000)")
    parser.add_argument("--minutes", type=float, help="how long the soak is (default 5, with --long 360)")
    parser.add_argument("--long", action="store_true", help="the full counts of every promise, for hours")
    parser.add_argument("--only", nargs="+", default=[], help="the names of proofs to run, such as: kills cuts")
    return parser.parse_args()


def proofs(chosen: argparse.Namespace) -> dict[str, tuple[Prove, Chosen]]:
    """Each proof with its server's settings. Without `--long` each count but those asked for is a tenth or less."""
    return _proofs(chosen) | (_sqlite_proofs(chosen) if chosen.footing == "sqlite" else {})


def _sqlite_proofs(chosen: argparse.Namespace) -> dict[str, tuple[Prove, Chosen]]:
    seconds, killed = (600, 20) if chosen.long else (10, 0)
    files = 1_500 if chosen.long else 60
    return {
        "writers": (lambda s, _b, f: writers.prove_writers(s, f, seconds=seconds, kills=killed), writers.SETTINGS),
        "vectors": (
            lambda s, _b, _f: indexes.prove_chroma_kills(s.log.parent / "vectors", kills=500 if chosen.long else 50),
            {},
        ),
        "documents": (lambda _s, _b, _f: documents.prove_documents(files=files), {}),
    }


def _proofs(chosen: argparse.Namespace) -> dict[str, tuple[Prove, Chosen]]:
    long = chosen.long
    killed, cut = (1_000, 10_000) if long else (chosen.kills, chosen.cuts)
    minutes = chosen.minutes or (360 if long else 5)
    return {
        "kills": (lambda s, b, f: kills.prove_kills(s, b, f, kills=killed), kills.SETTINGS),
        "defaults": (
            lambda s, b, f: kills.prove_kills(s, b, f, kills=100 if long else 5, longest_pause=12.0),
            {"engine_max_attempts": 1_000},
        ),
        "cuts": (lambda s, _b, _f: cuts.prove_cuts(s, cuts=cut), {}),
        "expiry": (lambda s, b, _f: cuts.prove_expiry(s, b, answers=200 if long else 40), cuts.EXPIRY),
        "once": (lambda s, b, _f: sends.prove_one_effect(s, b, rounds=200 if long else 20), {}),
        "kept": (
            lambda s, b, f: sends.prove_one_effect_across_kills(s, b, f, kills=200 if long else 10),
            kills.SETTINGS,
        ),
        "order": (lambda s, _b, _f: sends.prove_one_order(s, sends=10_000 if long else 500), {}),
        "stops": (lambda s, b, _f: stops.prove_stops(s, b, stops=1_000 if long else 200), {}),
        "detached": (lambda s, b, _f: stops.prove_detached(s, b, readers=500 if long else 50), {}),
        "idle": (lambda s, _b, _f: aborts.prove_idle_streams(s, streams=1_000), aborts.SETTINGS),
        "aborts": (lambda s, _b, f: aborts.prove_aborts(s, f, aborts=100_000 if long else 10_000), aborts.SETTINGS),
        "slow": (
            lambda s, _b, _f: slow_readers.prove_slow_readers(s, readers=500 if long else 100),
            slow_readers.SETTINGS,
        ),
        "faults": (
            lambda s, _b, _f: model_faults.prove_model_faults(s, rounds=40 if long else 4),
            model_faults.SETTINGS,
        ),
        "floods": (lambda s, _b, _f: floods.prove_floods(s, connections=200, repeats=50 if long else 5), {}),
        "tools": (
            lambda s, b, f: tool_kills.prove_tool_kills(s, b, f, kills=200 if long else 40),
            tool_kills.settings,
        ),
        "sockets": (lambda s, _b, _f: sockets.prove_socket_cuts(s, cuts=1_000 if long else 200), {}),
        "frames": (lambda s, _b, _f: sockets.prove_frames(s, frames=100_000 if long else 10_000), {}),
        "invocations": (
            lambda s, _b, _f: invocations.prove_invocations(s, invocations=10_000 if long else 1_000),
            invocations.settings,
        ),
        "slow_sockets": (
            lambda s, _b, _f: slow_sockets.prove_slow_sockets(s, readers=500 if long else 100),
            slow_sockets.SETTINGS,
        ),
        "files": (
            lambda s, _b, f: files.prove_files(s, f, files=1_000 if long else 100, kills=100 if long else 10),
            files.settings,
        ),
        "widget": (
            lambda s, _b, _f: widget.prove_closed_widgets(s, closed=1_000 if long else 100),
            widget.SETTINGS,
        ),
        "soak": (lambda s, b, f: soak.prove_soak(s, b, f, minutes=minutes), soak.SETTINGS),
        "reindex": (
            lambda s, _b, f: indexes.prove_reindex_kills(
                s, f, kills=100 if long else 10, messages=1_000 if long else 200
            ),
            indexes.SETTINGS,
        ),
        "overload": (lambda s, _b, _f: overload.prove_overload(s, seconds=300 if long else 15), overload.SETTINGS),
    }


def scaled_proofs(chosen: argparse.Namespace) -> dict[str, tuple[ProveScaled, dict[str, object]]]:
    """As `proofs`, over two replicas, and over two workers beside them when that is the footing."""
    long = chosen.long
    killed = 1_000 if long else chosen.kills
    return {
        "kills": (lambda t, b: kills.prove_kills(t, b, t.footing, kills=killed), kills.SETTINGS),
        "defaults": (
            lambda t, b: kills.prove_kills(t, b, t.footing, kills=100 if long else 5, longest_pause=12.0),
            {"engine_max_attempts": 1_000},
        ),
        "redis": (
            lambda t, _b: redis_away.prove_redis_faults(
                t, pause=90 if long else 5, calm=REMEMBERED if long else 8, flushes=50 if long else 5
            ),
            {},
        ),
        "postgres": (
            lambda t, b: postgres_away.prove_postgres_faults(
                t, b, restarts=50 if long else 3, pause=30 if long else 10, pauses=5 if long else 1
            ),
            {},
        ),
        "hops": (
            lambda t, b: hops.prove_hop_faults(t, b, rounds=10 if long else 1, seconds=12 if long else 2),
            hops.SETTINGS,
        ),
        "drain": (lambda t, _b: drain.prove_drains(t, drains=200 if long else 20, streams=500 if long else 20), {}),
        "sockets": (lambda t, _b: sockets.prove_socket_hops(t, cuts=1_000 if long else 200), {}),
        "herd": (lambda t, _b: drain.prove_herd(t, readers=2_000 if long else 200), {}),
        "limits": (
            lambda t, _b: limits.prove_limits(
                t.footing, redis_url=t.redis.url, folder=t.folder, rounds=30 if long else 6
            ),
            {},
        ),
        "midnight": (lambda t, _b: budgets.prove_midnight(t.redis.url, t.folder, midnights=20 if long else 2), {}),
        "unsettled": (
            lambda t, _b: budgets.prove_kills_between(t.redis.url, t.folder, kills=200 if long else 20),
            {},
        ),
        **(temporal_proofs(long=long) if chosen.footing == "temporal" else {}),
    }


def temporal_proofs(*, long: bool) -> dict[str, tuple[ProveScaled, dict[str, object]]]:
    """What there is to prove only where workers make the answers."""
    return {
        "temporal": (
            lambda t, b: temporal_away.prove_temporal_faults(t, b, pause=60 if long else 10, rounds=5 if long else 1),
            {},
        ),
        "leave": (lambda t, _b: drain.prove_worker_drains(t, drains=200 if long else 6, answers=30), {}),
    }


async def run_scaled(chosen: argparse.Namespace, console: Console, directory: Path) -> list[Findings]:
    made: list[Findings] = []
    with Process("frontdesk.model_stub", "--port", "0", log=directory / "model_stub.log") as process:
        stub = ModelStub(process.ready_line()["url"])
        for name, (prove, settings) in _wanted(scaled_proofs(chosen), chosen).items():
            console.print(f"{name} ...", end=" ")
            home = directory / name
            home.mkdir()
            workers = 2 if chosen.footing == "temporal" else 0
            proving = _prove_scaled(prove, stub, directory=home, workers=workers, **settings)
            made.append(await _told(name, proving, console))
    return made


async def _prove_scaled(prove: ProveScaled, stub: ModelStub, **settings: Any) -> Findings:
    async with scaled(model_url=stub.url, **settings) as topology:
        found = await prove(topology, stub)
        found.faults += topology.ended
        return found


def _wanted(known: dict[str, T], chosen: argparse.Namespace) -> dict[str, T]:
    if unknown := set(chosen.only) - known.keys():
        raise SystemExit(f"No such proof on this footing: {', '.join(unknown)}. There are: {', '.join(known)}")
    return {name: proof for name, proof in known.items() if not chosen.only or name in chosen.only}


async def run(chosen: argparse.Namespace, console: Console, directory: Path) -> list[Findings]:
    wanted = _wanted(proofs(chosen), chosen)
    postgres = None
    if chosen.footing == "postgresql":
        postgres = await asyncio.to_thread(PostgresDatabases(directory / "pg").start)
    made: list[Findings] = []
    try:
        with Process("frontdesk.model_stub", "--port", "0", log=directory / "model_stub.log") as process:
            stub = ModelStub(process.ready_line()["url"])
            for name, (prove, settings) in wanted.items():
                console.print(f"{name} ...", end=" ")
                home = directory / name
                home.mkdir()
                footing = Footing(postgres.url(postgres.create()) if postgres else f"sqlite:///{home / 'app.db'}")
                proving = _prove(prove, settings, footing=footing, stub=stub, home=home)
                made.append(await _told(name, proving, console))
    finally:
        if postgres is not None:
            postgres.stop()
    return made


async def _prove(prove: Prove, settings: Chosen, *, footing: Footing, stub: ModelStub, home: Path) -> Findings:
    chosen = settings(home) if callable(settings) else settings
    async with serve(database_url=footing.url, model_url=stub.url, directory=home, **chosen) as server:
        return await prove(server, stub, footing)


async def _told(name: str, proving: Awaitable[Findings], console: Console) -> Findings:
    """A proof that could not go on is a broken promise too; the others are still tried."""
    begun = time.monotonic()
    try:
        found = await proving
    except (AssertionError, ExceptionGroup, *LOST) as error:
        traceback.print_exception(error)
        found = Findings(name, faults=[f"could not go on: {error!r}"])
    found.counts["seconds"] = time.monotonic() - begun
    outcome = "BROKEN" if found.faults else "MISSED" if found.missed else "kept"
    console.print(f"{outcome}, {found.counts['seconds']:.0f} s")
    return found


def report(made: list[Findings], console: Console, footing: str) -> None:
    table = Table("proof", "count", "figure", title=f"Reliability on {footing}")
    for found in made:
        for number, (name, value) in enumerate(found.counts.items()):
            figure = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
            table.add_row(found.proof if number == 0 else "", name, figure)
        table.add_row("", "promises broken", str(len(found.faults)))
        table.add_row("", "figures missed", str(len(found.missed)), end_section=True)
    console.print(table)
    for found in made:
        for fault in (found.missed + found.faults)[:SHOWN_FAULTS]:
            console.print(f"{found.proof}: {fault}", markup=False)


def main() -> int:
    chosen = arguments()
    console = Console(highlight=False)
    directory = Path(tempfile.mkdtemp(prefix="chaos"))
    prove = run_scaled if chosen.footing in {"scaled", "temporal"} else run
    made = asyncio.run(prove(chosen, console, directory))
    report(made, console, chosen.footing)
    if any(found.faults or found.missed for found in made):
        console.print(f"Logs and databases are kept in {directory}", markup=False)
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
