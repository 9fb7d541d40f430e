"""Many processes, threads and tasks on one grant of a real server: what happened, in figures."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.interop.shared_grant import result_of
from tokenlatch.errors import AuthError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.interop.counting_proxy import Call
    from tests.interop.shared_grant import SharedGrant

PROCESSES = 8
THREADS = 4
TASKS = 8
PACE = 0.3
"""Seconds that a thread or task rests after each request: 96 of them share two cores with the server."""
SLACK = 0.1
"""Seconds between a client's look at its clock and its question at the proxy."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the storm did.

    Attributes:
        seconds: How long it blew, the start of the processes included.
        ok: Application requests answered with 200.
        failed: All others, by status or error.
        token_requests: Questions at the token endpoint.
        refused_token_requests: Those answered with anything but 200.
        expiries: Access tokens that came due: for the client (its window to refresh ahead began) or for the server.
        lifetimes: How many times an access token's life fits into `seconds`.
        replays: Refresh tokens seen twice.
        alive: Whether one more refresh gave a token that the API takes.
    """

    seconds: float
    ok: int
    failed: Mapping[str, int]
    token_requests: int
    refused_token_requests: int
    expiries: int
    lifetimes: float
    replays: int
    alive: bool

    @property
    def good(self) -> bool:
        """Whether nothing failed and nobody asked without need."""
        return (
            self.ok > 0
            and not self.failed
            and not self.replays
            and self.token_requests <= self.expiries + 1
            and self.alive
        )

    def __str__(self) -> str:
        """Return one line for each figure."""
        return "\n".join(f"{name:24}{value}" for name, value in asdict(self).items())


def blow(
    grant: SharedGrant, *, seconds: float, policy: Mapping[str, float] | None = None
) -> Figures:
    """Let 8 processes x (4 requests threads + 8 httpx tasks) use the grant, and return the figures.

    Args:
        grant: Not yet seeded.
        seconds: How long each process asks.
        policy: Arguments of `RefreshPolicy` for all of them.
    """
    tokens = grant.seed()
    life = tokens.expires_at - tokens.issued_at
    policy = dict(policy or {})
    # What RefreshPolicy makes of a short life: a fifth of it ahead, a tenth of it early.
    margin = max(policy.get("ahead", life * 0.2), policy.get("early", life * 0.1))
    job = {"threads": THREADS, "tasks": TASKS, "pace": PACE, "policy": policy}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(grant.worker("storm", seconds=seconds, **job))
            for _ in range(PROCESSES)
        ]
        results = [result_of(worker, within=seconds + 60) for worker in workers]
    ended_at, calls = time.time(), tuple(grant.proxy.calls)
    return Figures(
        seconds=round(ended_at - tokens.issued_at, 1),
        ok=sum(result.pop("200", 0) for result in results),
        failed=_sum(results),
        token_requests=len(calls),
        refused_token_requests=sum(call.status != 200 for call in calls),
        expiries=_expiries(tokens.issued_at, calls, ended_at, life, margin),
        lifetimes=round((ended_at - tokens.issued_at) / life, 1),
        replays=grant.proxy.replays,
        alive=_is_alive(grant),
    )


def _sum(results: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for result in results:
        for outcome, times in result.items():
            total[outcome] = total.get(outcome, 0) + times
    return total


def _expiries(
    seeded_at: float, calls: Sequence[Call], ended_at: float, life: float, margin: float
) -> int:
    instants = [seeded_at, *(call.asked_at for call in calls if call.status == 200), ended_at]
    return sum(
        later >= earlier + life - margin - SLACK
        # oidc-provider counts whole seconds, so the last second of a life may be short
        or later >= math.floor(earlier) + life
        for earlier, later in pairwise(instants)
    )


def _is_alive(grant: SharedGrant) -> bool:
    source = grant.source()
    try:
        source.refresh()
        return grant.server.api_status(source.token().access_token) == 200
    except AuthError:
        return False
    finally:
        source.close()
