"""Scenario 2: from one process's commit until another one, which asks all the time, hands the new token out.

The moment of the commit is when ``seed`` returned, the token on the disk; a reader that was faster shows a negative
delay, because the file is in place a little before the disk has confirmed it. What the watch costs a request is in the
hot path: "tokenlatch" against "tokenlatch, memory", which has nothing to watch.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace

from benchmarks import place
from benchmarks.timing import quantile

WAYS = {
    "tokenlatch": "a counter in a mapped file",
    "tokenlatch, no counter": "a stat every RefreshPolicy(watch=1.0) seconds, as on a network file system",
    "do-it-yourself": "a stat before each request",
}


def asker(name, where):
    """Return the function that a reader asks for the access token."""
    if name == "do-it-yourself":
        from benchmarks.peers.diy import Tokens

        return Tokens(where).token
    from benchmarks.peers.tokenlatch_ import Tokenlatch

    source = Tokenlatch(name).source(where)
    if "no counter" in name:
        source._view.announced = bool
        source._view.store._counter._kind = "pretended"
    return lambda: source.token().access_token


def read(name, where):
    """Be the reader: print the instant at which each new token is seen first."""
    token = asker(name, where)
    known = token()
    print("ready", flush=True)
    while True:
        now = token()
        if now != known:
            known = now
            print(json.dumps([known, time.monotonic()]), flush=True)


def write(name, where, number):
    """Commit the next token; return when that was done."""
    fresh = replace(where, access_token=f"at-{number}", refresh_token=f"rt-{number}")
    if name == "do-it-yourself":
        from benchmarks.peers.diy import DoItYourself

        DoItYourself(name).prepare(fresh)
    else:
        from benchmarks.peers.tokenlatch_ import Tokenlatch

        Tokenlatch(name).prepare(fresh)
    return fresh.access_token, time.monotonic()


def delays(name, count):
    """Return the delays, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        where = place.offline(folder)
        write(name, where, 0)
        command = [sys.executable, "-m", "benchmarks.adoption", name, json.dumps(asdict(where))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            try:
                reader.stdout.readline()
                found = []
                for number in range(1, count + 1):
                    # Out of step with the watch, so that all its phases are met.
                    time.sleep(0.05 if "no counter" not in name else random.uniform(0.05, 1.05))
                    token, at = write(name, where, number)
                    seen, when = json.loads(reader.stdout.readline())
                    assert seen == token
                    found.append((when - at) * 1000)
                return found
            finally:
                reader.kill()


def run(full):
    """Return {name: {"how", "p50", "p99", "max"}} in milliseconds."""
    result = {}
    for name, how in WAYS.items():
        count = (
            5
            if "no counter" in name and not full
            else 40
            if "no counter" in name
            else 200
            if full
            else 50
        )
        found = delays(name, count)
        result[name] = {
            "how": how,
            "p50": statistics.median(found),
            "p99": quantile(found, 0.99),
            "max": max(found),
        }
    return result


if __name__ == "__main__":
    read(sys.argv[1], place.Place(**json.loads(sys.argv[2])))
