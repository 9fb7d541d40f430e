"""Figures from noise: contestants in turn (A B A B ...), the best of batches, medians of differences.

The floor runs twice, under two names: what lies between the two is the error of the method.
"""

import gc
import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Microseconds for one step: the best batch, and the median distance to the floor's batch beside it."""

    best: float
    over: float


def interleave(batches, floor, rounds):
    """Run every batch once a round; return a Figure for each name.

    Args:
        batches: Name to a function that returns the seconds of one step.
        floor: The name that the others are compared with.
        rounds: How often.
    """
    took = {name: [] for name in batches}
    order = list(batches)
    for _ in range(rounds):
        for name in order:
            took[name].append(batches[name]())
        order.append(order.pop(0))  # nobody always runs after the same neighbour
    return {
        name: Figure(
            min(mine) * 1e6,
            statistics.median(one - base for one, base in zip(mine, took[floor], strict=True))
            * 1e6,
        )
        for name, mine in took.items()
    }


def timed(steps):
    """Return the CPU seconds of one step, over a list of them that is used up."""
    gc.collect()
    gc.disable()
    begin = time.process_time_ns()
    for step in steps:
        step()
    took = time.process_time_ns() - begin
    gc.enable()
    return took / len(steps) / 1e9


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
