"""Scenarios 9 and 5: constant load for a while, tokens that live short.

Soak: 16 processes, tokens living 2 s, endpoint 20 ms. Steady: 4 processes, tokens living 5 s, endpoint 200 ms. A
latency counts from the instant at which the request was due, so that a request behind a waiting one waits too. The
floor, whose token never ends, tells what of it is the machine's.
"""

from benchmarks.crew import Crew
from benchmarks.peers import contestant
from benchmarks.server import Server


def shift(name, *, processes, threads, rate, seconds, life, latency, door="requests"):
    """Return how one contestant fared; ``rate`` is requests a second for each process."""
    one = contestant(name)
    with Server() as server, Crew(name, door, processes, threads) as crew:
        place = server.place(3600.0 if "floor" in name else one.margin + life)
        one.prepare(place)
        crew.open(place)
        crew.tell(warm=True)
        server.switch("set", token_latency=latency)
        before = crew.tell(rest=True)
        server.switch("reset")
        outcome = crew.go("steady", seconds=seconds, rate=rate)
        counts, after = server.switch("counts"), crew.tell(rest=True)
        return outcome.summary() | {
            "seconds": seconds,
            "token_requests": counts["token_requests"],
            "per_minute": counts["token_requests"] * 60 / seconds,
            "replays": counts["replays"],
            "refused": counts["api_unauthorized"],
            "memory": max(
                last["memory"] - first["memory"] for first, last in zip(before, after, strict=True)
            ),
            "descriptors": max(
                last["descriptors"] - first["descriptors"]
                for first, last in zip(before, after, strict=True)
            ),
        }


SOAK = {"processes": 16, "threads": 1, "rate": 10, "life": 2.0, "latency": 0.020}
STEADY = {"processes": 4, "threads": 2, "rate": 25, "life": 5.0, "latency": 0.200}
EVERYBODY = ("floor", "tokenlatch", "do-it-yourself", "singleflight-auth", "requests-oauth2client", "Authlib",
             "requests-oauthlib", "requests_auth, file", "google-auth", "msal")  # fmt: skip
QUICK = ("floor", "tokenlatch", "do-it-yourself")


def present(names):
    found = []
    for name in names:
        try:
            contestant(name)
        except ImportError:
            continue
        found.append(name)
    return found


def soak(full):
    """Return {name: summary}; who lives is soaked for a minute, who died in the first seconds is not kept longer."""
    names = present(EVERYBODY) if full else QUICK
    lasting = {"floor", "tokenlatch", "do-it-yourself"}
    return {
        name: shift(name, seconds=60 if full and name in lasting else 4, **SOAK) for name in names
    }


def steady(full):
    """Return {name: summary}."""
    return {name: shift(name, seconds=60 if full else 5.5, **STEADY) for name in present(QUICK)}


def ten_minutes():
    """Return the long soak's summary; ten minutes, so only on demand: ``python -m benchmarks ten-minutes``."""
    return {name: shift(name, seconds=600, **SOAK) for name in ("tokenlatch",)}
