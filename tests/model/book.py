"""Numbers for states of the store, and states in words.

Law: a number is only a name; 0 is no state at all.
"""

from functools import cache

from tokenlatch._state import State

BLIND = -1
"""The base of a commit that does not compare: no honest store makes one."""


class Book:
    """Gives each state a number, so that worlds are quickly compared."""

    def __init__(self) -> None:
        self._states: list[State | None] = [None]
        self._numbers: dict[State | None, int] = {None: 0}

    def number(self, state: State | None) -> int:
        """Return the number of this state."""
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
        return number

    def read(self, number: int) -> State | None:
        """Return the state with this number."""
        return self._states[number] if number > 0 else None


BOOK = Book()


@cache
def number_of(state: int) -> int:
    """Return the number of the tokens in a state."""
    found = BOOK.read(state)
    return int(found.tokens.access_token[1:]) if found and found.tokens else 0


@cache
def in_words(number: int) -> str:
    """Return a state as schedules tell it."""
    state = BOOK.read(number)
    if state is None:
        return "nothing"
    words = [
        f"generation {state.generation}",
        state.tokens.access_token if state.tokens else "no token",
    ]
    if state.intent:
        words.append(
            f"{'doubt' if state.intent.doubtful else 'intent'} of {state.intent.holder.pid}"
        )
    if state.failure:
        words.append("a failure" if state.failure.retry_at else "a dead grant")
    return ", ".join(words)


@cache
def kind_of(new: int, base: int) -> str:
    """Return what a commit is for."""
    after, before = BOOK.read(new), BOOK.read(base)
    if before and after.generation > before.generation:
        return "new"
    if after.failure and after.failure != (before and before.failure):
        return "failure"
    return "intent" if after.intent != (before and before.intent) and after.intent else "back"
