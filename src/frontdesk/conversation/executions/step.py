"""What a step of an execution comes to. It needs the standard library only: Temporal's sandbox, in which histories are
replayed, imports it anew.
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """`ended`: nothing is left to do. `waiting`: for somebody's answer, however long. `again`: another step follows."""

    ended = "ended"
    waiting = "waiting"
    again = "again"


@dataclass(frozen=True)
class Step:
    """`next_execution_id` is the one that the thread was given on to, when it ended."""

    outcome: Outcome
    next_execution_id: str | None = None
