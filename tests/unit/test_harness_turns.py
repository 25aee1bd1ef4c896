"""The turns that the processes of a run take."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from frontdesk.kit.ids import new_id
from harness.turns import Turns

_OTHER = """
import sys
from harness.turns import Turns
Turns(sys.argv[1]).take(alone=sys.argv[2] == "alone")
print("in", flush=True)
sys.stdin.read()
"""


@contextmanager
def another(run: str, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process of the run, whose turn lasts until its input ends."""
    command = [sys.executable, "-c", _OTHER, run, how]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        yield process


@pytest.mark.parametrize(("theirs", "alone", "waits"), [("alone", False, True), ("", True, True), ("", False, False)])
def test_who_is_alone_has_nobody_beside_it(theirs: str, *, alone: bool, waits: bool) -> None:
    run, inside = new_id(), Event()
    turns = Turns(run)

    def take() -> None:
        turns.take(alone=alone)
        inside.set()
        turns.leave()

    try:
        with another(run, theirs) as process:
            thread = Thread(target=take)
            thread.start()
            assert inside.wait(0.3 if waits else 30) is not waits
            assert process.stdin is not None
            process.stdin.close()
            thread.join(30)
        assert inside.is_set()
    finally:
        turns.close()
