"""What the demo measures, and what it calls bad.

Law: pure numbers; measured by the workers and, apart from them, by the server.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

from tokenlatch.testing._server import Counts


class Role(NamedTuple):
    """What a worker process is: which client library, with how many threads or tasks."""

    library: str
    number: int
    style: str

    def __str__(self) -> str:
        return f"{self.library}, {self.number} {self.style}"


@dataclass(frozen=True, slots=True)
class Report:
    """What one worker process has done so far.

    Attributes:
        ok: Requests answered with 200.
        failed: All others.
        refreshed: Refreshes that this process did for all.
        generation: The newest token set that it knows; each refresh makes the next.
        error: Its first failure, in words.
        took: Seconds that each call since the last report took to get the token.
    """

    ok: int = 0
    failed: int = 0
    refreshed: int = 0
    generation: int = 0
    error: str | None = None
    took: Sequence[float] = ()

    def plus(self, more: Self) -> Self:
        """Return both together, without their times."""
        return type(self)(
            ok=self.ok + more.ok,
            failed=self.failed + more.failed,
            refreshed=self.refreshed + more.refreshed,
            generation=max(self.generation, more.generation),
            error=self.error or more.error,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """The whole demo at one moment.

    Attributes:
        elapsed: Seconds since the workers were let go.
        roles: What each worker process is.
        reports: What each has done.
        counts: What the server saw.
        expiries: Tokens that were near their end when they were replaced, as the server saw it.
        took: Seconds that each call took to get the token, in all processes.
        stray: Worker processes that ended too early or did not end.
    """

    elapsed: float
    roles: Sequence[Role]
    reports: Sequence[Report]
    counts: Counts
    expiries: int
    took: Sequence[float]
    stray: Sequence[str] = ()

    @property
    def ok(self) -> int:
        """Requests answered with 200."""
        return sum(each.ok for each in self.reports)

    @property
    def failed(self) -> int:
        """All other requests."""
        return sum(each.failed for each in self.reports)

    def added(self, *shares: float) -> list[float]:
        """Return the seconds in which these shares (0..1) of the calls got their token."""
        ordered = sorted(self.took)
        last = len(ordered) - 1
        return [ordered[min(last, int(len(ordered) * share))] for share in shares if ordered]

    def problems(self) -> list[str]:
        """Return what is bad, in sentences; nothing: the promises held."""
        counts, first = self.counts, next((each.error for each in self.reports if each.error), "")
        answered = counts.api_requests - counts.api_unauthorized
        checks = (
            (not self.failed, f"Failed requests: {self.failed:,}. {first}"),
            (self.ok > 0, "No request was answered."),
            (not counts.replays, f"Refresh tokens used twice: {counts.replays}."),
            (
                counts.token_requests <= self.expiries + 1,
                f"Token requests: {counts.token_requests}, too many for {self.expiries} expiries.",
            ),
            (
                self.failed or answered == self.ok,
                f"The workers count {self.ok:,} answers, the server {answered:,}.",
            ),
        )
        return [*self.stray, *(problem.strip() for good, problem in checks if not good)]


def expiries(instants: Sequence[float], lifetime: float) -> int:
    """Count the tokens that were replaced because their life was running out.

    Args:
        instants: When the server gave out each token, in seconds.
        lifetime: How long each lives, in seconds.

    Returns:
        How many lived at least half their life: whatever its policy, no worker may refresh ahead
        earlier, so a token replaced before that was replaced without need.
    """
    return sum(after - before >= lifetime / 2 for before, after in pairwise(instants))
