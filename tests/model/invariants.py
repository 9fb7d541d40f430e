"""What must hold in every interleaving: one small function for each promise.

A rule over a step gets the scenes before and after it; a rule over an end gets a scene in which no worker can go on.
Each returns what is wrong, or None.

Law: looks at worlds and at what workers show; how the dance works is no business of this file.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from tests.model.book import BOOK, in_words, number_of
from tests.model.explorer import EndRule, Explorer, Report, Scene, State
from tests.model.replay import Worker
from tests.model.worker import first_state, make_worker, stage
from tests.model.world import EARLY, LOGIN, Budget, Letter, Rules, World
from tokenlatch._state import TokenSet
from tokenlatch.errors import AuthError, ReauthorizationRequired

SOON, LATE = 2.0, 1000.0
"""Seconds until nobody hands out a token unasked; until every token is old and every cooldown over."""

NAMED = "could not finish it"
"""How an error names an interrupted refresh."""


def sent_once(before: Scene, after: Scene) -> str | None:
    """A refresh token is sent once; again only if its sender died or lost the answer, or where a grace allows it."""
    world = after.world
    if world.rules.grace:
        return None
    for letter in _sent_before(before.world, world):
        died = letter.worker in world.dead and not (letter.reply and letter.reply in world.saved)
        # On different hosts, whoever loses its lock passes for dead, and lives: then only the file is safe.
        given_up = world.rules.apart and world.robbed is not None
        if not died and not given_up and letter.fate != "lost":
            return f"R{letter.token} was sent although worker {letter.worker} had sent it and lives"
    return None


def not_in_haste(before: Scene, after: Scene) -> str | None:
    """A refresh token that may be spent is not sent again while the access token is good: it could end the grant."""
    world, state = before.world, BOOK.read(before.world.disk)
    again = _sent_before(world, after.world)
    if not again or not state or not state.tokens or again[0].token != number_of(world.disk):
        return None
    expired = world.clock >= state.tokens.expires_at - EARLY
    refused = number_of(world.disk) == 0 and "refused" in world.rules.calls
    insists = "refresh" in world.rules.calls
    if expired or refused or insists or world.rules.grace:
        return None
    return f"R{again[0].token} was sent again although A{number_of(world.disk)} is good"


def never_back(before: Scene, after: Scene) -> str | None:
    """The file never goes back to an older generation, nor to older tokens of the same login."""
    was, now = before.world.disk, after.world.disk
    if was == now or not was:
        return None
    old, new = number_of(was), number_of(now)
    older = old // LOGIN == new // LOGIN and new < old
    if not now or older or BOOK.read(now).generation < BOOK.read(was).generation:
        return f"the file went from {in_words(was)} to {in_words(now)}"
    return None


def durable_first(_: Scene, after: Scene) -> str | None:
    """Nobody is given a token that is not in the file yet, unless saving failed and its worker knows it."""
    for number, worker in enumerate(after.workers):
        if worker and not worker.unsaved and not worker.offered <= after.world.durable:
            return f"worker {number} hands out {sorted(worker.offered - after.world.durable)}, which is not saved"
    return None


def follows_the_file(_: Scene, after: Scene) -> str | None:
    """Who has seen the file as it is knows what is in it: no change is missed for ever."""
    disk = after.world.disk
    for number, worker in enumerate(after.workers):
        if worker and worker.seen == disk and worker.state != disk and not worker.unsaved:
            return f"worker {number} has seen {in_words(disk)} and goes on with {in_words(worker.state)}"
    return None


def ends_well(_: Scene, after: Scene) -> str | None:
    """Every call ends with a token or one of our errors."""
    for number, worker in enumerate(after.workers):
        _, result = worker.results if worker else (0, None)
        if isinstance(result, Exception) and not isinstance(result, AuthError):
            return f"the call of worker {number} ended with {result!r}"
    return None


def no_false_alarm(before: Scene, after: Scene) -> str | None:
    """Neither a caller nor the file is told that a grant is dead whose refresh token, in the file, works."""
    world = after.world
    if not (before.world.works and world.works):
        return None
    good = f"R{number_of(world.disk)} in the file is good"
    # Where the lock may be lost, it counts when a worker found out, not when it has let go of the lock.
    word = "results" if world.robbed is None else "alarms"
    for number, (was, now) in enumerate(zip(before.workers, after.workers, strict=True)):
        count, news = getattr(now, word) if now else (0, None)
        if isinstance(news, ReauthorizationRequired) and count > getattr(was, word)[0]:
            return f"worker {number} asks for a login, and {good}"
    state = BOOK.read(world.disk)
    dead = state and state.failure and state.failure.retry_at is None
    return f"the file says that the grant is dead, and {good}" if dead else None


def no_needless_error(_: Scene, after: Scene) -> str | None:
    """While nothing has gone wrong, every call ends with a token."""
    for number, worker in enumerate(after.workers if after.world.calm else ()):
        _, result = worker.results if worker else (0, None)
        if isinstance(result, AuthError):
            return f"nothing has gone wrong, and yet worker {number} gets: {result}"
    return None


ALWAYS = (
    *(sent_once, not_in_haste, never_back, durable_first, follows_the_file),
    *(ends_well, no_false_alarm, no_needless_error),
)


def nothing_lost(workers: Sequence[Worker], newcomer: Worker) -> EndRule:
    """However it ended, a later caller gets a token; else somebody died or lost an answer, and it is told so."""

    def nothing_lost(scene: Scene, state: State) -> str | None:
        world = _calm(scene.world).later(SOON)
        for worker, at in zip(workers, state.at, strict=True):
            if at is not None:
                world, _ = _ask(world, worker, at)
        world, result = _ask(world.later(LATE), newcomer, 0)
        if isinstance(result, TokenSet):
            return None if world.works else "a later caller gets a token that nobody can refresh"
        if not any(_is_interruption(letter, world) for letter in world.letters):
            return (
                f"nobody died or lost an answer in between, and yet a later caller gets: {result}"
            )
        if not isinstance(result, ReauthorizationRequired) or NAMED not in str(result):
            return f"a later caller is not told of the interrupted refresh, but: {result}"
        return None

    return nothing_lost


def explore(
    workers: int, rules: Rules | None = None, *, only: str | None = None, **budget: int
) -> Report:
    """Explore all interleavings of some workers, with at most so much going wrong.

    Args:
        workers: How many take part.
        rules: What kind of world it is.
        only: The one promise to look at; default: all.
        budget: How often each thing may happen, as in ``Budget``.
    """
    rules = rules or Rules()
    with stage():
        cast = [make_worker(number, rules) for number in range(workers)]
        world = World(rules, Budget(**budget), rules.begin, first_state(rules))
        always = [rule for rule in ALWAYS if only in (None, rule.__name__)]
        at_end = nothing_lost(cast, newcomer=make_worker(workers, rules))
        return Explorer(
            world, cast, always, [at_end] if only in (None, "nothing_lost") else []
        ).run()


# ---------------------------------------------------------------------------------------------------- small questions


def _ask(world: World, worker: Worker, at: int) -> tuple[World, object]:
    """Return world and result after one more call of a worker that is alone in the world."""
    while True:
        _, world, answer = next(iter(world.answers(worker.points[at].step)))
        at = worker.after(at, answer)
        if worker.points[at].step.act == "call":
            return world, worker.points[at].shown.results[1]


def _calm(world: World) -> World:
    """Return the world with nothing going wrong any more, and everybody free to ask."""
    rules = _asking(world.rules)
    disk = "mended" if world.disk_is == "broken" else world.disk_is
    return world._replace(rules=rules, left=Budget(), disk_is=disk)


@cache
def _asking(rules: Rules) -> Rules:
    return replace(rules, calls=("token",) * 99)


def _sent_before(before: World, after: World) -> list[Letter]:
    """Return the earlier requests with the refresh token that was sent in this step."""
    if len(after.letters) == len(before.letters):
        return []
    return [each for each in before.letters if each.token == after.letters[-1].token]


def _is_interruption(letter: Letter, world: World) -> bool:
    """Tell whether the server answered, and the answer was lost, or its receiver died before it was saved."""
    kept = (
        world.durable if world.disk_is == "mended" else world.saved
    )  # a dying disk may take a file with it
    return (
        bool(letter.reply)
        and letter.reply not in kept
        and (letter.worker in world.dead or letter.fate == "lost")
    )
