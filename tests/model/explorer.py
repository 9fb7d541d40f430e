"""An explicit-state model checker: every interleaving of a few workers, with everything that may go wrong.

A state is the world, and the point at which each worker's code stands. From each state, every worker may take its next
step, with every answer that the world may give; may crash; and the world may change by itself. Each state is expanded
once, breadth first: so all interleavings are covered, and the first schedule that breaks an invariant is a shortest
one. In the end the graph must have no circle: so every schedule ends, and the schedules can be counted.

Law: knows nothing of tokens, locks or files.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from tests.model.replay import Worker


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


class State(NamedTuple):
    """The world, and at which point each worker stands; None: it is dead."""

    world: Any
    at: tuple[int | None, ...]


class Scene(NamedTuple):
    """A state as invariants see it: the world, and what each worker shows; None: it is dead."""

    world: Any
    workers: tuple[Any, ...]


StepRule: TypeAlias = Callable[[Scene, Scene], str | None]
"""(before a step, after it) -> what is wrong, or None."""

EndRule: TypeAlias = Callable[[Scene, State], str | None]
"""(a state in which no worker can go on) -> what is wrong with it, or None."""


@dataclass
class Report:
    """What an exploration found."""

    states: int = 0
    steps: int = 0
    runs: int = 0
    schedules: int = 0
    rule: str | None = None
    wrong: str | None = None
    schedule: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Tell the figures, or the shortest schedule that goes wrong."""
        if self.rule is None:
            return f"{self.states:,} states, {self.steps:,} steps, {self.schedules:.1e} schedules, {self.runs:,} runs"
        return "\n    ".join([f"{self.rule}: {self.wrong}", *self.schedule])


class Explorer:
    """Explores all interleavings that begin in one world.

    Args:
        world: Where it begins.
        workers: Who takes part.
        always: What holds at each step.
        at_end: What holds wherever no worker can go on.
    """

    def __init__(
        self,
        world: World,
        workers: Sequence[Worker],
        always: Sequence[StepRule],
        at_end: Sequence[EndRule],
    ) -> None:
        self._workers, self._always, self._at_end = workers, always, at_end
        self.states = [State(world, (0,) * len(workers))]
        self._numbers = {self.states[0]: 0}
        self._came: list[tuple[int, str]] = [(0, "")]  # for each state: from which one, and how
        self._next: list[list[int]] = []

    def run(self) -> Report:
        """Explore until an invariant is broken or all states are known."""
        report = Report()
        while len(self._next) < len(self.states) and report.rule is None:
            self._expand(len(self._next), report)
        report.states = len(self.states)
        report.runs = sum(len(worker.points) for worker in self._workers)
        if report.rule is None:
            report.schedules = self._count()
            if not report.schedules:
                report.rule, report.wrong = "every_schedule_ends", "some go round in circles"
        return report

    def way_to_the_end(self) -> list[str]:
        """Return the shortest schedule to the state that was found last."""
        return self._way_to(len(self.states) - 1)

    def _expand(self, number: int, report: Report) -> None:
        state, before = self.states[number], self._scene(self.states[number])
        nexts, can_go_on = [], False
        for by_worker, what, world, at in self._moves(state):
            after = State(world, at)
            there = self._numbers.setdefault(after, len(self.states))
            if there == len(self.states):
                self.states.append(after)
                self._came.append((number, what))
            nexts.append(there)
            can_go_on = can_go_on or by_worker
            scene = self._scene(after)
            for rule in self._always:
                if wrong := rule(before, scene):
                    self._tell(report, rule.__name__, wrong, [*self._way_to(number), what])
                    return
        self._next.append(nexts)
        report.steps += len(nexts)
        if not can_go_on:
            self._end(number, before, report)

    def _moves(self, state: State) -> Iterable[tuple[bool, str, Any, tuple[int | None, ...]]]:
        world, at = state
        for number, worker in enumerate(self._workers):
            here = at[number]
            if here is not None:
                left, right = at[:number], at[number + 1 :]
                for what, after, answer in world.answers(worker.points[here].step):
                    yield (
                        True,
                        f"{number}: {what}",
                        after,
                        (*left, worker.after(here, answer), *right),
                    )
                if (after := world.crash(number)) is not None:
                    yield False, f"{number}: CRASH", after, (*left, None, *right)
        for what, after in world.changes():
            yield False, what, after, at

    def _end(self, number: int, scene: Scene, report: Report) -> None:
        state = self.states[number]
        for worker, here in enumerate(state.at):
            if here is not None and not state.world.at_rest(
                self._workers[worker].points[here].step
            ):
                self._tell(
                    report,
                    "every_schedule_ends",
                    f"worker {worker} waits for ever",
                    self._way_to(number),
                )
                return
        for rule in self._at_end:
            if wrong := rule(scene, state):
                self._tell(report, rule.__name__, wrong, self._way_to(number))
                return

    def _scene(self, state: State) -> Scene:
        pairs = zip(self._workers, state.at, strict=True)
        return Scene(
            state.world,
            tuple([None if at is None else worker.points[at].shown for worker, at in pairs]),
        )

    def _tell(self, report: Report, rule: str, wrong: str, schedule: list[str]) -> None:
        report.rule, report.wrong, report.schedule = rule, wrong, schedule

    def _way_to(self, number: int) -> list[str]:
        way: list[str] = []
        while number:
            number, what = self._came[number]
            way.insert(0, what)
        return way

    def _count(self) -> int:
        """Return the number of schedules from the beginning to an end; 0 if there is a circle."""
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
        return ends if done == len(self._next) else 0
