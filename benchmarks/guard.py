"""The guard of the hot path: instructions over the floor must stay below these limits (see ``.ci/hot-path``)."""

import sys

from benchmarks.hot_path import count_instructions

LIMITS = {  # door: times the floor's instructions, auth object alone; what was counted is in REPORT.md
    "requests": 3.25,
    "httpx": 1.22,
    "httpx-async": 1.22,
}
"""About a tenth above the count of CPython 3.11; another version shifts floor and contestant alike."""


def main():
    failed = False
    for door, limit in LIMITS.items():
        counts = count_instructions(door, "alone", ("floor", "floor again", "tokenlatch"))
        ratio, error = (
            counts["tokenlatch"] / counts["floor"],
            counts["floor again"] / counts["floor"] - 1,
        )
        verdict = "ok" if ratio <= limit else "TOO MANY"
        failed = failed or ratio > limit
        print(
            f"{door}: {counts['tokenlatch']:,.0f} instructions, {ratio:.3f} x the floor's {counts['floor']:,.0f} "
            f"(limit {limit:.2f}, the method's error {error:+.4f}): {verdict}"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
