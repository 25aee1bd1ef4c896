"""Small pictures of the newest results: cost of a token, delay of a token, memory of a stream, batches of the log."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from benchmarks.figures import Figure, Rows
from benchmarks.report import RESULTS
from benchmarks.targets import ALONE, OURS, SHARED, Results

COLOURS = {OURS: "#1f6f54"}
OTHERS = "#9aa5a0"
LOADS = ("1x20ms", "10x20ms", "100x20ms", "500x20ms", "firehose")
MODES = {"hybrid": "#1f6f54", "semantic": "#3b6ea5", "text": "#b5722c", "regex": "#7d4e9e", "embedding": "#9aa5a0"}
COST = "cpu_ms_per_1000_tokens"


def _bars(name: str, title: str, rows: Rows, metrics: Sequence[tuple[str, str]], *, logarithmic: bool) -> None:
    picture = Picture(figsize=(4.2 * len(metrics), 2.6))
    FigureCanvasAgg(picture)
    panels = picture.subplots(1, len(metrics), squeeze=False)
    for axes, (metric, label) in zip(panels[0], metrics, strict=True):
        shown = {contender: row[metric] for contender, row in rows.items() if metric in row and row[metric].median > 0}
        _panel(axes, shown, logarithmic=logarithmic)
        axes.set_title(label, fontsize=9)
    picture.suptitle(title, fontsize=10)
    picture.tight_layout()
    picture.savefig(RESULTS / f"{name}.png", dpi=90)


def _panel(axes: Axes, shown: dict[str, Figure], *, logarithmic: bool) -> None:
    names = list(shown)[::-1]
    middles = [shown[name].median for name in names]
    below = [shown[name].median - min(shown[name]) for name in names]
    above = [max(shown[name]) - shown[name].median for name in names]
    colours = [COLOURS.get(name, OTHERS) for name in names]
    axes.barh(names, middles, xerr=(below, above), color=colours, error_kw={"linewidth": 0.8})
    axes.tick_params(labelsize=8)
    if logarithmic:
        axes.set_xscale("log")


def _batches(rows: Rows) -> None:
    """A point for each round: what the shared log adds to a token, and in which proportion."""
    picture = Picture(figsize=(8.4, 2.8))
    FigureCanvasAgg(picture)
    added, ratio = picture.subplots(1, 2)
    for load in LOADS:
        batches = rows[SHARED][f"{load}_events_per_flush"]
        added.plot(batches, rows[SHARED][f"{load}_added_{COST}"], "o", markersize=4, label=load)
        ratio.plot(batches, rows[SHARED][f"{load}_{COST}"].over(rows[ALONE][f"{load}_{COST}"]), "o", markersize=4)
    added.set_title("CPU ms that it adds to 1,000 tokens", fontsize=9)
    added.set_yscale("symlog", linthresh=1)
    added.legend(fontsize=7)
    ratio.set_title("CPU per token, over the log in process", fontsize=9)
    for axes in (added, ratio):
        axes.set_xscale("log")
        axes.set_xlabel("events per flush", fontsize=8)
        axes.tick_params(labelsize=8)
    picture.suptitle("The shared log, by the size of its batches", fontsize=10)
    picture.tight_layout()
    picture.savefig(RESULTS / "shared_log.png", dpi=90)


def _over_size(rows: Rows) -> None:
    """Latency and recall over the number of messages."""
    picture = Picture(figsize=(8.4, 2.8))
    FigureCanvasAgg(picture)
    waits, recall = picture.subplots(1, 2)
    for mode in ("hybrid", "semantic", "text", "regex", "embedding"):
        for share, line in (("p50", "-"), ("p95", ":")):
            sizes = _sizes(rows[mode], f"_{share}_ms")
            places = [rows[mode][f"{size}_{share}_ms"].median for size in sizes]
            waits.plot(sizes, places, line, marker="o", markersize=3, color=MODES[mode], label=f"{mode}, {share}")
    for scene in ("all", "1_percent", "small_owner"):
        sizes = _sizes(rows["recall of pgvector"], f"_{scene}")
        shown = [rows["recall of pgvector"][f"{size}_{scene}"].median for size in sizes]
        recall.plot(sizes, shown, "o-", markersize=3, label=scene.replace("_", " "))
    waits.set_title("ms until the answer (embedding is a part of hybrid and semantic)", fontsize=8)
    waits.set_yscale("log")
    recall.set_title("recall of the ten nearest, pgvector", fontsize=8)
    recall.set_ylim(0.9, 1.005)
    for axes in (waits, recall):
        axes.set_xscale("log")
        axes.set_xlabel("messages", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=5)
    picture.tight_layout()
    picture.savefig(RESULTS / "search_load.png", dpi=90)


def _sizes(row: dict[str, Figure], ending: str) -> list[int]:
    return sorted(int(size) for metric in row if (size := metric.removesuffix(ending)).isdigit())


def draw(results: Results) -> None:
    if "firehose" in results:
        metrics = (
            ("cpu_ms_per_1000_tokens_200", "CPU ms per 1,000 tokens, answers of 200"),
            ("marginal_cpu_ms_per_1000_tokens", "CPU ms per 1,000 further tokens"),
            ("tokens_per_second_200", "tokens per second, answers of 200"),
        )
        _bars("firehose", "As fast as the provider sends (logarithmic)", results["firehose"], metrics, logarithmic=True)
    if "paced" in results:
        shapes = ("100x20ms", "500x20ms", "1000x100ms")
        metrics = tuple((f"{shape}_added_p95_ms", f"added ms p95, {shape}") for shape in shapes)
        _bars("paced", "Delay of a token at a model's pace (logarithmic)", results["paced"], metrics, logarithmic=True)
    if f"{LOADS[0]}_events_per_flush" in results.get("shared_log", {}).get(SHARED, {}):
        _batches(results["shared_log"])
    if "search_load" in results:
        _over_size(results["search_load"])
    if "search_quality" in results:
        metrics = (("en_ndcg10", "English"), ("ru_ndcg10", "Russian"))
        _bars("search_quality", "nDCG@10 of real questions", results["search_quality"], metrics, logarithmic=False)
    if "memory" in results:
        metrics = (("kib_per_open_stream", "KiB of private memory per open stream"),)
        _bars("memory", "A thousand open streams", results["memory"], metrics, logarithmic=False)
