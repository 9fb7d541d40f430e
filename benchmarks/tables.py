"""The figures as tables, for the terminal and for the report alike (Markdown)."""

from collections import Counter
from statistics import median


def table(head, rows):
    """Return a Markdown table; numbers to the right."""
    texts = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]

    def line(row):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        return "| " + " | ".join(cells) + " |"

    rule = (
        "|"
        + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
        + "|"
    )
    return "\n".join([line(texts[0]), rule, *(line(row) for row in texts[1:])])


def signed(value, places=2):
    return f"{value:+.{places}f}"


VIEWS = {
    "attach": "the auth object until the request is sent",
    "alone": "the auth object, its look at the answer included",
    "whole": "a whole request, answered at once",
}


def hot_path(figures):
    blocks = []
    for door, views in figures.items():
        for view, found in views.items():
            floor = found["floor"]
            rows = []
            for name, one in found.items():
                counted = one["instructions"] is not None and floor["instructions"]
                rows.append(
                    [
                        name,
                        f"{one['us']:.2f}",
                        signed(one["us"] - floor["us"]),
                        f"{one['us'] / floor['us']:.2f}",
                        signed(one["over"]),
                        f"{one['instructions']:,.0f}" if counted else "",
                        f"{one['instructions'] - floor['instructions']:+,.0f}" if counted else "",
                        f"{one['instructions'] / floor['instructions']:.2f}" if counted else "",
                    ]
                )
            what = VIEWS[view]
            head = [
                "",
                "us, best",
                "over floor",
                "x floor",
                "over, median",
                "instructions",
                "over floor",
                "x floor",
            ]
            blocks.append(f"**{door}, {what}**\n\n{table([f'{door}, {view}', *head[1:]], rows)}")
    return "\n\n".join(blocks)


def adoption(figures):
    rows = [
        [name, one["how"], *(signed(one[key]) for key in ("p50", "p99", "max"))]
        for name, one in figures.items()
    ]
    return table(["", "how it learns", "p50, ms", "p99, ms", "max, ms"], rows)


def end_to_end(figures):
    blocks = []
    for load, found in figures.items():
        rows = [
            [
                name,
                f"{one['rate']:,.0f}",
                f"{one['share']:.3f}",
                f"{one['cpu']:.3f}",
                f"{one['cpu_share']:.3f}",
            ]
            for name, one in found.items()
        ]
        heads = ["requests/s, best", "x floor", "CPU ms a request", "x floor by CPU"]
        blocks.append(table([load, *heads], rows))
    return "\n\n".join(blocks)


def stampede(figures):
    blocks = []
    for crowd, doors in figures.items():
        for door, causes in doors.items():
            for cause, found in causes.items():
                rows = [stampede_row(name, rounds) for name, rounds in found.items()]
                head = [
                    f"{crowd}, {door}, on {cause}",
                    "all good, ms: median",
                    "best",
                    "token requests",
                    "replays",
                ]
                blocks.append(table([*head, "failed of", "what happened"], rows))
    return "\n\n".join(blocks)


def stampede_row(name, rounds):
    good = [one["good"] for one in rounds if not one["failed"]]
    ends = Counter()
    for one in rounds:
        ends.update({end: count for end, count in one["ends"].items() if end != "200"})
    return [
        name,
        f"{median(good):.0f}" if good else "never",
        f"{min(good):.0f}" if good else "",
        span(one["token_requests"] for one in rounds),
        span(one["replays"] for one in rounds),
        f"{span(one['failed'] for one in rounds)} of {rounds[0]['size']}",
        ", ".join(f"{count} {end}" for end, count in ends.most_common()) or "all 200",
    ]


def span(values):
    values = sorted(values)
    return str(values[0]) if values[0] == values[-1] else f"{values[0]}-{values[-1]}"


def shifts(figures):
    rows = [
        [
            name,
            one["seconds"],
            one["requests"],
            one["failed"],
            one["token_requests"],
            f"{one['per_minute']:.0f}",
            one["replays"],
            one["refused"],
            *(f"{one[key]:.1f}" for key in ("p50", "p99", "p999", "max")),
            one["memory"],
            one["descriptors"],
        ]
        for name, one in figures.items()
    ]
    head = ["", "s", "requests", "failed", "token requests", "a minute", "replays", "401s"]
    return table([*head, "p50, ms", "p99", "p99.9", "max", "memory, KiB", "fds"], rows)


def own_cost(figures):
    rows = [[name, f"{one['best']:.2f}", f"{one['p50']:.2f}"] for name, one in figures.items()]
    return table(["", "best, ms", "median, ms"], rows)


def scaling(figures):
    rows = []
    for processes, one in figures.items():
        crowds = one["stampede"]
        rows.append(
            [
                processes,
                f"{one['token']:.2f}",
                *(f"{crowd['good']:.0f}" for crowd in crowds.values()),
                span(crowds["tokenlatch"]["token_requests"]),
                sum(crowd["failed"] for crowd in crowds.values()),
            ]
        )
    head = [
        "processes",
        "source.token(), us",
        "stampede: floor, ms",
        "tokenlatch",
        "do-it-yourself",
    ]
    return table([*head, "token requests", "failed"], rows)


def weight(figures):
    rows = [
        [name, one["over"], f"{one['ms']:.0f}", f"{one['kib'] / 1024:.1f}", one["threads"]]
        for name, one in figures.items()
    ]
    return table(["", "over", "CPU, ms", "memory, MiB", "threads at rest"], rows)


def redis(figures):
    rows = [
        [
            store,
            f"{one['token']:.2f}",
            f"{one['commit']:.2f}",
            f"{one['look']:.2f}",
            f"{one['stampede']['good']:.0f}",
            span(one["stampede"]["token_requests"]),
            one["soak"]["failed"] + one["stampede"]["failed"],
            f"{one['soak']['p99']:.1f}",
            f"{one['soak']['max']:.1f}",
        ]
        for store, one in figures.items()
    ]
    head = [
        "store",
        "token(), us",
        "commit, ms",
        "look, ms",
        "stampede 8x4, ms",
        "token requests",
        "failed",
    ]
    return table([*head, "soak p99, ms", "max"], rows)


SCENARIOS = {
    "hot-path": hot_path,
    "adoption": adoption,
    "end-to-end": end_to_end,
    "stampede": stampede,
    "steady": shifts,
    "own-cost": own_cost,
    "scaling": scaling,
    "weight": weight,
    "soak": shifts,
    "ten-minutes": shifts,
    "redis": redis,
}
