"""`python -m benchmarks [--quick] [--only NAME]... [--without NAME]...`"""

import argparse
import os
import time
from types import ModuleType

import uvloop

from benchmarks import plots, report
from benchmarks.bench import Bench, say, show
from benchmarks.machine import cores
from benchmarks.measures import (
    attachments,
    chatkit,
    firehose,
    first_token,
    idle_streams,
    llm_proxy,
    memory,
    messages,
    paced,
    public_chat,
    search_load,
    search_quality,
    search_reindex,
    shared_log,
    vector_index,
    web_page,
    websocket,
)
from benchmarks.programs import BenchmarkError

MEASURES: dict[str, ModuleType] = {
    "firehose": firehose,
    "first_token": first_token,
    "paced": paced,
    "memory": memory,
    "idle_streams": idle_streams,
    "messages": messages,
    "public_chat": public_chat,
    "shared_log": shared_log,
    "websocket": websocket,
    "llm_proxy": llm_proxy,
    "vector_index": vector_index,
    "search_quality": search_quality,
    "search_load": search_load,
    "search_reindex": search_reindex,
    "chatkit": chatkit,
    "attachments": attachments,
    "web_page": web_page,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What a token, a stream, a message cost.")
    parser.add_argument("--quick", action="store_true", help="about three minutes, for a first impression")
    parser.add_argument("--only", action="append", choices=MEASURES, help="this measure; may be repeated")
    parser.add_argument("--without", action="append", default=[], help="leave this contender out; may be repeated")
    return parser.parse_args()


async def _measure(bench: Bench, name: str) -> None:
    start = time.monotonic()
    rows = await MEASURES[name].measure(bench)
    seconds = time.monotonic() - start
    show(rows)
    if rows:
        path = report.write(name, rows, mode="quick" if bench.quick else "full", seconds=seconds)
        say(f"  {seconds:.0f} s, {path.name}")


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _run(bench: Bench, names: list[str]) -> int:
    """How many measures could not be taken; one that fails does not cost the others."""
    failed = 0
    for name in names:
        say(name)
        try:
            await _measure(bench, name)
        except* BenchmarkError as group:
            failed += 1
            say(f"  FAILED: {_first(group)}")
    return failed


def main() -> None:
    arguments = _arguments()
    os.sched_setaffinity(0, {cores()[1]})
    bench = Bench(quick=arguments.quick, without=frozenset(arguments.without))
    failed = uvloop.run(_run(bench, arguments.only or list(MEASURES)))
    results = {name: report.rows_of(document) for name, document in report.newest().items()}
    plots.draw(results)
    say(f"\n{report.write_page()}")
    for text, limit, measured, mark in report.verdicts(results):
        say(f"  {mark:14}{text}: {measured or '-'} ({limit})")
    if failed:
        raise SystemExit(f"{failed} of the measures could not be taken")


if __name__ == "__main__":
    main()
