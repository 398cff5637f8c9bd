"""Run the named benchmarks, or all of them: `python -m bench [NAME ...]`."""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from time import monotonic

from bench.pictures import draw
from bench.report import PAGE, Report, load, write

LIMIT = 900.0
"""Seconds after which a benchmark has failed; the others still run."""


def main(names: list[str]) -> None:
    """Write what each `bench/bench_NAME.py` found to docs/performance.md, or the page that it names.

    An error ends this benchmark, and in the end the program.
    """
    failed = []
    for name in names or everything():
        began = monotonic()
        try:
            with bounded():
                module = import_module(f"bench.bench_{name}")
                found: Report | str = module.main()
            report = Report(found) if isinstance(found, str) else found
            print(report.page, flush=True)
            write(name, report, getattr(module, "PAGE", PAGE))
        except ModuleNotFoundError as error:
            print(f"{name}: this machine has no module {error.name}", file=sys.stderr)
            failed.append(name)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f"{name}: {monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    draw(load())
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def everything() -> list[str]:
    """Return the names of all benchmarks."""
    return sorted(file.stem.removeprefix("bench_") for file in Path(__file__).parent.glob("bench_*.py"))


@contextmanager
def bounded() -> Iterator[None]:
    """Raise `TimeoutError` in code that takes longer than `LIMIT`, if the system has alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"no end after {LIMIT:g} s")


if __name__ == "__main__":
    main(sys.argv[1:])
