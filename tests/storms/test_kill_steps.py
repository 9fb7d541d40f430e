"""Rows 8 and 9 of the fault matrix: a worker killed at every step of the dance, one after another.

Each test prints the table step -> outcome (run with -s); it stands in ARCHITECTURE.md.
"""

import re
import threading
import time
from dataclasses import dataclass
from itertools import count, groupby

import pytest

from tests.conftest import Clock
from tests.storms.kill_points import kill_at
from tests.storms.shared_grant import KEPT, SharedGrant
from tokenlatch.errors import ReauthorizationRequired
from tokenlatch.testing import AuthorizationServer

pytestmark = pytest.mark.storm


@dataclass(frozen=True, slots=True)
class Case:
    """The circumstances of a kill.

    Attributes:
        grace: Seconds in which server and provider allow the spent refresh token again.
        ahead: The access token is still valid.
        fresh: There is no file yet; the refresh token comes from the settings.
    """

    grace: float = 0.0
    ahead: bool = False
    fresh: bool = False


CASES = {
    "strict server, access token expired": Case(),
    "strict server, access token valid": Case(ahead=True),
    "server with grace, access token expired": Case(grace=60.0),
    "strict server, the very first refresh": Case(fresh=True),
}


def killed_at(numbers, case, server, directory):
    """Kill one worker after another, each at one of its steps; return the last one's steps and what came of it."""
    server.reset_counts()
    committed = threading.Event()
    server.after_commit = committed.set
    with SharedGrant(server, directory / "token.json", grace=case.grace) as shared:
        directory.mkdir(mode=0o700)
        first = server.issue()["refresh_token"] if case.fresh else None
        seed = None if case.fresh else shared.seed(left=1800.0 if case.ahead else -1.0)
        settings = {"path": str(shared.path), "token_url": server.token_url, "first": first}
        settings |= {"grace": case.grace, "ahead": case.ahead}
        pids, told = set(), []
        for number in numbers:
            pid, steps, killed = kill_at(number, settings)
            pids.add(pid)
            told += steps
            if any("request sent" in step for step in steps):
                assert committed.wait(10.0)
            assert shared.state() or case.fresh  # whole, or absent before the first commit
            assert shared.files() <= KEPT | {"token.json.next"}
        if case.ahead:  # the one that was killed is not missed before its token is needed
            now = shared.source().token().access_token
            assert now in {seed.access_token, shared.state().tokens.access_token}
            assert server.counts.replays == 0
        clock = Clock(time.time() + (1800.0 if case.ahead else 0.0))
        outcome = next_worker(shared, shared.source(first=first, clock=clock), pids)
        assert shared.files() <= KEPT
        assert committed.is_set() or not server.counts.replays
        assert outcome == expected(case, told) or not killed, f"{steps[-1]}: {outcome}"
        return steps, outcome, killed


def next_worker(shared, source, pids):
    """Return what the next worker makes of what it finds when it needs a token."""
    before = shared.server.counts
    try:
        tokens = source.token()
    except ReauthorizationRequired as error:
        named = re.search(r"process (\d+) on .* began a refresh at 2\d{3}-", str(error))
        assert int(named[1]) in pids
        return "reauthorization required, with the reason"
    after = shared.server.counts
    assert shared.server.book.is_live(tokens.access_token, shared.server._clock())
    assert after.replays == 0
    assert shared.alive
    if after.token_requests == before.token_requests:
        return "adopts the new token"
    return "refreshes" if after.refreshes > before.refreshes else "gets the new token again"


def expected(case, steps):
    """Return what has to come of a kill after these steps."""
    sent = any("request sent" in step for step in steps)
    answered = any("answer received" in step for step in steps)
    saved = answered and any("save: after write of token.json.next" in step for step in steps)
    if saved:
        return "adopts the new token"
    if not sent:
        return "refreshes"
    return "gets the new token again" if case.grace else "reauthorization required, with the reason"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", CASES)
def test_row_08_sigkill_at_each_step(tmp_path, name):
    """Whatever step a worker dies at, the file is whole and the next worker goes on, or says who died and when."""
    table = []
    with AuthorizationServer(grace=CASES[name].grace) as server:
        for number in count(1):
            directory = tmp_path / str(number)
            steps, outcome, killed = killed_at([number], CASES[name], server, directory)
            if not killed:
                break
            table.append((steps[-1], outcome))
    print(f"\n{name}: {len(table)} steps")  # noqa: T201 - the table of ARCHITECTURE.md
    for outcome, steps in groupby(table, key=lambda row: row[1]):
        rows = [step for step, _ in steps]
        print(f"  {len(rows):3} {rows[0]:50} ... {rows[-1]:50} -> {outcome}")  # noqa: T201 - likewise
    assert len(table) > 30


@pytest.fixture
def steps(tmp_path):
    """Return the steps of a dance that nobody disturbs."""
    with AuthorizationServer() as server:
        return killed_at([0], Case(), server, tmp_path / "undisturbed")[0]


def test_row_09_sigkill_between_sync_and_rename(tmp_path, steps):
    """A new token that was synced but not moved yet is moved by the next process, without a request."""
    number = steps.index("save: before replace of token.json.next") + 1
    assert "save: after fsync of token.json.next" in steps[:number]
    with AuthorizationServer() as server:
        _, outcome, killed = killed_at([number], Case(), server, tmp_path / "killed")
        assert server.counts.token_requests == 1
    assert killed
    assert outcome == "adopts the new token"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("server with grace, access token expired", "exchange: request sent"),
        ("strict server, access token expired", "save: before replace of token.json.next"),
    ],
    ids=["after the request", "before the rename"],
)
def test_row_08_killed_again_while_recovering(tmp_path, steps, name, first):
    """A second worker that dies at any step of making good the first one's death makes nothing worse."""
    before = steps.index(first) + 1
    with AuthorizationServer(grace=CASES[name].grace) as server:
        for number in count(1):
            numbers, directory = [before, number], tmp_path / str(number)
            _, _, killed = killed_at(numbers, CASES[name], server, directory)
            assert server.counts.replays == 0
            if not killed:
                break
    assert number > 15


def test_row_08_killed_before_the_counter_counts(tmp_path):
    """A process that is warm on the old token notices the new one within a second, although nothing counted it."""
    with AuthorizationServer() as server:
        steps, _, _ = killed_at([0], Case(ahead=True), server, tmp_path / "undisturbed")
        with SharedGrant(server, tmp_path / "grant" / "token.json") as shared:
            seed, clock = shared.seed(left=1800.0), Clock(time.time())
            bystander = shared.source(clock=clock)
            assert bystander.token() == seed
            settings = {"path": str(shared.path), "token_url": server.token_url, "first": None}
            settings |= {"grace": 0.0, "ahead": True}
            number = steps.index("done: before pwrite of token.json.counter") + 1
            assert kill_at(number, settings)[2]
            clock.advance(1.1)
            assert bystander.token() == shared.state().tokens != seed
