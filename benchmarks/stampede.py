"""Scenario 4: the token is gone and everybody needs one at once; the token endpoint takes 50 ms.

On expiry all workers know that the token has ended. On 401 it was taken away behind their backs. "All good" is the
time until the last of them has its 200. The floor is the same burst with a token that is good.
"""

import time
from contextlib import ExitStack

from benchmarks.crew import Crew
from benchmarks.peers import NAMES, contestant
from benchmarks.server import Server

LATENCY = 0.050
CROWDS = {  # name: (processes, threads, tasks, door)
    "8 processes x 4 threads": (8, 4, 0, "requests"),
    "1 process x 32 threads": (1, 32, 0, "httpx"),
    "1 process x 64 tasks": (1, 0, 64, "httpx2-async"),
    "16 processes x 8 tasks": (16, 0, 8, "httpx-async"),
}
LIFE = 1.5
"""Seconds that the first token lives when it is to expire: enough to warm up, else it is tried with more."""


def one_round(crew, server, one, cause, life=LIFE):
    """Return how one burst went."""
    floor, lives = "floor" in one.name, life + 0.02 * crew.size
    life = 3600.0 if floor or cause == "401" else one.margin + lives
    server.switch("set", token_latency=0)
    place = server.place(life)
    one.prepare(place)
    crew.open(place)
    warm = [end for answer in crew.tell(warm=True) for end in answer["status"]]
    if (
        time.time() > place.expires_at - one.margin - lives * 0.25
    ):  # a busy machine: some refreshed already
        return one_round(crew, server, one, cause, lives * 2)
    server.switch("set", access_lifetime=3600, token_latency=LATENCY)
    server.switch("reset")
    if life < 3600:
        time.sleep(max(0.0, place.expires_at - one.margin + 0.05 - time.time()))
    if cause == "401" and not floor:
        server.switch("expire")
    outcome = crew.go("burst")
    counts = server.switch("counts")
    return {
        "warm": sum(end != 200 for end in warm),
        "good": outcome.took[-1],
        "failed": outcome.failed,
        "ends": dict(outcome.ends),
        "token_requests": counts["token_requests"],
        "replays": counts["replays"],
        "size": len(outcome.took),
    }


def contest(names, crowd, door, cause, rounds):
    """Return name -> the rounds of each contestant, in turn."""
    processes, threads, tasks, _ = CROWDS[crowd]
    chosen = {name: contestant(name) for name in names}
    able = {name: one for name, one in chosen.items() if "floor" in name or cause in one.notices}
    with Server() as server, ExitStack() as stack:
        crews = {
            name: stack.enter_context(Crew(name, door, processes, threads, tasks)) for name in able
        }
        results = {name: [] for name in able}
        for _ in range(rounds):
            for name, one in able.items():
                results[name].append(one_round(crews[name], server, one, cause))
    return results


def fit(door, names=NAMES):
    """Return who serves a door and is installed, one floor only."""
    found = []
    for name in names:
        if name in {"floor again", "tokenlatch, Redis"} or "memory" in name:
            continue
        try:
            if door in contestant(name).doors:
                found.append(name)
        except ImportError:
            continue
    return found


SHORT = {(crowd, "expiry") for crowd in CROWDS if "x 4" in crowd or "64" in crowd} | {
    ("8 processes x 4 threads", "401")
}
QUICK = ("floor", "tokenlatch", "do-it-yourself", "singleflight-auth", "Authlib")


def run(full):
    """Return {crowd: {door: {cause: {name: [round]}}}}."""
    result = {}
    for crowd, (_, _, _, door) in CROWDS.items():
        for cause in ("expiry", "401"):
            if not full and (crowd, cause) not in SHORT:
                continue
            names = fit(door) if full else fit(door, QUICK)
            found = contest(names, crowd, door, cause, 5 if full else 1)
            result.setdefault(crowd, {}).setdefault(door, {})[cause] = found
    return result
