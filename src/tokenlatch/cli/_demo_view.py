"""What the demo looks like: a live table where rich and a terminal are there, else plain lines.

Law: shows figures, and judges none.
"""

import sys
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, Self

from tokenlatch.cli._demo_figures import Figures

if TYPE_CHECKING:
    from rich.console import RenderableType


class View(AbstractContextManager["View"], Protocol):
    """Shows the demo while it runs, and what came of it."""

    def show(self, figures: Figures) -> None:
        """Show the figures of this moment."""

    def conclude(self, figures: Figures, *, interrupted: bool) -> None:
        """Show the last figures and the verdict."""


def view(seconds: float, *, plain: bool) -> View:
    """Return the view for this terminal, or for none; ``seconds``: how long the demo will take."""
    if plain or not sys.stdout.isatty() or not find_spec("rich"):
        return PlainView(seconds)
    return LiveView(seconds)


def summary(figures: Figures) -> list[tuple[str, str]]:
    """Return what came of it, as names and values."""
    counts, roles = figures.counts, figures.roles
    at_once = f"{sum(role.number for role in roles)} threads and tasks"
    rows = [
        ("ran", f"{figures.elapsed:.1f} s, {len(roles)} processes, {at_once}, one token file"),
        ("clients", ", ".join(dict.fromkeys(role.library for role in roles))),
        ("requests", f"{figures.ok:,} ok, {figures.failed:,} failed"),
        ("401 answers", f"{counts.api_unauthorized} to tokens no longer good"),
        (
            "token requests",
            f"{counts.token_requests} for {figures.expiries} expiries and the first token",
        ),
        ("replays", str(counts.replays)),
    ]
    added = [f"{1000 * seconds:.3f} ms" for seconds in figures.added(0.50, 0.99, 1)]
    if added:
        p50, p99, longest = added
        rows += [
            ("added latency", f"p50 {p50}, p99 {p99}, longest {longest}"),
            ("", f"(time in token() and atoken(), {len(figures.took):,} calls)"),
        ]
    return rows


def verdict(figures: Figures, *, interrupted: bool) -> list[str]:
    """Return the verdict, in sentences."""
    if interrupted:
        return ["Interrupted."]
    return figures.problems() or ["OK: nothing failed, and no refresh token was used twice."]


class PlainView:
    """A line a second."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 1.0

    def __enter__(self) -> Self:
        print(f"One refresh for all your workers, {self._seconds:g} s.", flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, figures: Figures) -> None:
        """Print a line if a second has passed."""
        if figures.elapsed < self._next:
            return
        self._next = int(figures.elapsed) + 1.0
        counts = figures.counts
        print(
            f"{figures.elapsed:6.1f} s  {figures.ok:,} ok  {figures.failed:,} failed"
            f"  {counts.token_requests} token requests  {figures.expiries} expiries"
            f"  {counts.replays} replays",
            flush=True,
        )

    def conclude(self, figures: Figures, *, interrupted: bool) -> None:
        """Print each worker, the summary and the verdict."""
        print()
        for number, (role, report) in enumerate(
            zip(figures.roles, figures.reports, strict=True), 1
        ):
            print(
                f"worker {number:<8} {role!s:20} {report.ok:>7,} ok  {report.failed} failed"
                f"  {report.refreshed} refreshes  token {report.generation}"
            )
        print()
        for name, value in summary(figures):
            print(f"{name:15} {value}")
        print("", *verdict(figures, interrupted=interrupted), sep="\n")


class LiveView:
    """A table that changes as the workers work."""

    def __init__(self, seconds: float) -> None:
        from rich.console import Console
        from rich.live import Live

        self._seconds = seconds
        self._console = Console(highlight=False)
        self._live = Live("Starting the workers ...", console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, figures: Figures) -> None:
        """Draw the table anew."""
        self._live.update(self._drawn(figures), refresh=True)

    def conclude(self, figures: Figures, *, interrupted: bool) -> None:
        """Print the summary and the verdict below the table."""
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        for name, value in summary(figures):
            grid.add_row(f"[dim]{name}[/]", value)
        self._console.print(grid)
        colour = "yellow" if interrupted else "red" if figures.problems() else "green"
        for sentence in ("", *verdict(figures, interrupted=interrupted)):
            self._console.print(sentence, style=f"bold {colour}", markup=False)

    def _drawn(self, figures: Figures) -> "RenderableType":
        from rich import box
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        counts = figures.counts
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("worker", "client"):
            table.add_column(name, style="dim")
        for name in ("requests ok", "failed", "token", "refreshes"):
            table.add_column(name, justify="right")
        newest = max((each.generation for each in figures.reports), default=0)
        for number, (role, report) in enumerate(
            zip(figures.roles, figures.reports, strict=True), 1
        ):
            table.add_row(
                str(number),
                str(role),
                f"{report.ok:,}",
                f"[bold red]{report.failed:,}[/]" if report.failed else "0",
                f"[{'green' if report.generation == newest else 'yellow'}]{report.generation}[/]",
                f"[bold cyan]{report.refreshed}[/]" if report.refreshed else "[dim]0[/]",
            )
        totals = Table.grid(padding=(0, 3))
        totals.add_row(
            f"[bold green]{figures.ok:,}[/] ok",
            f"[bold {'red' if figures.failed else 'green'}]{figures.failed:,}[/] failed",
            f"[bold]{counts.token_requests}[/] token requests",
            f"[bold]{figures.expiries}[/] expiries",
            f"[bold {'red' if counts.replays else 'green'}]{counts.replays}[/] replays",
        )
        return Group(
            f"[bold]One refresh for all your workers[/]   {figures.elapsed:.1f} of {self._seconds:g} s",
            ProgressBar(self._seconds, figures.elapsed, width=62),
            table,
            totals,
            "",
        )
