"""Real code, taken one step at a time, from any point that it can reach.

Code is deterministic but for what the world answers to its steps. So a worker's memory *is* the list of the answers it
got. To take a worker further, its real code runs again from the beginning, gets the known answers, and is left (by an
exception) at the first step without one. No threads, no timing; and since each list is run once, the cost does not grow
with the number of interleavings. Where code can tell all that its past left behind, equal memories count as one point.

Law: knows nothing of tokens, locks or files.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

LONGEST_RUN = 100
"""Steps after which a worker is taken to go on for ever."""


class Endless(Exception):  # noqa: N818 - the name says it
    """A worker goes on and on."""


class Paused(BaseException):
    """Leaves the real code at a step that has no answer yet."""


class Replay:
    """One run of a worker's code against the answers known so far."""

    def __init__(self, answers: Iterable[Hashable]) -> None:
        self._answers = deque(answers)
        # What invariants see of this worker; and all that its past has left behind, or None.
        self.look: Callable[[Any], Any] = lambda _: None
        self.memory: Callable[[Any], Hashable] = lambda _: None
        self.point: tuple[Any, Any, Hashable] | None = None

    def do(self, step: Any) -> Any:
        """Return the world's answer to a step, or leave the code there."""
        if self.point is None:
            if self._answers:
                return self._answers.popleft()
            self.point = step, self.look(step), self.memory(step)
        raise Paused  # also at whatever the code still tries while it is being left


class Point(NamedTuple):
    """Where a worker stands: its next step, what it shows to invariants, and how it got there."""

    step: Any
    shown: Any
    answers: tuple[Hashable, ...]


class Worker:
    """The points that one worker's code can reach, each found once and numbered."""

    def __init__(self, play: Callable[[Replay], object]) -> None:
        self._play = play
        self._after: dict[tuple[int, Hashable], int] = {}
        self._same: dict[Hashable, int] = {}
        self.points: list[Point] = []
        self._run(())

    def after(self, number: int, answer: Hashable) -> int:
        """Return the point that this answer leads to."""
        key = number, answer
        if key not in self._after:
            self._after[key] = self._run((*self.points[number].answers, answer))
        return self._after[key]

    def _run(self, answers: tuple[Hashable, ...]) -> int:
        if len(answers) > LONGEST_RUN:
            raise Endless(f"a worker goes on after {LONGEST_RUN} steps")
        replay = Replay(answers)
        with suppress(Paused):
            self._play(replay)
        assert replay.point, "a worker's code never ends: it waits for the next call"
        step, shown, memory = replay.point
        number = (
            len(self.points)
            if memory is None
            else self._same.setdefault((step, memory), len(self.points))
        )
        if number == len(self.points):
            self.points.append(Point(step, shown, answers))
        return number
