"""The settings of a world: how long things last, what kind of world it is, and how much may go wrong.

Law: numbers and switches; what they mean is in ``world``.
"""

from dataclasses import dataclass
from typing import NamedTuple

LIFE, EARLY, AHEAD = 100, 10, 20
"""Seconds: an access token lives for 100, is renewed ahead from 80 on, and counts as expired from 90 on."""

LOGIN = 100
"""The tokens of the second login are numbered from here."""


class Budget(NamedTuple):
    """How often each thing may still happen in one run."""

    crashes: int = 0  # a worker is killed
    ticks: int = 0  # the clock moves on
    lost: int = 0  # a request or an answer is lost, and the sender cannot know which
    late: int = 0  # a lost request arrives after all, at any later time
    aborts: int = 0  # its caller is torn from a request, and lives on
    unsent: int = 0  # there is no connection
    sick: int = 0  # the server answers 503
    breaks: int = 0  # the disk takes no more writes, until it is mended
    waits: int = 0  # a worker loses its patience in the queue
    thefts: int = 0  # the lock excludes nobody: its file was deleted, its lease ran out


@dataclass(frozen=True, eq=False)
class Rules:
    """What kind of world it is.

    Attributes:
        begin: The clock at first, in seconds after A0 was issued.
        calls: What each worker does, one after the other: "token", "refused" (A0 was), "accepted" (its token was),
            "refresh", "login".
        tick: Seconds by which the clock moves on.
        grace: Seconds in which the server gives its last answer again.
        revokes: The server ends the grant when a spent refresh token comes again; else it only refuses it.
        first: The store is empty, and each worker brings R0.
        spills: There is a runtime directory for tokens that the disk does not take.
        atomic: A commit is one step, as in Redis; else it writes, then moves, as in a file.
        apart: The workers are on different hosts, so nobody can tell whether another one lives.
    """

    begin: float = 95
    calls: tuple[str, ...] = ("token",)
    tick: float = 10
    grace: float = 0
    revokes: bool = True
    first: bool = False
    spills: bool = False
    atomic: bool = False
    apart: bool = False
