"""Figures of a run: values taken in rounds, their median and range, and ratios within a round."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

Rows = dict[str, dict[str, "Figure"]]


class Figure(list[float]):
    """One metric of one contender: a value for each round."""

    @property
    def median(self) -> float:
        return statistics.median(self)

    def over(self, other: "Figure") -> "Figure":
        """Round by round, since only neighbours in time compare."""
        return Figure(mine / yours for mine, yours in zip(self, other, strict=False) if yours)

    def as_json(self) -> dict[str, Any]:
        return {"median": self.median, "min": min(self), "max": max(self), "rounds": list(self)}


class Table:
    """Contender x metric, filled round by round."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Figure]] = defaultdict(lambda: defaultdict(Figure))

    def add(self, contender: str, **values: float) -> None:
        for metric, value in values.items():
            self._rows[contender][metric].append(value)

    def rows(self) -> Rows:
        return {contender: dict(metrics) for contender, metrics in self._rows.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` is 0 to 1. Values need not be sorted."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
