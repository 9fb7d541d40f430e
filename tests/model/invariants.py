"""What must hold in every interleaving: one small function for each promise.

A promise about scenes gets each scene, one about steps the scenes before and after each step, one about the end each
scene in which no worker can go on. Each returns what is wrong, or None.

Law: looks at worlds and at what workers show; how the dance works is no business of this file.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from tests.model.book import BOOK, in_words, number_of
from tests.model.desk import Aborted
from tests.model.explorer import Explorer, Promises, Report, Scene
from tests.model.replay import Worker
from tests.model.rules import EARLY, LOGIN, Budget, Rules
from tests.model.worker import first_state, make_worker, stage
from tests.model.world import Letter, World
from tokenlatch._state import State, TokenSet
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


def durable_first(scene: Scene) -> str | None:
    """Nobody is given a token that is not in the file yet, unless saving failed and its worker knows it."""
    for number, worker in enumerate(scene.workers):
        if worker and not worker.unsaved and not worker.offered <= scene.world.durable:
            return f"worker {number} hands out {sorted(worker.offered - scene.world.durable)}, which is not saved"
    return None


def follows_the_file(scene: Scene) -> str | None:
    """Who has seen the file as it is knows what is in it: no change is missed for ever."""
    disk = scene.world.disk
    for number, worker in enumerate(scene.workers):
        if worker and worker.seen == disk and not worker.unsaved:
            known = BOOK.read(worker.state)
            if known != (BOOK.read(disk) or State(known.identity)):
                return f"worker {number} has seen {in_words(disk)}, and goes on with {in_words(worker.state)}"
    return None


def ends_well(scene: Scene) -> str | None:
    """Every call ends with a token or one of our errors."""
    for number, worker in enumerate(scene.workers):
        _, result = worker.results if worker else (0, None)
        if isinstance(result, BaseException) and not isinstance(result, AuthError | Aborted):
            return f"the call of worker {number} ended with {result!r}"
    return None


def no_false_alarm(before: Scene, after: Scene) -> str | None:
    """Nobody is told to log in again while the refresh token in the file works."""
    world = after.world
    if not (before.world.works and world.works):
        return None
    # Where the lock may be lost, it counts when a worker found out, not when it has let go of the lock.
    word = "results" if world.robbed is None else "alarms"
    for number, (was, now) in enumerate(zip(before.workers, after.workers, strict=True)):
        count, news = getattr(now, word) if now else (0, None)
        if isinstance(news, ReauthorizationRequired) and count > getattr(was, word)[0]:
            return f"worker {number} asks for a login, and R{number_of(world.disk)} in the file is good"
    return None


def no_false_death(scene: Scene) -> str | None:
    """The file does not say that a grant is dead whose refresh token works."""
    state = BOOK.read(scene.world.disk)
    dead = state and state.failure and state.failure.retry_at is None
    return f"but the file has {in_words(scene.world.disk)}" if dead and scene.world.works else None


def no_needless_error(scene: Scene) -> str | None:
    """While nothing has gone wrong, every call ends with a token."""
    for number, worker in enumerate(scene.workers if scene.world.calm else ()):
        _, result = worker.results if worker else (0, None)
        if isinstance(result, AuthError):
            return f"nothing has gone wrong, and yet worker {number} gets: {result}"
    return None


def nothing_lost(workers: Sequence[Worker], newcomer: Worker) -> Callable[[Scene], str | None]:
    """However it ended, a later caller gets a token; else somebody died or lost an answer, and it is told so."""

    def nothing_lost(scene: Scene) -> str | None:
        world = _calm(scene.world).later(SOON)
        for worker, at in zip(workers, scene.at, strict=True):
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


ALWAYS = (durable_first, follows_the_file, ends_well, no_false_death, no_needless_error)
STEPS = (sent_once, not_in_haste, never_back, no_false_alarm)


def explorer(
    workers: int, rules: Rules | None = None, *, only: str | None = None, **budget: int
) -> Explorer:
    """Return an explorer of all interleavings of some workers, with at most so much going wrong.

    Args:
        workers: How many take part.
        rules: What kind of world it is.
        only: The one promise to look at; default: all.
        budget: How often each thing may happen, as in ``Budget``.
    """
    rules = rules or Rules()
    cast = [make_worker(number, rules) for number in range(workers)]
    at_end = [nothing_lost(cast, newcomer=make_worker(workers, rules))]
    promises = Promises(
        *(
            [each for each in group if only in (None, each.__name__)]
            for group in (ALWAYS, STEPS, at_end)
        )
    )
    return Explorer(World(rules, Budget(**budget), rules.begin, first_state(rules)), cast, promises)


def explore(workers: int, rules: Rules | None = None, **options: int | str) -> Report:
    """Explore all interleavings; the arguments are those of ``explorer``."""
    with stage():
        return explorer(workers, rules, **options).run()


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
    # What lay beside the file may be gone with the disk that broke.
    kept = world.durable if world.disk_is == "mended" else world.saved
    return (
        bool(letter.reply)
        and letter.reply not in kept
        and (letter.worker in world.dead or letter.fate == "lost")
    )
