"""The dance, explored: in every interleaving of two or three workers, whatever goes wrong, all promises hold."""

from dataclasses import replace

import pytest

from tests.model.invariants import explore, explorer
from tests.model.rules import Rules
from tests.model.worker import Caller, stage
from tests.model.world import World

OLD = Rules(begin=85, calls=("token", "token"))  # A0 is old but good; after a tick it has expired
REFUSED = Rules(begin=50, calls=("refused",))  # A0 is young, and an API refuses it
ACCEPTED = Rules(begin=50, calls=("refused", "accepted"), tick=1)
LOGIN = Rules(begin=50, calls=("refused", "login"))
HOSTS = Rules(atomic=True, apart=True, revokes=False)  # who loses the lock passes for dead

QUICK = {
    "two deaths": (2, Rules(), {"crashes": 2}),
    "deaths and a lost answer": (2, Rules(), {"crashes": 2, "lost": 1}),
    "two lost answers": (2, Rules(), {"crashes": 1, "lost": 2}),
    "a bad network": (2, Rules(), {"lost": 1, "unsent": 1, "sick": 1}),
    "torn from a request": (2, Rules(), {"crashes": 1, "lost": 1, "aborts": 1}),
    "no connection three times": (2, Rules(), {"unsent": 3}),
    "a server that does not revoke": (2, Rules(revokes=False), {"crashes": 2, "lost": 1}),
    "a server with a grace": (2, Rules(grace=5), {"crashes": 2, "lost": 1}),
    "the first refresh of all": (2, Rules(first=True), {"crashes": 2, "lost": 1}),
    "refreshing ahead, then expiry": (2, OLD, {"crashes": 1, "ticks": 1}),
    "a refused token": (2, REFUSED, {"crashes": 1, "lost": 1, "sick": 1}),
    "a token that is accepted": (2, ACCEPTED, {"crashes": 1, "ticks": 1}),
    "refreshing by hand": (2, Rules(begin=50, calls=("refresh",)), {"crashes": 1, "lost": 1}),
    "a login in between": (2, Rules(calls=("token", "login")), {"ticks": 1}),
    "a disk that breaks": (2, Rules(), {"crashes": 1, "breaks": 1}),
    "a disk that breaks beside another": (2, Rules(spills=True), {"crashes": 1, "breaks": 1}),
    "no patience": (2, Rules(), {"crashes": 1, "waits": 1}),
    "a lost lock": (2, Rules(atomic=True), {"crashes": 1, "thefts": 1}),
    "a lost lock between hosts": (2, HOSTS, {"crashes": 1, "thefts": 1}),
    "three workers": (3, Rules(), {"crashes": 1}),
}

LARGE = {
    "three workers, two deaths, a lost answer": (3, Rules(), {"crashes": 2, "lost": 1}),
    "three workers ahead of expiry": (3, Rules(begin=85), {"crashes": 1, "ticks": 1}),
    "three workers, a refused token": (3, REFUSED, {"crashes": 1, "lost": 1}),
    "three workers, a disk that breaks": (3, Rules(spills=True), {"crashes": 1, "breaks": 1}),
    "an answer lost ahead of expiry": (2, OLD, {"crashes": 2, "lost": 1, "ticks": 1}),
    "a grace that ends": (2, replace(OLD, grace=15), {"lost": 2, "ticks": 1}),
    "a broken disk over an expiry": (2, OLD, {"crashes": 1, "breaks": 1, "ticks": 1}),
    "a bad network and a death": (2, Rules(), {"crashes": 1, "lost": 2, "unsent": 1, "sick": 1}),
    "a login and a lost answer": (2, LOGIN, {"crashes": 1, "lost": 1, "ticks": 1}),
}


@pytest.mark.parametrize("name", QUICK)
def test_every_interleaving_keeps_every_promise(name):
    """Two workers with all troubles in turn, and three with one death: no schedule breaks a promise."""
    check(*QUICK[name])


@pytest.mark.storm
@pytest.mark.parametrize("name", LARGE)
def test_every_interleaving_of_more_keeps_every_promise(name):
    """The same with three workers, and with more going wrong in one run."""
    check(*LARGE[name])


def check(workers, rules, budget):
    """Explore, and see that all calls were made and all troubles came."""
    with stage():
        everything = explorer(workers, rules, **budget)
        report = everything.run()
    print(report)  # noqa: T201 - the figures, for pytest -s
    assert report.promise is None, str(report)
    happened = {what.partition(": ")[2] for _, what in everything.came}
    assert {f"asks ({call})" for call in rules.calls} <= happened
    left = {each for scene in everything.scenes for each in scene.world.left._asdict().items()}
    assert {(trouble, 0) for trouble in budget} <= left


# ----------------------------------------------------------------------------------------- the order of the steps


def schedule_of(rules: Rules) -> list[str]:
    """Return the steps of the only schedule of a worker that is alone."""
    with stage():
        alone = explorer(1, rules)
        assert alone.run().schedules == 1
    return [step.removeprefix("0: ") for step in alone.way_to(len(alone.scenes) - 1)]


def test_the_steps_of_the_dance_are_in_the_documented_order():
    """Lock, load, commit(intent), reserve, send, commit(new), unlock: whoever reorders them meets this test."""
    assert schedule_of(Rules()) == [
        "asks (token)",
        "looks: generation 1, A0",
        "lock",
        "load: generation 1, A0",
        "commit(intent): write",
        "commit(intent): move",
        "reserve",
        "send R0",
        "answer: A1, R1",
        "commit(new): write",
        "commit(new): move",
        "unlock",
    ]


def test_a_good_token_takes_no_step_but_a_look():
    """Without need there is no lock, no request and no write."""
    assert schedule_of(Rules(begin=50)) == ["asks (token)", "looks: generation 1, A0"]


def test_merging_points_hides_nothing(monkeypatch):
    """With every history kept apart, exactly the same worlds are reached."""

    def worlds() -> set[World]:
        with stage():
            both = explorer(2, OLD, ticks=1)
            assert both.run().promise is None
        return {scene.world for scene in both.scenes}

    merged = worlds()
    monkeypatch.setattr(Caller, "memory", lambda *_: None)
    assert worlds() == merged


# ------------------------------------------------------------------------------------------------ what it cannot do


LIMITS = {
    "a request that arrives after its sender gave it up": (
        # It was sent again, and answered; then the first one comes and counts as a replay. No client can prevent that.
        (2, Rules(), {"lost": 1, "late": 1}),
        "nothing_lost",
    ),
    "a token that could not be saved for more than 300 s": (
        # So long, the others leave the grant to the worker that has it in memory; then they must try for themselves.
        (2, Rules(tick=400), {"breaks": 1, "ticks": 1}),
        "nothing_lost",
    ),
    "a lock file that is deleted while it is held": (
        # A file can be compared and moved, but not in one step: two holders may both find it unchanged.
        (2, Rules(), {"thefts": 1}),
        "sent_once",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_known_limits_are_limits_still(name):
    """Beyond these the promises end (ARCHITECTURE.md); the explorer finds each, so it does look there."""
    (workers, rules, budget), promise = LIMITS[name]
    assert explore(workers, rules, only=promise, **budget).promise == promise
