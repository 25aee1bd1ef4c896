"""What a proof did and what it saw."""

from collections.abc import Sequence
from dataclasses import dataclass, field

BUSY_MACHINE = 3.0


@dataclass
class Findings:
    """`faults` are broken promises: none is how it should be. `counts` are told in the order in which they were set.

    `missed` are figures over their bounds. Who is judged on a machine of its own answers for them too.
    """

    proof: str
    counts: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def expect(self, fault: str, *, when: bool) -> None:
        if not when:
            self.faults.append(fault)

    def at_most(self, fault: str, value: float, bound: float) -> None:
        """A figure is missed over its bound, and a fault where no busy machine explains it any more."""
        if value > bound:
            self.missed.append(fault)
        if value > bound * BUSY_MACHINE:
            self.faults.append(fault)


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
