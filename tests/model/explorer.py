"""An explicit-state model checker: every interleaving of a few workers, with everything that may go wrong.

A state is the world, and the point at which each worker's code stands. From each state, every worker may take its next
step, with every answer that the world may give; may crash; and the world may change by itself. Each state is expanded
once, breadth first: so all interleavings are covered, and the first schedule that breaks an invariant is a shortest
one. In the end the graph must have no circle: so every schedule ends, and the schedules can be counted.

Law: knows nothing of tokens, locks or files.
"""

import gc
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol

from tests.model.replay import Endless, Worker


class World(Protocol):
    """What the workers share; immutable and hashable."""

    def answers(self, step: Any) -> Iterable[tuple[str, "World", Hashable]]:
        """Return all that may happen when a worker takes this step: what, world after, answer."""

    def crash(self, worker: int) -> "World | None":
        """Return the world after this worker died, or None when no more may die."""

    def changes(self) -> Iterable[tuple[str, "World"]]:
        """Return all that may happen without any worker."""

    def at_rest(self, step: Any) -> bool:
        """Tell whether a worker may stay before this step for ever."""


class Scene(NamedTuple):
    """A state: the world, and each worker's point with what it shows there; None: it is dead."""

    world: Any
    at: tuple[int | None, ...]
    workers: tuple[Any, ...]


@dataclass(frozen=True)
class Promises:
    """The invariants: functions that return what is wrong, or None.

    Attributes:
        always: Of each scene.
        steps: Of the scenes before and after each step.
        at_end: Of each scene in which no worker can go on.
    """

    always: Sequence[Callable[[Scene], str | None]] = ()
    steps: Sequence[Callable[[Scene, Scene], str | None]] = ()
    at_end: Sequence[Callable[[Scene], str | None]] = ()


@dataclass
class Report:
    """What an exploration found."""

    states = steps = schedules = runs = 0
    promise: str | None = None
    wrong: str | None = None
    schedule: Sequence[str] = ()

    def __str__(self) -> str:
        """Tell the figures, or the shortest schedule that breaks a promise."""
        if self.promise is None:
            figures = (
                f"{self.states:,} states, {self.steps:,} steps, {self.schedules:.1e} schedules"
            )
            return f"{figures}; the real code ran {self.runs:,} times"
        return "\n    ".join([f"{self.promise}: {self.wrong}", *self.schedule])


class Broken(Exception):  # noqa: N818 - it is the promise that is broken, not the explorer
    """A promise does not hold: which one, what is wrong, and how it came about."""


class Explorer:
    """Explores all interleavings that begin in one world.

    Args:
        world: Where it begins.
        workers: Who takes part.
        promises: What must hold.
    """

    def __init__(self, world: World, workers: Sequence[Worker], promises: Promises) -> None:
        self._workers, self._promises = workers, promises
        self.scenes: list[Scene] = []
        self._numbers: dict[tuple[Any, Any], int] = {}
        self.came: list[tuple[int, str]] = []  # for each scene: from which one, and by what
        self._next: list[list[int]] = []
        self._reach(world, (0,) * len(workers), 0, "")

    def run(self) -> Report:
        """Explore until a promise is broken or all states are known."""
        report = Report()
        gc.disable()  # looking for circles among millions of tuples that have none takes longest
        try:
            for number, _ in enumerate(self.scenes):  # which grows meanwhile
                self._expand(number)
            report.schedules = self._count()
        except Broken as broken:
            report.promise, report.wrong, report.schedule = broken.args
        except Endless as endless:
            report.promise, report.wrong = "every_schedule_ends", str(endless)
        finally:
            gc.enable()
        report.states, report.steps = len(self.scenes), sum(map(len, self._next))
        report.runs = sum(len(worker.points) for worker in self._workers)
        return report

    def way_to(self, number: int) -> list[str]:
        """Return a shortest schedule to a scene."""
        way: list[str] = []
        while number:
            number, what = self.came[number]
            way.append(what)
        return way[::-1]

    def _expand(self, number: int) -> None:
        before, stuck = self.scenes[number], True
        self._next.append([])
        for by_worker, what, world, at in self._moves(before):
            stuck = stuck and not by_worker
            there = self._reach(world, at, number, what)
            self._next[number].append(there)
            for promise in self._promises.steps:
                if wrong := promise(before, self.scenes[there]):
                    self._complain(promise.__name__, wrong, number, what)
        if stuck:
            self._end(number)

    def _moves(self, scene: Scene) -> Iterable[tuple[bool, str, Any, tuple[int | None, ...]]]:
        """Return all that may happen next: whether a worker does it, what, world and points after."""
        world, at, _ = scene
        for number, worker in enumerate(self._workers):
            here = at[number]
            if here is not None:
                left, right = at[:number], at[number + 1 :]
                for what, after, answer in world.answers(worker.points[here].step):
                    there = worker.after(here, answer)
                    yield True, f"{number}: {what}", after, (*left, there, *right)
                if (after := world.crash(number)) is not None:
                    yield False, f"{number}: CRASH", after, (*left, None, *right)
        for what, after in world.changes():
            yield False, what, after, at

    def _reach(self, world: Any, at: tuple[int | None, ...], came: int, what: str) -> int:
        """Return the number of a state; if it is new, note it and look at it."""
        number = self._numbers.setdefault((world, at), len(self.scenes))
        if number == len(self.scenes):
            shown = (
                None if here is None else worker.points[here].shown
                for worker, here in zip(self._workers, at, strict=True)
            )
            self.scenes.append(Scene(world, at, tuple(shown)))
            self.came.append((came, what))
            self._judge(self._promises.always, number)
        return number

    def _end(self, number: int) -> None:
        scene = self.scenes[number]
        for worker, here in enumerate(scene.at):
            step = None if here is None else self._workers[worker].points[here].step
            if step is not None and not scene.world.at_rest(step):
                self._complain("every_schedule_ends", f"worker {worker} waits for ever", number)
        self._judge(self._promises.at_end, number)

    def _judge(self, promises: Sequence[Callable[[Scene], str | None]], number: int) -> None:
        for promise in promises:
            if wrong := promise(self.scenes[number]):
                self._complain(promise.__name__, wrong, number)

    def _complain(self, promise: str, wrong: str, number: int, *then: str) -> NoReturn:
        raise Broken(promise, wrong, [*self.way_to(number), *then])

    def _count(self) -> int:
        """Return the number of schedules; to be counted, each must end: so there is no circle."""
        entries, ways = [0] * len(self._next), [0] * len(self._next)
        for nexts in self._next:
            for there in nexts:
                entries[there] += 1
        ready, done, ends, ways[0] = [0], 0, 0, 1
        while ready:
            number = ready.pop()
            done += 1
            ends += 0 if self._next[number] else ways[number]
            for there in self._next[number]:
                ways[there] += ways[number]
                entries[there] -= 1
                if not entries[there]:
                    ready.append(there)
        if done < len(self._next):
            self._complain("every_schedule_ends", "some go round in circles", 0)
        return ends
