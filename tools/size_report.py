"""How large files and functions are. Hard bounds fail; the number of functions to ask about may only fall.

The bounds are the house's: files with a median of at most 120 lines, nine in ten at most 350, none over 500; functions
with a median of at most 10 lines, ask at 40, none over 70; at most three parameters by position.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / "tools" / "size_baseline.json"
MAX_FILE, MEDIAN_FILE, P90_FILE = 500, 120, 350
MAX_FUNCTION, ASK_FUNCTION, MEDIAN_FUNCTION = 70, 40, 10
MAX_POSITIONAL = 3
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def positional(node: Function) -> int:
    """Parameters that may be given by position. A route's are the framework's, by name."""
    if any("router." in ast.unparse(decorator) for decorator in node.decorator_list):
        return 0
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return len([name for name in names if name not in {"self", "cls"}])


def main() -> int:
    paths = sorted(path for folder in ("src", "examples") for path in (ROOT / folder).rglob("*.py"))
    files = {path: len(path.read_text().splitlines()) for path in paths}
    found = [pair for path in paths for pair in functions(path)]
    lengths = [length(node) for _, node in found]
    sizes = [size for size in files.values() if size]
    p90 = quantiles(sizes, n=10)[-1]
    long = sorted((name for name, node in found if length(node) > ASK_FUNCTION))
    print(f"files: {len(sizes)}, median {median(sizes):.0f}, p90 {p90:.0f}, largest {max(sizes)} lines")
    print(f"functions: {len(found)}, median {median(lengths):.0f}, largest {max(lengths)} lines, over 40: {len(long)}")
    failures = [f"{path.relative_to(ROOT)} has {size} lines" for path, size in files.items() if size > MAX_FILE]
    failures += [f"{name} has {length(node)} lines" for name, node in found if length(node) > MAX_FUNCTION]
    failures += [
        f"{name} takes {positional(node)} by position" for name, node in found if positional(node) > MAX_POSITIONAL
    ]
    if median(sizes) > MEDIAN_FILE or p90 > P90_FILE or median(lengths) > MEDIAN_FUNCTION:
        failures.append("the medians are over the house's bounds")
    known = json.loads(BASELINE.read_text())["functions_over_40_lines"]
    if len(long) > known:
        failures.append(f"{len(long)} functions are over {ASK_FUNCTION} lines, and {known} were: {', '.join(long)}")
    print("\n".join(failures), end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
