"""Scenario 7: more processes: a step of the hot path stays as cheap (CPU time), and a stampede's tail grows as slowly
as the floor's, which is the same burst with a good token.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from benchmarks import place
from benchmarks.crew import Crew
from benchmarks.peers import contestant
from benchmarks.server import Server
from benchmarks.stampede import one_round


def step(folder):
    """Be one process of many: print the CPU microseconds of one step, the best of batches in half a second."""
    from benchmarks.peers.tokenlatch_ import Tokenlatch

    source = Tokenlatch("tokenlatch").source(place.offline(folder))
    source.token()
    best, end = 1.0, time.monotonic() + 0.5
    while time.monotonic() < end:
        begin = time.process_time_ns()
        for _ in range(1000):
            source.token()
        best = min(best, (time.process_time_ns() - begin) / 1e12)
    print(json.dumps(best * 1e6))


def hot(processes):
    """Return the median over the processes of ``source.token()``, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        contestant("tokenlatch").prepare(place.offline(folder))
        command = [sys.executable, "-m", "benchmarks.scaling", folder]
        crowd = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)
        ]
        return statistics.median(json.loads(one.communicate()[0]) for one in crowd)


def tails(processes, rounds):
    """Return name -> milliseconds until all of a stampede on expiry are good; the median of the rounds."""
    names = ("floor", "tokenlatch", "do-it-yourself")
    with Server() as server, ExitStack() as stack:
        crews = {name: stack.enter_context(Crew(name, "requests", processes, 1)) for name in names}
        found = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                found[name].append(one_round(crews[name], server, contestant(name), "expiry"))
        return {
            name: {
                "good": statistics.median(one["good"] for one in mine),
                "token_requests": [one["token_requests"] for one in mine],
                "failed": sum(one["failed"] for one in mine),
            }
            for name, mine in found.items()
        }


def run(full):
    """Return {processes: {"token": microseconds, "stampede": {name: ...}}}."""
    return {
        str(count): {"token": hot(count), "stampede": tails(count, 3 if full else 1)}
        for count in ((1, 2, 4, 8, 16, 32, 64) if full else (1, 8))
    }


if __name__ == "__main__":
    step(sys.argv[1])
