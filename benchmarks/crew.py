"""Several worker processes at work for one contestant."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict

from benchmarks.timing import quantile

LEAD = 0.25
"""Seconds between an order and the instant that it names, so that all are at the line."""


class Crew:
    """Processes for one contestant; they end with the ``with`` block."""

    def __init__(self, name, door, processes, threads=0, tasks=0):
        self.name, self.size = name, processes * (threads or tasks)
        self._order = {"load": name, "door": door, "threads": threads, "tasks": tasks}
        self._count = processes

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self._processes = []
        for _ in range(self._count):
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            self._stack.callback(process.wait)
            self._stack.callback(process.kill)
            self._processes.append(process)
        self.tell(**self._order)
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.stdin.close()
        self._stack.close()

    def tell(self, **order):
        """Give all workers an order; return their answers."""
        for process in self._processes:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        answers = [process.stdout.readline() for process in self._processes]
        if not all(answers):
            raise RuntimeError(f"a worker of {self.name} died at {order}")
        return [json.loads(answer) for answer in answers]

    def open(self, place):
        self.tell(open=asdict(place))

    def go(self, name, **order):
        """Let all begin at one instant; return an Outcome."""
        return Outcome.of(self.tell(**{name: time.monotonic() + LEAD}, **order))


class Outcome:
    """Latencies in milliseconds, how the requests ended, and the CPU seconds where they were counted."""

    def __init__(self, took, ends, cpu=0.0):
        self.took, self.ends = sorted(each * 1000 for each in took), Counter(map(str, ends))
        self.cpu = cpu

    @classmethod
    def of(cls, answers):
        return cls(
            [each for answer in answers for each in answer["took"]],
            [each for answer in answers for each in answer["status"]],
            sum(answer.get("cpu", 0.0) for answer in answers),
        )

    @property
    def failed(self):
        return sum(count for end, count in self.ends.items() if end != "200")

    def at(self, share):
        return quantile(self.took, share)

    def summary(self):
        return {
            "requests": len(self.took),
            "failed": self.failed,
            "ends": dict(self.ends),
            "p50": self.at(0.5),
            "p99": self.at(0.99),
            "p999": self.at(0.999),
            "max": self.took[-1] if self.took else None,
        }
