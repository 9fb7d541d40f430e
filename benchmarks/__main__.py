"""The benchmarks' command.

    python -m benchmarks                      all scenarios, quickly: under 3 minutes
    python -m benchmarks --full               all scenarios, for the report: about 30 minutes
    python -m benchmarks hot-path stampede    some of them
    python -m benchmarks report               write REPORT.md and its plots from the results on disk

Each scenario leaves its figures in benchmarks/results/NAME.json (with --full; else they are printed only).
"""

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks import machine, tables

SCENARIOS = {  # name: (module, function)
    "hot-path": ("hot_path", "run"),
    "adoption": ("adoption", "run"),
    "end-to-end": ("end_to_end", "run"),
    "stampede": ("stampede", "run"),
    "steady": ("soak", "steady"),
    "own-cost": ("own_cost", "run"),
    "scaling": ("scaling", "run"),
    "weight": ("weight", "run"),
    "soak": ("soak", "soak"),
    "redis": ("redis_store", "run"),
}
RESULTS = Path(__file__).parent / "results"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", nargs="*", help=", ".join([*SCENARIOS, "ten-minutes", "report"])
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="all contestants and doors, more rounds; save the figures",
    )
    options = parser.parse_args()
    for name in options.scenario or SCENARIOS:
        if name == "report":
            import_module("benchmarks.report").write(RESULTS)
        elif name == "ten-minutes":
            save(name, import_module("benchmarks.soak").ten_minutes())
        elif name in SCENARIOS:
            begin = time.monotonic()
            module, function = SCENARIOS[name]
            figures = getattr(import_module(f"benchmarks.{module}"), function)(options.full)
            if options.full:
                save(name, figures)
            print(f"\n== {name} ({time.monotonic() - begin:.0f} s)\n")
            print(tables.SCENARIOS[name](figures), flush=True)
        else:
            parser.error(f"there is no scenario {name!r}")
    return 0


def save(name, figures):
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"machine": machine.describe(), "figures": figures}, indent=1) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
