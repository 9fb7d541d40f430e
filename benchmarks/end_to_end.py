"""Scenario 3: requests a second over keep-alive connections to a loopback API, as a share of the floor's, in turn.

Beside the rate, which other work on the machine shifts by a tenth, stands the client's CPU time for a request: what a
busy core could serve.
"""

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
    """Return name -> {"rate", "share", "cpu", "cpu_share"}.

    Requests a second (best) and CPU milliseconds a request (least), and for each the median share of the floor's in the
    same round; above 1 is better than the floor.
    """
    with Server() as server, ExitStack() as stack:
        crews = {}
        for name in names:
            one, place = contestant(name), server.place(36000.0)
            one.prepare(place)
            crews[name] = stack.enter_context(Crew(name, door, 1, threads, tasks))
            crews[name].open(place)
            crews[name].tell(warm=True)
        server.switch("set", api_latency=0.010 if tasks else 0)
        outcomes = {name: [] for name in names}
        order = list(names)
        for _ in range(rounds):
            for name in order:
                outcomes[name].append(crews[name].go("flood", seconds=seconds))
            order.append(order.pop(0))
        rates = {
            name: [(len(one.took) - one.failed) / seconds for one in mine]
            for name, mine in outcomes.items()
        }
        costs = {
            name: [one.cpu * 1000 / len(one.took) for one in mine]
            for name, mine in outcomes.items()
        }
        return {
            name: {
                "rate": max(rates[name]),
                "share": ratio(rates[name], rates["floor"]),
                "cpu": min(costs[name]),
                "cpu_share": ratio(costs["floor"], costs[name]),
            }
            for name in names
        }


def ratio(ours, theirs):
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def run(full):
    """Return {load: {name: {"rate", "share", "cpu", "cpu_share"}}}."""
    result = {}
    for name, (door, threads, tasks) in LOADS.items():
        if name.startswith("httpx,") and not full:
            continue
        everybody = fit(door)
        few = [each for each in everybody if each in {"floor", "tokenlatch", "do-it-yourself"}]
        chosen = [*(everybody if full else few), "floor again"]
        result[name] = load(door, threads, tasks, 24 if full else 5, 0.4, chosen)
    return result
