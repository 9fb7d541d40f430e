"""REPORT.md and its plots, from the figures in ``results``: nothing is written by hand but ``report.md.in``."""

import json
import re
from pathlib import Path
from statistics import median

from benchmarks import tables

HERE = Path(__file__).parent
PLOTS = HERE / "plots"
# Read on white and on black alike: no background, grey words, colours of middle lightness.
GREY, OURS, THEIRS, FLOOR, FAILED = "#808890", "#2f81f7", "#b08830", "#6e9e55", "#c9615a"


def write(results):
    """Fill the template: {{table NAME}}, {{plot NAME}}, {{machine}}."""
    found = {file.stem: json.loads(file.read_text()) for file in sorted(results.glob("*.json"))}
    PLOTS.mkdir(exist_ok=True)
    drawn = {
        name: draw(found[scenario]["figures"], name)
        for name, (scenario, draw) in DRAWINGS.items()
        if scenario in found
    }

    def fill(match):
        kind, _, name = match[1].partition(" ")
        if kind == "machine":
            return machine(found)
        if kind == "plot":
            return (
                f"![{drawn[name]}](plots/{name}.svg)"
                if name in drawn
                else "*(not drawn: no figures)*"
            )
        if name not in found:
            return f"*(not measured: `python -m benchmarks --full {name}`)*"
        when = found[name]["machine"]
        return f"{tables.SCENARIOS[name](found[name]['figures'])}\n\n*{when['when']}, load average {when['load']:.1f}*"

    text = re.sub(r"\{\{(.+?)\}\}", fill, (HERE / "report.md.in").read_text())
    (HERE / "REPORT.md").write_text(text)


def machine(found):
    newest = max((each["machine"] for each in found.values()), key=lambda each: each["when"])
    versions = ", ".join(f"{name} {number}" for name, number in newest["versions"].items())
    return f"{newest['python']}, {newest['system']}, {newest['processor']} with {newest['cores']} cores. {versions}."


# -- plots --------------------------------------------------------------------------------------


def canvas(height):
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update(
        {
            "svg.hashsalt": "tokenlatch",
            "svg.fonttype": "none",
            "font.size": 10,
            "text.color": GREY,
            "axes.labelcolor": GREY,
        }
    )
    figure, axes = plt.subplots(figsize=(8, height))
    axes.tick_params(colors=GREY)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(GREY)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def keep(figure, name):
    figure.tight_layout()
    figure.savefig(PLOTS / f"{name}.svg", transparent=True, metadata={"Date": None})
    figure.clf()


def colour(name):
    return OURS if name.startswith("tokenlatch") else FLOOR if name.startswith("floor") else THEIRS


def bars(name, title, label, values, notes, failed=()):
    """Draw one bar for each value, the best at the top, whose requests failed at the bottom."""
    ordered = sorted(values.items(), key=lambda each: (each[0] in failed, each[1]))
    figure, axes = canvas(0.8 + 0.32 * len(ordered))
    names, lengths = zip(*ordered, strict=True)
    colours = [FAILED if who in failed else colour(who) for who in names]
    axes.barh(names, lengths, color=colours, height=0.7)
    for row, (who, value) in enumerate(ordered):
        axes.text(value, row, "  " + notes[who], va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.set_xlim(min(0, *lengths), max(lengths) * 2.1)
    axes.set_title(title, loc="left", fontsize=11)
    keep(figure, name)
    return title


def hot_path(door):
    def draw(figures, name):
        found = figures[door]["alone"]
        floor = found["floor"]["instructions"]
        values = {
            who: (one["instructions"] - floor) / 1000
            for who, one in found.items()
            if "floor" not in who
        }
        notes = {
            who: f"{value:.1f}   ({found[who]['us'] - found['floor']['us']:+.2f} us)"
            for who, value in values.items()
        }
        title = f"Hot path, {door}: what a valid token costs over a fixed header"
        return bars(name, title, "thousand instructions for one request", values, notes)

    return draw


def stampede(crowd, door, cause):
    def draw(figures, name):
        values, notes, lost = {}, {}, set()
        for who, rounds in figures[crowd][door][cause].items():
            good = median(one["good"] for one in rounds)
            failed, size = max(one["failed"] for one in rounds), rounds[0]["size"]
            spent = max(one["token_requests"] for one in rounds)
            values[who] = good
            if failed:
                lost.add(who)
            notes[who] = f"{good:.0f} ms, {spent} token requests" + (
                f", {failed} of {size} failed" if failed else ""
            )
        title = f"Stampede on {cause}: {crowd}, {door}"
        return bars(name, title, "milliseconds until the last one is answered", values, notes, lost)

    return draw


def soak(figures, name):
    values = {who: one["p99"] for who, one in figures.items()}
    notes = {
        who: f"{one['p99']:.0f} ms (max {one['max']:.0f})"
        + (f", {one['failed']} of {one['requests']} failed" if one["failed"] else "")
        for who, one in figures.items()
    }
    lost = {who for who, one in figures.items() if one["failed"]}
    title = "Soak: 16 processes, tokens living 2 s"
    return bars(name, title, "p99 of the latency, milliseconds", values, notes, lost)


def scaling(figures, name):
    figure, axes = canvas(3.6)
    counts = [int(count) for count in figures]
    for who in ("floor", "do-it-yourself", "tokenlatch"):
        good = [figures[str(count)]["stampede"][who]["good"] for count in counts]
        axes.plot(counts, good, marker="o", color=colour(who), label=who)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("processes")
    axes.set_ylabel("all good after, ms")
    axes.grid(axis="y", color=GREY, alpha=0.25)
    axes.legend(frameon=False, labelcolor=GREY)
    title = "Stampede on expiry, more and more processes"
    axes.set_title(title, loc="left", fontsize=11)
    keep(figure, name)
    return title


DRAWINGS = {
    "hot-path-requests": ("hot-path", hot_path("requests")),
    "hot-path-httpx": ("hot-path", hot_path("httpx")),
    "stampede-8x4": ("stampede", stampede("8 processes x 4 threads", "requests", "expiry")),
    "stampede-1x64": ("stampede", stampede("1 process x 64 tasks", "httpx2-async", "expiry")),
    "soak": ("soak", soak),
    "scaling": ("scaling", scaling),
}
