"""Runs the benchmarks named on the command line, or all of them: `python -m bench [NAME ...]`."""

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def main(names: list[str]) -> None:
    """Write the page of each `bench/bench_NAME.py` to `docs/bench_NAME.md`, or into the page that it names.

    Such a page has a line `<!-- bench NAME -->` before and after what is to be replaced.
    """
    DOCS.mkdir(exist_ok=True)
    everything = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))
    for name in names or everything:
        module = import_module(f"bench.bench_{name}")
        page: str = module.main()
        print(page, flush=True)
        target = DOCS / getattr(module, "PAGE", f"bench_{name}.md")
        if hasattr(module, "PAGE"):
            mark = f"<!-- bench {name} -->\n"
            before, _, after = target.read_text(encoding="utf-8").split(mark)
            page = f"{before}{mark}\n{page.strip()}\n\n{mark}{after}"
        target.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
