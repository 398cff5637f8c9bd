"""Runs the benchmarks named on the command line, or all of them: `python -m bench [NAME ...]`."""

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def main(names: list[str]) -> None:
    """Write the page of each `bench/bench_NAME.py` to `docs/bench_NAME.md`."""
    DOCS.mkdir(exist_ok=True)
    everything = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))
    for name in names or everything:
        page: str = import_module(f"bench.bench_{name}").main()
        print(page, flush=True)
        (DOCS / f"bench_{name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
