"""The results on disk: one JSON file for each measure, and one Markdown page over the newest of each."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Rows
from benchmarks.machine import description
from benchmarks.targets import TARGETS, Results

RESULTS = Path(__file__).resolve().parent / "results"


def write(name: str, rows: Rows, *, mode: str, seconds: float) -> Path:
    """A later run of the same day replaces the earlier one."""
    now = datetime.now(UTC)
    document = {
        "measure": name,
        "mode": mode,
        "finished": now.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "machine": description(),
        "rows": {
            contender: {metric: figure.as_json() for metric, figure in metrics.items()}
            for contender, metrics in rows.items()
        },
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}-{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def newest() -> dict[str, dict[str, Any]]:
    """The latest document of each measure, in the order of their names' dates."""
    documents = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    return {document["measure"]: document for document in documents}


def rows_of(document: dict[str, Any]) -> Rows:
    return {
        contender: {metric: Figure(figure["rounds"]) for metric, figure in metrics.items()}
        for contender, metrics in document["rows"].items()
    }


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cell(figure: Figure | None) -> str:
    if not figure:
        return ""
    if len(figure) == 1:
        return _number(figure.median)
    return f"{_number(figure.median)} ({_number(min(figure))} to {_number(max(figure))})"


def _table(head: list[str], lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines]]


def _section(document: dict[str, Any]) -> list[str]:
    rows = rows_of(document)
    metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    lines = [[metric.replace("_", " "), *(_cell(row.get(metric)) for row in rows.values())] for metric in metrics]
    machine = document["machine"]
    note = (
        f"{document['mode'].capitalize()} run, finished {document['finished']}, {machine['cpu']}, "
        f"load average at the end {machine['load_average'][0]}. Median of the rounds (smallest to largest)."
    )
    return [f"## {document['measure']}", "", note, "", *_table(["", *rows], lines), ""]


def verdicts(results: Results) -> list[list[str]]:
    lines = []
    for target in TARGETS:
        figure = target.measured(results)
        sign = ">=" if target.at_least else "<="
        mark = "not measured" if figure is None else "met" if target.is_met(figure) else "**not met**"
        lines.append([target.text, f"{sign} {target.limit:g}", _cell(figure), mark])
    return lines


def write_page() -> Path:
    documents = newest()
    results = {name: rows_of(document) for name, document in documents.items()}
    text = [
        "# Latest results",
        "",
        "Made by `python -m benchmarks`; `benchmarks/README.md` says what each figure means.",
        "",
    ]
    text += ["## Targets", "", *_table(["target", "limit", "measured", ""], verdicts(results)), ""]
    text += [f"![{path.stem}]({path.name})" for path in sorted(RESULTS.glob("*.png"))] + [""]
    for document in documents.values():
        text += _section(document)
    path = RESULTS / "latest.md"
    path.write_text("\n".join(text).rstrip() + "\n")
    return path
