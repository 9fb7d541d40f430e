"""Scenario 3: requests a second over keep-alive connections to a loopback API, as a share of the floor's, in turn."""

import statistics
from contextlib import ExitStack

from benchmarks.crew import Crew
from benchmarks.peers import contestant
from benchmarks.server import Server
from benchmarks.stampede import fit

LOADS = {  # name: (door, threads, tasks)
    "requests, 1 in flight": ("requests", 1, 0),
    "httpx, 1 in flight": ("httpx", 1, 0),
    "httpx2 async, 64 in flight, an API that takes 10 ms": ("httpx2-async", 0, 64),
}


def load(door, threads, tasks, rounds, seconds, names):
    """Return name -> {"rate", "share"}: requests a second, and the median share of the floor's in the same round."""
    with Server() as server, ExitStack() as stack:
        crews = {}
        for name in names:
            one, place = contestant(name), server.place(36000.0)
            one.prepare(place)
            crews[name] = stack.enter_context(Crew(name, door, 1, threads, tasks))
            crews[name].open(place)
            crews[name].tell(warm=True)
        server.switch("set", api_latency=0.010 if tasks else 0)
        rates = {name: [] for name in names}
        order = list(names)
        for _ in range(rounds):
            for name in order:
                outcome = crews[name].go("flood", seconds=seconds)
                rates[name].append((len(outcome.took) - outcome.failed) / seconds)
            order.append(order.pop(0))
        floor = rates["floor"]
        return {
            name: {
                "rate": max(mine),
                "share": statistics.median(a / b for a, b in zip(mine, floor, strict=True)),
                "best": max(mine) / max(floor),
            }
            for name, mine in rates.items()
        }


def run(full):
    """Return {load: {name: {"rate", "share"}}}."""
    result = {}
    for name, (door, threads, tasks) in LOADS.items():
        if name.startswith("httpx,") and not full:
            continue
        everybody = fit(door)
        few = [each for each in everybody if each in {"floor", "tokenlatch", "do-it-yourself"}]
        chosen = [*(everybody if full else few), "floor again"]
        result[name] = load(door, threads, tasks, 6 if full else 2, 0.4, chosen)
    return result
