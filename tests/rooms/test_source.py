"""The source: what callers get, when the provider is asked, and what is remembered."""

import asyncio
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.rooms.desk import Desk, grant, lost, refusal, source_at
from tokenlatch import (
    ClientCredentials,
    Custom,
    FileStore,
    MemoryStore,
    Provider,
    RefreshPolicy,
    RefreshToken,
    TokenSet,
    TokenSource,
)
from tokenlatch._events import Adopted, InterruptionFound, Refreshed, RefreshFailed, SaveFailed
from tokenlatch.errors import (
    ConfigurationError,
    LockTimeout,
    ProviderError,
    ReauthorizationRequired,
    StoreError,
    TransportError,
)


@pytest.fixture
def desk():
    """A provider."""
    return Desk()


@pytest.fixture
def events():
    """What was told."""
    return []


@pytest.fixture
def source(desk, clock, events):
    """A source with an empty memory."""
    source = source_at(desk, clock, on_event=events.append)
    yield source
    desk.open_doors()
    source.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Try again at once where the dance would wait a little."""
    monkeypatch.setattr("tokenlatch._dance.RECONNECTS", (0.0, 0.0))
    monkeypatch.setattr("tokenlatch._dance.RESAVES", (0.0,) * 3)


def settled(source):
    """Wait for the flight under way, if there is one."""
    flight = source._flight
    if flight:
        try:
            flight.wait()
        except BaseException:  # noqa: BLE001 - the callers have heard it
            return


def kinds(events):
    """The events' names."""
    return [type(each).__name__ for each in events]


# --------------------------------------------------------------------------------------------------------- handing out


def test_the_first_token_comes_from_the_seed(source, desk, clock, events):
    """One request, the next generation, and everything known of the token."""
    tokens = source.token()
    assert tokens == TokenSet(
        "at-1", refresh_token="rt-1", expires_at=clock() + 100, issued_at=clock()
    )
    assert desk.asked == [{"grant_type": "refresh_token", "refresh_token": "rt-0"}]
    assert source.status().generation == 1
    assert kinds(events) == ["Refreshed"]


def test_a_valid_token_costs_nobody_a_look(desk, clock):
    """Within ``watch`` the store is not touched; after it once."""

    class Watched(MemoryStore):
        looks = 0

        def changed(self):
            Watched.looks += 1
            return super().changed()

    source = source_at(desk, clock, store=Watched())
    source.token()
    Watched.looks = 0
    for _ in range(100):
        source.token()
    assert Watched.looks == 0
    clock.advance(1)
    for _ in range(100):
        source.token()
    assert (Watched.looks, len(desk.asked)) == (1, 1)


def test_nobody_waits_while_the_token_is_valid(source, desk, clock):
    """In the window one request flies, and all callers get the old token meanwhile (P3)."""
    old = source.token()
    clock.advance(80)
    desk.close_doors()
    assert source.token() is old
    desk.arrived()
    desk.arrived()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: source.token().access_token, range(50))) == {"at-1"}
    assert asyncio.run(source.atoken()) is old
    assert len(desk.asked) == 2
    desk.open_doors()
    settled(source)
    clock.advance(1)
    assert source.token().access_token == "at-2"


def test_callers_wait_when_the_token_has_expired(source, desk, clock):
    """And all get the new one."""
    source.token()
    clock.advance(90)
    desk.close_doors()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(source.token) for _ in range(8)]
        desk.arrived()
        desk.arrived()
        assert not any(each.done() for each in waiting)
        desk.open_doors()
        assert {each.result(10).access_token for each in waiting} == {"at-2"}
    assert len(desk.asked) == 2


def test_a_caller_with_a_refused_token_waits_for_the_refresh_ahead(source, desk, clock):
    """The flight under way is good enough."""
    source.token()
    clock.advance(80)
    desk.close_doors()
    source.token()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.token, "at-1")
        desk.arrived()
        desk.arrived()
        desk.open_doors()
        assert waiting.result(10).access_token == "at-2"
    assert len(desk.asked) == 2


def test_a_provider_that_gives_the_same_token_again_is_asked_twice_at_the_most(source, desk, clock):
    """A refused token that comes back is handed out, not asked for in a loop."""
    source.token()
    same = b'{"access_token": "at-1", "expires_in": 100, "refresh_token": "rt-1"}'
    for _ in range(9):
        desk.script.append(type(refusal("x"))(200, {}, same))
    clock.advance(80)
    desk.close_doors()
    source.token()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.token, "at-1")
        desk.arrived()
        desk.open_doors()
        assert waiting.result(10).access_token == "at-1"
    assert len(desk.asked) <= 3


def test_a_login_that_gives_the_same_old_token_again_is_not_asked_in_a_loop(clock):
    """Its own issued_at is long ago, so nothing tells that it is fresh."""
    calls = []

    def fetch(old):
        calls.append(old)
        assert len(calls) < 10, "asked in a loop"
        return TokenSet("same", issued_at=clock() - 1000)

    source = TokenSource(Custom(fetch), clock=clock)
    source.token()
    assert source.token(rejected="same").access_token == "same"
    assert len(calls) == 2


# ------------------------------------------------------------------------------------------------------------- refused


def test_a_refused_token_is_refreshed_once(source, desk):
    """The second caller with the same refused token adopts."""
    source.token()
    assert source.token("at-1").access_token == "at-2"
    assert source.token("at-1").access_token == "at-2"
    assert len(desk.asked) == 2


def test_an_unproven_token_is_not_refreshed_again(source, desk, clock):
    """For 30 s, unless an API takes it."""
    source.token()
    source.token("at-1")
    for _ in range(3):
        assert source.token("at-2").access_token == "at-2"
    assert len(desk.asked) == 2
    clock.advance(30)
    assert source.token("at-2").access_token == "at-3"


def test_an_accepted_token_is_refreshed_although_the_note_is_late(source, desk, monkeypatch):
    """The store may be slow to learn it: this process knows."""
    monkeypatch.setattr(TokenSource, "_prove", lambda *_: None)
    source.token()
    source.token("at-1")
    source.accepted("at-2")
    assert source.token("at-2").access_token == "at-3"
    assert len(desk.asked) == 3


def test_an_accepted_token_is_known_to_all(desk, clock):
    """Another source on the same store may refresh it when it is refused."""
    store, shared = MemoryStore(), grant()
    one, two = (source_at(desk, clock, store=store, grant=shared) for _ in "ab")
    one.token()
    one.token("at-1")
    assert one.unproven
    one.accepted("at-2")
    while store._state.unproven:
        time.sleep(0.001)  # a thread of its own writes it
    assert not store._state.unproven
    assert two.token("at-2").access_token == "at-3"


def test_an_acceptance_never_queues_for_the_lock(desk, clock):
    """After a refusal all workers come at once: whoever finds the lock taken leaves it at that."""
    tried, gone = [], threading.Event()

    class Watched(MemoryStore):
        def transaction(self, timeout):
            if threading.current_thread().name != "tokenlatch-refresh":
                tried.append(timeout)
                gone.set()
            return super().transaction(timeout)

    source = source_at(desk, clock, store=Watched())
    source.token()
    source.token("at-1")
    source.accepted("at-2")
    assert gone.wait(10)
    assert tried == [0]


def test_acceptance_of_another_token_proves_nothing(source):
    """An answer to an old request comes late."""
    source.token()
    source.token("at-1")
    source.accepted("at-1")
    assert source.unproven


# ------------------------------------------------------------------------------------------------------------- by hand


def test_refresh_refreshes_although_the_token_is_good(source, desk):
    """Each time."""
    source.token()
    assert source.refresh().access_token == "at-2"
    assert source.refresh().access_token == "at-3"
    assert len(desk.asked) == 3


def test_refresh_may_follow_a_refusal(source):
    """A wish is not an API that refuses everything."""
    source.token()
    source.token("at-1")
    assert source.refresh().access_token == "at-3"


def test_refresh_obeys_a_cooldown(source, desk):
    """A wish does not hammer a sick provider."""
    source.token()
    desk.script.append(refusal("temporarily_unavailable", 503))
    for _ in range(3):
        with pytest.raises(ProviderError):
            source.refresh()
    assert len(desk.asked) == 2
    assert source.token().access_token == "at-1"


def test_refresh_adopts_another_workers(desk, clock):
    """Two sources, one store: two wishes at once may be one refresh."""
    store, shared = MemoryStore(), grant()
    one, two = (source_at(desk, clock, store=store, grant=shared) for _ in "ab")
    one.token()
    two.token()
    desk.close_doors()
    with ThreadPoolExecutor(2) as pool:
        wishes = [pool.submit(one.refresh), pool.submit(two.refresh)]
        desk.arrived()
        desk.arrived()
        desk.open_doors()
        assert {each.result(10).access_token for each in wishes} <= {"at-2", "at-3"}
    assert desk.replays == 0


def test_a_first_refresh_needs_no_token(source):
    """It is the login."""
    assert source.refresh().access_token == "at-1"


def test_seed_puts_tokens_in(source, desk, clock, events):
    """They are used, dated, counted, and spent next; nobody adopted anything."""
    source.token()
    source.seed(TokenSet("at-x", refresh_token="rt-x", expires_at=clock() + 50))
    assert source.token().access_token == "at-x"
    assert source.token().issued_at == clock()
    assert source.status().generation == 2
    clock.advance(46)
    with pytest.raises(ReauthorizationRequired):
        source.token()
    assert desk.asked[-1]["refresh_token"] == "rt-x"
    assert kinds(events) == ["Refreshed", "RefreshFailed"]


def test_seed_needs_no_login_before(desk, clock):
    """A grant that came from elsewhere."""
    source = source_at(desk, clock, grant=grant(refresh_token=None))
    with pytest.raises(ReauthorizationRequired, match="seed"):
        source.token()
    source.seed(TokenSet("at-x", refresh_token="rt-x"))
    assert source.token().access_token == "at-x"
    assert desk.asked == []


def test_seed_clears_what_was_remembered(source, desk, clock):
    """A new login makes a dead grant live."""
    desk.script.append(refusal("invalid_grant"))
    with pytest.raises(ReauthorizationRequired):
        source.token()
    assert source.status().failure
    desk._good.add("rt-new")
    source.seed(TokenSet("at-x", refresh_token="rt-new", expires_at=clock()))
    assert source.status().failure is None
    assert source.token().access_token == "at-1"


def test_seed_waits_for_the_flight_and_wins(source, desk, clock):
    """Under the lock: what flies lands first, and the seed is newer."""
    source.token()
    clock.advance(80)
    desk.close_doors()
    source.token()
    desk.arrived()
    desk.arrived()
    with ThreadPoolExecutor(1) as pool:
        seeding = pool.submit(source.seed, TokenSet("at-x", refresh_token="rt-x"))
        desk.open_doors()
        seeding.result(10)
    assert source.token().access_token == "at-x"
    assert source.status().generation == 3


def test_a_store_of_another_grant_is_refused(desk, clock):
    """Neither used nor overwritten."""
    store = MemoryStore()
    source_at(desk, clock, store=store).token()
    other = source_at(desk, clock, store=store, grant=grant(client_id="other"))
    before = store.load()
    for act in (other.token, other.refresh, other.status, lambda: other.seed(TokenSet("a"))):
        with pytest.raises(StoreError, match="another grant"):
            act()
    assert store.load() is before


def test_status_tells_and_shows_no_secret(source, desk, clock):
    """Before, after, and when it failed."""
    before = source.status()
    assert (before.generation, before.has_token, before.has_refresh_token) == (0, False, True)
    source.token()
    now = source.status()
    assert (now.generation, now.has_token, now.expires_at) == (1, True, clock() + 100)
    desk.script.append(refusal("temporarily_unavailable", 503, retry_after="7"))
    with pytest.raises(ProviderError):
        source.token("at-1")
    ill = source.status()
    assert "503" in ill.failure
    assert ill.retry_at == clock() + 7
    for shown in (before, now, ill):
        assert not any(secret in repr(shown) for secret in ("at-1", "rt-", "sesame"))
        pickle.dumps(shown)


def test_close_waits_for_the_flight_and_leaves_the_source_usable(source, desk, clock):
    """A refresh under way is saved first."""
    source.token()
    clock.advance(80)
    desk.close_doors()
    source.token()
    desk.arrived()
    desk.arrived()
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(source.close)
        assert not closing.done()
        desk.open_doors()
        closing.result(10)
    assert source.status().generation == 2
    assert source.token().access_token == "at-2"


def test_close_says_nothing_of_a_failure(source, desk):
    """The callers have heard it."""
    desk.script.append(refusal("invalid_grant"))
    with source, pytest.raises(ReauthorizationRequired):
        source.token()


# -------------------------------------------------------------------------------------------------------------- Custom


@pytest.mark.parametrize("call", ["token", "refresh", "atoken", "seed", "close"])
def test_a_fetch_that_asks_its_own_source_is_told_so(clock, call):
    """At once; a deadlock would be worse. Closing it is harmless."""

    def fetch(_):
        if call == "seed":
            source.seed(TokenSet("b"))
        elif call == "atoken":
            asyncio.run(source.atoken())
        else:
            getattr(source, call)()
        return TokenSet("a")

    source = TokenSource(Custom(fetch), clock=clock)
    if call == "close":
        assert source.token().access_token == "a"
        return
    with pytest.raises(ConfigurationError, match="own refresh"):
        source.token()


def test_a_fetch_may_ask_another_source(clock):
    """Chains of grants."""
    inner = TokenSource(Custom(lambda _: TokenSet("inner")), clock=clock)
    outer = TokenSource(Custom(lambda _: inner.token()), clock=clock)
    assert outer.token().access_token == "inner"


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        pytest.param(ValueError("sesame"), ProviderError, id="any error"),
        pytest.param(ReauthorizationRequired("Log in."), ReauthorizationRequired, id="one of ours"),
        pytest.param(TransportError("Lost."), TransportError, id="the network"),
    ],
)
def test_what_a_fetch_raises_is_remembered(clock, problem, kind):
    """For a cooldown, then it is called again; the cause is kept, its text not repeated."""
    outcomes, calls = [problem] * 2, []

    def fetch(_):
        calls.append(1)
        if outcomes:
            raise outcomes.pop()
        return TokenSet("a")

    source = TokenSource(Custom(fetch), clock=clock)
    tries = 2 if kind is TransportError else 1  # a lost answer is asked for once more
    del outcomes[tries:]
    for _ in range(3):
        with pytest.raises(kind) as caught:
            source.token()
        assert "sesame" not in str(caught.value)
    assert len(calls) == tries
    clock.advance(2)
    assert source.token().access_token == "a"


def test_a_fetch_that_returns_something_else_is_told_so(clock):
    """A ConfigurationError."""
    with pytest.raises(ConfigurationError, match="dict"):
        TokenSource(Custom(lambda _: {"access_token": "a"}), clock=clock).token()


def test_a_fetch_that_ends_the_program_does_not_end_the_waiting(clock):
    """SystemExit reaches the waiters, and the next call tries again."""
    tokens = iter([SystemExit(3), TokenSet("a")])

    def fetch(_):
        token = next(tokens)
        if isinstance(token, BaseException):
            raise token
        return token

    source = TokenSource(Custom(fetch), clock=clock)
    with pytest.raises(SystemExit):
        source.token()
    assert source.token().access_token == "a"


def test_a_fetch_gets_the_old_tokens(clock):
    """None at first."""
    seen = []

    def fetch(old):
        seen.append(old)
        return TokenSet(f"a{len(seen)}", refresh_token="r", expires_at=clock() + 10)

    source = TokenSource(Custom(fetch), clock=clock)
    first = source.token()
    clock.advance(10)
    source.token()
    assert seen == [None, first]


# -------------------------------------------------------------------------------------------------------------- events


def test_a_listener_that_raises_is_ignored(desk, clock, caplog):
    """It is logged; the refresh goes on."""

    def listener(_):
        raise ValueError("mine")

    source = source_at(desk, clock, on_event=listener)
    assert source.token().access_token == "at-1"
    assert "listener" in caplog.text


def test_events_are_told_in_order_and_show_no_secret(desk, clock):
    """Refreshed here, adopted there, failed at last."""
    store, shared, heard = MemoryStore(), grant(), []
    one = source_at(desk, clock, store=store, grant=shared)
    two = source_at(desk, clock, store=store, grant=shared, on_event=heard.append)
    two.token()
    one.refresh()
    clock.advance(1)
    two.token()
    desk.script.append(refusal("invalid_grant"))
    with pytest.raises(ReauthorizationRequired):
        two.token("at-2")
    assert [type(each) for each in heard] == [Refreshed, Adopted, RefreshFailed]
    assert [heard[0].generation, heard[1].generation] == [1, 2]
    assert heard[2].retry_at is None
    assert not any(secret in repr(heard) for secret in ("at-1", "at-2", "rt-", "sesame"))


def test_the_default_listener_logs(desk, clock, caplog):
    """At levels that fit."""
    caplog.set_level("DEBUG", "tokenlatch")
    source = source_at(desk, clock)
    source.token()
    desk.script.append(refusal("temporarily_unavailable", 503))
    with pytest.raises(ProviderError):
        source.token("at-1")
    assert [each.levelname for each in caplog.records] == ["INFO", "WARNING"]
    assert "at-1" not in caplog.text


# ------------------------------------------------------------------------------------------------------------ failures


def test_a_dead_grant_fails_at_once_everywhere(desk, clock):
    """One request; a second source on the store does not ask (P4)."""
    store, shared = MemoryStore(), grant()
    one, two = (source_at(desk, clock, store=store, grant=shared) for _ in "ab")
    desk.script.append(refusal("invalid_grant"))
    for source in (one, two, one):
        with pytest.raises(ReauthorizationRequired) as caught:
            source.token()
        assert caught.value.error == "invalid_grant"
    clock.advance(1e6)
    with pytest.raises(ReauthorizationRequired):
        two.token()
    assert len(desk.asked) == 1


def test_a_dead_grant_serves_its_valid_token(source, desk, clock):
    """To its end."""
    source.token()
    desk.script.append(refusal("invalid_grant"))
    clock.advance(80)
    for _ in range(3):
        assert source.token().access_token == "at-1"
        settled(source)
    clock.advance(10)
    with pytest.raises(ReauthorizationRequired):
        source.token()
    assert len(desk.asked) == 2


def test_a_failure_ahead_of_time_disturbs_nobody(source, desk, clock):
    """It is tried again after each pause, and callers go on with the valid token."""
    source.token()
    clock.advance(80)
    desk.script.extend([refusal("server_error", 503)] * 2)
    for _ in range(8):
        assert source.token().access_token == "at-1"
        settled(source)
        clock.advance(0.25)
    assert 2 <= len(desk.asked) <= 3


def test_retry_after_is_obeyed_by_all(desk, clock):
    """One caller per cooldown, in all sources on the store."""
    store, shared = MemoryStore(), grant()
    sources = [source_at(desk, clock, store=store, grant=shared) for _ in range(4)]
    desk.script.append(refusal("slow_down", 429, retry_after="7"))
    for source in sources * 2:
        with pytest.raises(ProviderError) as caught:
            source.token()
        assert caught.value.retry_after == pytest.approx(7)
    clock.advance(6.9)
    with pytest.raises(ProviderError) as caught:
        sources[1].token()
    assert caught.value.retry_after == pytest.approx(0.1)
    clock.advance(0.2)
    assert sources[2].token().access_token == "at-1"
    assert sources[3].token().access_token == "at-1"
    assert len(desk.asked) == 2


def test_a_wrong_secret_can_be_mended(source, desk, clock):
    """invalid_client is not the grant's end."""
    desk.script.append(refusal("invalid_client", 401))
    with pytest.raises(ConfigurationError):
        source.token()
    clock.advance(2)
    assert source.token().access_token == "at-1"


def test_what_was_never_sent_is_sent_again(source, desk):
    """Three tries within one flight."""
    desk.script.extend([lost(sent=False)] * 2)
    assert source.token().access_token == "at-1"
    assert len(desk.asked) == 3


def test_what_was_never_sent_leaves_no_doubt(source, desk, clock):
    """After three tries it is an error, and later simply tried again."""
    desk.script.extend([lost(sent=False)] * 3)
    with pytest.raises(TransportError):
        source.token()
    assert source.status().interrupted is None
    clock.advance(2)
    assert source.token().access_token == "at-1"
    assert (len(desk.asked), desk.replays) == (4, 0)


def test_a_lost_answer_is_not_asked_for_again_while_the_token_lives(source, desk, clock, events):
    """The access token is used to its end: a replay would end the grant."""
    source.token()
    clock.advance(80)
    desk.script.append(lost(sent=True))
    for _ in range(10):
        assert source.token().access_token == "at-1"
        settled(source)
        clock.advance(0.9)
    assert (len(desk.asked), desk.replays) == (2, 0)
    assert source.status().interrupted
    assert kinds(events) == ["Refreshed", "RefreshFailed"]


def test_a_lost_answer_is_the_likely_cause_of_the_end(source, desk, clock, events):
    """One try with the old refresh token when all else is gone; the error says what happened."""
    source.token()
    clock.advance(80)
    desk.script.append(lost(sent=True))
    source.token()
    settled(source)
    clock.advance(15)
    with pytest.raises(ReauthorizationRequired, match="began a refresh"):
        source.token()
    assert desk.replays == 1
    assert InterruptionFound in map(type, events)
    with pytest.raises(ReauthorizationRequired, match="began a refresh"):
        source.token()
    assert desk.replays == 1


def test_a_lost_answer_with_a_grace_is_asked_for_again(desk, clock):
    """The provider says that a spent refresh token is answered once more."""
    provider = Provider("https://idp.example/token", refresh_retry_grace=10)
    source = source_at(
        desk, clock, grant=RefreshToken(provider, client_id="app", refresh_token="rt-0")
    )
    source.token()
    clock.advance(80)
    desk.script.append(lost(sent=True))
    desk._good.add("rt-1")
    source.token()
    settled(source)
    assert [each["refresh_token"] for each in desk.asked] == ["rt-0", "rt-1", "rt-1"]


def test_client_credentials_are_repeated(desk, clock):
    """A lost answer costs nothing."""
    asked = ClientCredentials("https://idp.example/token", client_id="app", client_secret="s")
    desk.script.append(lost(sent=True))
    source = source_at(desk, clock, grant=asked)
    assert source.token().access_token == "at-2"
    assert source.status().interrupted is None


def test_nonsense_with_200_leaves_a_doubt(source, desk, clock):
    """The token may have been spent: it is not sent again while the access token lives."""
    source.token()
    clock.advance(80)
    desk.script.append(type(refusal("x"))(200, {}, b"<html>"))
    source.token()
    settled(source)
    assert source.status().interrupted
    clock.advance(5)
    assert source.token().access_token == "at-1"
    settled(source)
    assert len(desk.asked) == 2


def test_each_waiter_gets_an_error_of_its_own(source, desk):
    """With its notes and its cause; tracebacks do not grow together."""
    desk.close_doors()
    desk.script.append(refusal("invalid_grant"))

    def ask():
        with pytest.raises(ReauthorizationRequired) as caught:
            source.token()
        return caught.value

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask) for _ in range(4)]
        desk.arrived()
        desk.open_doors()
        assert len({id(each.result(10)) for each in waiting}) == 4


# --------------------------------------------------------------------------------------------------- stores that fail


class Sick(MemoryStore):
    """A store that can fail."""

    fails = 0
    after = 0

    @property
    def _state(self):
        return self.__dict__.get("kept")

    @_state.setter
    def _state(self, state):
        if self.after > 0:
            self.after -= 1
        elif self.fails > 0:
            self.fails -= 1
            raise StoreError("The disk is ill.")
        self.__dict__["kept"] = state


def test_a_token_is_saved_before_anybody_gets_it(desk, clock):
    """The waiters wait for the disk too."""
    saving, may_save = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def __setattr__(self, name, value):
            if name == "_state" and value is not None and value.tokens:
                saving.set()
                assert may_save.wait(10)
            super().__setattr__(name, value)

    source = source_at(desk, clock, store=Slow())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.token)
        assert saving.wait(10)
        assert not waiting.done()
        assert source._view.state.tokens is None
        may_save.set()
        assert waiting.result(10).access_token == "at-1"


def test_nothing_is_spent_when_nothing_can_be_saved(desk, clock):
    """The intent proves it before the refresh token is sent."""
    store = Sick()
    source = source_at(desk, clock, store=store)
    store.fails = 1
    with pytest.raises(StoreError, match="ill"):
        source.token()
    assert desk.asked == []
    assert source.token().access_token == "at-1"


def test_a_token_that_could_not_be_saved_is_served_and_saved_later(desk, clock, events):
    """From memory; the event is critical; nobody spends again, and the next write saves it."""
    store = Sick()
    source = source_at(desk, clock, store=store, on_event=events.append)
    source.token()
    store.after, store.fails = 1, 9
    assert source.token("at-1").access_token == "at-2"
    settled(source)
    assert SaveFailed in map(type, events)
    assert store.load().tokens.access_token == "at-1"
    assert store.load().intent is not None
    store.fails = 0
    clock.advance(2)
    assert source.token().access_token == "at-2"
    settled(source)
    source.close()
    assert store.load().tokens.access_token == "at-2"
    assert (len(desk.asked), desk.replays) == (2, 0)


def test_a_failure_that_cannot_be_noted_is_told_all_the_same(desk, clock):
    """With a word about it, to each waiter."""
    store = Sick()
    source = source_at(desk, clock, store=store)
    store.after, store.fails = 1, 1
    desk.script.append(refusal("invalid_grant"))
    with pytest.raises(ReauthorizationRequired) as caught:
        source.token()
    said = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert "could not be told" in " ".join(said)


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "answered"])
def test_a_loser_does_not_destroy_the_winner(desk, clock, events, refused):
    """Somebody wrote a newer state meanwhile, whatever the lock: it stands, and it is what callers get (P5)."""
    store = MemoryStore()
    source = source_at(desk, clock, store=store, on_event=events.append)
    source.token()
    winner = store.load().succeeded_by(
        TokenSet("at-w", refresh_token="rt-w", expires_at=clock() + 100, issued_at=clock())
    )
    if refused:
        desk.script.append(refusal("invalid_grant"))
    desk.close_doors()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.token, "at-1")
        desk.arrived()
        desk.arrived()
        store._state = winner
        desk.open_doors()
        assert waiting.result(10).access_token == "at-w"
    assert store.load() is winner
    assert kinds(events) == ["Refreshed", "Adopted"]


@pytest.mark.parametrize("problem", [KeyError("sesame"), MemoryError(), SystemExit()], ids=repr)
def test_a_sender_that_breaks_leaves_a_doubt(clock, problem):
    """A user's own may raise anything, before or after it sent: the refresh token is not sent again meanwhile."""
    calls = []

    def send(ask):
        calls.append(ask)
        raise problem

    source = TokenSource(grant(), clock=clock, sender=send)
    source.seed(TokenSet("at-0", refresh_token="rt-0", expires_at=clock() + 100))
    with pytest.raises((ProviderError, SystemExit)) as caught:
        source.refresh()
    assert "sesame" not in str(caught.value)
    assert source.status().interrupted
    clock.advance(85)
    assert source.token().access_token == "at-0"
    settled(source)
    assert len(calls) == 1


def test_an_unreadable_store_does_not_stop_a_valid_token(source, desk, clock, monkeypatch):
    """It is mended later; what is in memory is good."""
    source.token()

    def broken(_):
        raise StoreError("No.")

    monkeypatch.setattr(MemoryStore, "changed", lambda _: True)
    monkeypatch.setattr(MemoryStore, "load", broken)
    clock.advance(2)
    assert source.token().access_token == "at-1"
    assert len(desk.asked) == 1


def test_patience_ends(desk, clock):
    """A lock that stays taken is a LockTimeout, after the seconds named."""
    store = MemoryStore()
    source = source_at(desk, clock, store=store, policy=RefreshPolicy(patience=0.05))
    with store.transaction(0), pytest.raises(LockTimeout) as caught:
        source.token()
    assert caught.value.waited >= 0.05
    assert desk.asked == []
    assert source.token().access_token == "at-1"


def test_a_valid_token_has_no_patience(source, desk, clock):
    """While another worker holds the lock in the window, callers go on and nothing queues."""
    old = source.token()
    clock.advance(80)
    with source._view.store.transaction(0):
        for _ in range(20):
            assert source.token() is old
        settled(source)
    assert len(desk.asked) == 1


@pytest.mark.parametrize("life", [1, 2, 10, 100])
def test_what_rests_is_never_handed_out_after_its_margin(clock, life):
    """However short a token lives, the rest in the window ends at the hard margin."""
    desk = Desk(life)
    source = source_at(desk, clock)
    source.token()
    store = source._view.store
    with store.transaction(0):
        clock.advance(life * 0.89)
        source.token()
        clock.advance(life * 0.011)
        assert not source._view.since <= clock() < source._view.until
        settled(source)


# --------------------------------------------------------------------------------------------------------- the process


def test_where_no_thread_can_be_started_the_caller_dances(source, monkeypatch):
    """At interpreter exit, or beyond a limit of the system."""

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert source.token().access_token == "at-1"
    assert source.token("at-1").access_token == "at-2"


def test_two_sources_do_not_mix(desk, clock):
    """Two grants, two flights."""
    one = source_at(desk, clock)
    two = source_at(
        desk,
        clock,
        grant=ClientCredentials("https://idp.example/token", client_id="b", client_secret="s"),
    )
    assert one.token().refresh_token == "rt-1"
    assert two.token().refresh_token is None


def test_a_source_is_shown_without_secrets(source):
    """Grant and store."""
    source.token()
    assert (
        repr(source)
        == "TokenSource(RefreshToken('https://idp.example/token', client_id='app'), MemoryStore())"
    )


def test_a_source_over_a_file_pickles_after_its_first_token(desk, clock, tmp_path):
    """Before, the copy would have no refresh token."""
    source = TokenSource(grant(), store=FileStore(tmp_path / "token"), clock=time.time)
    with pytest.raises(ConfigurationError, match="first token"):
        pickle.dumps(source)
    source.seed(TokenSet("at-x", refresh_token="rt-x"))
    data = pickle.dumps(source)
    assert b"rt-" not in data
    twin = pickle.loads(data)
    assert twin.token() == source.token()
    for each in (source, twin):
        each.close()
    del desk, clock


def test_a_second_source_on_a_store_that_was_read_finds_the_tokens(desk, clock):
    """It has no seed of its own, and the store object thinks that nothing changed."""
    store = MemoryStore()
    source_at(desk, clock, store=store).token()
    store.load()
    second = source_at(desk, clock, store=store, grant=grant(refresh_token=None))
    assert second.token().access_token == "at-1"
    assert len(desk.asked) == 1


def test_a_secret_that_cannot_be_had_leaves_no_doubt(oauth_server, tmp_path):
    """Whatever fails before anything is sent spends nothing: the refresh token is as good as before."""
    secrets = iter([RuntimeError("vault"), RuntimeError("vault"), RuntimeError("vault")])

    def secret():
        problem = next(secrets, None)
        if problem:
            raise problem
        return "app-secret"

    seed = oauth_server.issue()["refresh_token"]
    grant = RefreshToken(
        oauth_server.token_url, client_id="app", client_secret=secret, refresh_token=seed
    )
    source = TokenSource(
        grant, store=FileStore(tmp_path / "token.json"), policy=RefreshPolicy(cooldown=0)
    )
    with pytest.raises(TransportError, match="RuntimeError"):
        source.token()
    assert source.status().interrupted is None
    assert source.token().access_token
    assert oauth_server.counts.token_requests == 1
