"""The world around the workers: a store, its lock, an authorization server, a clock, and all that may go wrong.

The store does what ``FileStore`` does: a commit compares, writes ``NAME.next`` whole and moves it over the file, and
the next holder of the lock moves on what a dead one wrote whole; test_stores_agree.py holds the two together. The
server rotates refresh tokens and detects reuse. Tokens have numbers: A0 and R0 were there at first, A3 and R3 came with
the third answer.

Law: immutable; whatever a real world decides is one entry of a list here, and what goes wrong has a budget.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from tests.model.book import BLIND, BOOK, in_words, kind_of, number_of
from tests.model.rules import LOGIN, Budget, Rules


class Letter(NamedTuple):
    """A token request that left its sender."""

    worker: int
    token: int
    reply: int | None  # the number of the tokens in the answer; 0: refused; None: it never arrived
    fate: str  # of the answer: "open", "home" or "lost"


class Grant(NamedTuple):
    """One login, as the server knows it."""

    current: int = 0  # the number of the refresh token that works
    since: float = 0
    alive: bool = True


class Step(NamedTuple):
    """What a worker is about to do: a step that others can notice, or whose answer depends on others."""

    worker: int
    act: str
    what: Any = None
    base: Any = None
    now: float = 0  # the clock when the worker last saw it


Happening: TypeAlias = tuple[str, "World", object]
"""What happens, the world after it, and the answer that the worker gets."""


class World(NamedTuple):
    """Everything outside the workers' memories. States of the store are numbers in ``BOOK``; 0 is none."""

    rules: Rules
    left: Budget
    clock: float
    disk: int
    next: int = 0  # what lies whole in NAME.next
    spilled: int = 0  # what lies in the runtime directory
    lock: int | None = None
    robbed: int | None = None  # who lost the lock
    disk_is: str = "fine"  # or "broken" or "mended"
    calm: bool = True  # nothing has gone wrong so far
    grants: tuple[Grant, ...] = (Grant(),)
    letters: tuple[Letter, ...] = ()
    late: tuple[int, ...] = ()
    dead: tuple[int, ...] = ()
    durable: frozenset[int] = frozenset({0})  # the numbers of all tokens that were ever in the file
    saved: frozenset[int] = frozenset({0})  # the same, with those that were whole beside it

    @property
    def works(self) -> bool:
        """Whether the refresh token in the file gets the next one."""
        number = number_of(self.disk)
        grant = self.grants[number // LOGIN]
        return grant.alive and grant.current == number

    # -- what the explorer asks ----------------------------------------------------------------------------------------

    def answers(self, step: Step) -> Iterator[Happening]:
        """Return all that may happen when a worker takes this step; every answer tells the time too."""
        for what, world, answer in getattr(self, f"_{step.act}")(step):
            yield what, world, (world.clock, answer)

    def crash(self, worker: int) -> "World | None":
        """Return the world after this worker was killed: the kernel frees its lock."""
        if not self.left.crashes:
            return None
        lock = None if self.lock == worker else self.lock
        return self._spend("crashes")._replace(lock=lock, dead=(*self.dead, worker))

    def changes(self) -> Iterator[tuple[str, "World"]]:
        """Return all that may happen without any worker."""
        if self.left.ticks:
            yield f"{self.rules.tick:.0f} s pass", self._spend("ticks").later(self.rules.tick)
        if self.left.breaks:
            yield "the disk breaks", self._spend("breaks")._replace(disk_is="broken")
        if self.disk_is == "broken":
            yield "the disk is mended", self._replace(disk_is="mended")
        for token in self.late:
            world, _ = self._replace(late=()).serve(token)
            yield f"the lost request with R{token} arrives", world

    def at_rest(self, step: Step) -> bool:
        """Tell whether a worker may stay here: between two calls."""
        return step.act == "call"

    def later(self, seconds: float) -> "World":
        """Return the world after a while."""
        return self._replace(clock=self.clock + seconds)

    # -- the steps of a worker: calls and queue ------------------------------------------------------------------------

    def _call(self, step: Step) -> Iterator[Happening]:
        calls = self.rules.calls
        if step.what < len(calls) and (not step.what or self.clock != step.now):
            yield f"asks ({calls[step.what]})", self, calls[step.what]

    def _look(self, step: Step) -> Iterator[Happening]:
        seen = self.disk if self.disk != step.what else None
        yield f"looks: {in_words(self.disk) if seen is not None else 'unchanged'}", self, seen

    def _lock(self, step: Step) -> Iterator[Happening]:
        if self.lock is None:
            yield "lock", self._replace(lock=step.worker), "locked"
            return
        # One more turn in the queue in which nothing has changed leads back to where it began: left out.
        if step.base == "first" or (
            step.base == "again" and (self.disk, self.clock) != (step.what, step.now)
        ):
            yield "finds it locked", self, "busy"
        if step.base == "again" and self.left.waits:
            yield "has waited too long", self._spend("waits"), "busy for long"
        if self.left.thefts:
            yield (
                "STEALS THE LOCK",
                self._spend("thefts")._replace(lock=step.worker, robbed=self.lock),
                "locked",
            )

    def _unlock(self, step: Step) -> Iterator[Happening]:
        mine = self.lock == step.worker
        kept = self.next if self._rolled(self.next) is not self else 0  # else it is litter
        yield "unlock", self._replace(lock=None, next=kept) if mine else self, "unlocked"

    def _alive(self, step: Step) -> Iterator[Happening]:
        alive = step.what not in self.dead and not self.rules.apart
        yield f"is {step.what} alive: {alive}", self, alive

    # -- the file ------------------------------------------------------------------------------------------------------

    def _load(self, _: Step) -> Iterator[Happening]:
        world = self._rolled(self.next)._rolled(self.spilled)._replace(next=0, spilled=0)
        yield f"load: {in_words(world.disk)}", world._noted(), world.disk

    def _reserve(self, _: Step) -> Iterator[Happening]:
        broken = self.disk_is == "broken"
        yield "reserve: fails" if broken else "reserve", self, "failed" if broken else "reserved"

    def _write(self, step: Step) -> Iterator[Happening]:
        kind = f"commit({kind_of(step.what, step.base)})"
        if step.base != self.disk and not self._goes_over(step):
            yield f"{kind}: conflict", self, "conflict"
        elif self.disk_is == "broken":
            yield (
                f"{kind}: fails",
                self._replace(next=self.next if self.next == step.what else 0),
                "failed",
            )
        elif self.rules.atomic:
            yield kind, self._replace(disk=step.what)._noted(), "moved"
        else:
            yield f"{kind}: write", self._replace(next=step.what)._noted(), "written"

    def _move(self, step: Step) -> Iterator[Happening]:
        kind = f"commit({kind_of(step.what, step.base)})"
        if self.disk_is == "broken" or not self.next:
            yield f"{kind}: fails", self, "failed"
        else:
            yield (
                f"{kind}: move",
                self._replace(disk=self.next, next=0, spilled=0)._noted(),
                "moved",
            )

    def _spill(self, step: Step) -> Iterator[Happening]:
        world = self._replace(spilled=step.what)._noted() if self.rules.spills else self
        yield "spill", world, "elsewhere" if self.rules.spills else None

    def _goes_over(self, step: Step) -> bool:
        new, there, read = map(BOOK.read, (step.what, self.disk, step.base))
        return step.base == BLIND or there is None or new.supersedes(there, read)

    def _rolled(self, found: int) -> "World":
        """Return the world with what a dead holder left moved on, if it is the next generation."""
        there, left = BOOK.read(self.disk), BOOK.read(found)
        newer = left.generation - (there.generation if there else 0) if left else 0
        forward = newer == 1 or (newer > 0 and there is None)
        return self._replace(disk=found) if forward else self

    # -- the server ----------------------------------------------------------------------------------------------------

    def _login(self, _: Step) -> Iterator[Happening]:
        number = LOGIN * len(self.grants)
        grants = (*self.grants, Grant(number, self.clock))
        yield f"a person logs in: A{number}, R{number}", self._replace(grants=grants), number

    def _send(self, step: Step) -> Iterator[Happening]:
        token, left = step.what, self.left
        world, reply = self.serve(token)
        yield f"send R{token}", world._post(Letter(step.worker, token, reply, "open")), "sent"
        if left.lost:
            world = self._spend("lost")._post(Letter(step.worker, token, None, "lost"))
            yield f"send R{token}: it is LOST", world, "lost"
            if left.late:
                yield (
                    f"send R{token}: it is LATE",
                    world._spend("late")._replace(late=(token,)),
                    "lost",
                )
        if left.unsent:
            yield f"send R{token}: NO CONNECTION", self._spend("unsent"), "unsent"
        if left.sick:
            yield f"send R{token}: 503", self._spend("sick"), "sick"

    def _answer(self, step: Step) -> Iterator[Happening]:
        place = max(place for place, each in enumerate(self.letters) if each.worker == step.worker)
        reply = self.letters[place].reply
        text = f"answer: A{reply}, R{reply}" if reply else "answer: refused"
        yield text, self._stamp(place, "home"), reply
        if self.left.lost:
            yield f"{text}, and it is LOST", self._spend("lost")._stamp(place, "lost"), "lost"
        if self.left.aborts:
            yield f"{text}, but ABORTED", self._spend("aborts")._stamp(place, "lost"), "aborted"

    def serve(self, token: int) -> tuple["World", int]:
        """Return the world after the server got this refresh token, and its reply."""
        place = token // LOGIN
        current, since, alive = self.grants[place]
        if alive and token == current:
            grant, reply = Grant(current + 1, self.clock), current + 1
        elif alive and token == current - 1 and self.clock - since < self.rules.grace:
            grant, reply = self.grants[place], current
        else:
            grant, reply = Grant(current, since, alive and not self.rules.revokes), 0
        return self._replace(grants=(*self.grants[:place], grant, *self.grants[place + 1 :])), reply

    # -- bookkeeping ---------------------------------------------------------------------------------------------------

    def _spend(self, name: str) -> "World":
        left = self.left._replace(**{name: getattr(self.left, name) - 1})
        return self._replace(left=left, calm=self.calm and name == "ticks")

    def _post(self, letter: Letter) -> "World":
        return self._replace(letters=(*self.letters, letter))

    def _stamp(self, place: int, fate: str) -> "World":
        letters = list(self.letters)
        letters[place] = letters[place]._replace(fate=fate)
        return self._replace(letters=tuple(letters))

    def _noted(self) -> "World":
        durable = self.durable | {number_of(self.disk)}
        saved = self.saved | durable | {number_of(self.next), number_of(self.spilled)}
        return self._replace(durable=durable, saved=saved)
