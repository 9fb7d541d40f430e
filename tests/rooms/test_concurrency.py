"""Many callers, one token request: threads, tasks, loops; cancelled, interrupted, forked. With sockets and files."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from tokenlatch import ClientCredentials, FileStore, RefreshPolicy, RefreshToken, TokenSource
from tokenlatch.testing import AuthorizationServer


@pytest.fixture
def server(clock):
    """The provider."""
    with AuthorizationServer(access_lifetime=100, clock=clock) as running:
        yield running


@pytest.fixture
def path(tmp_path):
    """The token file."""
    return tmp_path / "token"


@pytest.fixture
def make(server, clock, path):
    """Make sources on one file, as if in several processes."""
    made = []
    first = server.issue()["refresh_token"]

    def make():
        grant = RefreshToken(
            server.token_url, client_id="app", client_secret="app-secret", refresh_token=first
        )
        source = TokenSource(
            grant, store=FileStore(path), clock=clock, policy=RefreshPolicy(jitter=0)
        )
        made.append(source)
        return source

    yield make
    server.release()
    for source in made:
        source.close()


@pytest.fixture
def source(make):
    """One of them."""
    return make()


def saved(path):
    """What another process would find: generation and access token."""
    state = FileStore(path).load()
    return state.generation, state.tokens and str(state.tokens.access_token)


def only_one(server, path, tokens, generation=1):
    """Check by two witnesses that one refresh served all: the server's count and the generation."""
    assert len({str(each.access_token) for each in tokens}) == 1
    assert (server.counts.token_requests, server.counts.replays) == (1, 0)
    assert saved(path) == (generation, tokens[0].access_token)


class Boarding:
    """Counts the callers that have a flight to wait for, so that it lands when all are aboard."""

    def __init__(self, *sources):
        self._boarded = threading.Semaphore(0)
        for source in sources:
            source._launch = self._counted(source._launch)

    def _counted(self, launch):
        def count(*args, **options):
            flight = launch(*args, **options)
            self._boarded.release()
            return flight

        return count

    def complete(self, count):
        """Wait until so many are aboard."""
        for number in range(count):
            assert self._boarded.acquire(timeout=20), f"{number} of {count} callers came"


# ---------------------------------------------------------------------------------------------------------------- many


def test_32_threads(server, path, source):
    """All wait for the one request that the provider keeps in hand."""
    boarding = Boarding(source)
    with ThreadPoolExecutor(32) as pool:
        with server.hold():
            waiting = [pool.submit(source.token) for _ in range(32)]
            boarding.complete(32)
            server.arrived()
            names = [each.name for each in threading.enumerate()]
            assert names.count("tokenlatch-refresh") == 1
        only_one(server, path, [each.result(10) for each in waiting])


def test_64_tasks(server, path, source):
    """Of one loop."""
    boarding = Boarding(source)

    async def main():
        with server.hold():
            tasks = [asyncio.create_task(source.atoken()) for _ in range(64)]
            await asyncio.to_thread(boarding.complete, 64)
            server.arrived()
        return await asyncio.gather(*tasks)

    only_one(server, path, asyncio.run(main()))


def test_64_tasks_of_trio(server, path, source):
    """Of one nursery."""
    boarding, tokens = Boarding(source), []

    async def ask():
        tokens.append(await source.atoken())

    async def main():
        async with trio.open_nursery() as nursery:
            with server.hold():
                for _ in range(64):
                    nursery.start_soon(ask)
                await trio.to_thread.run_sync(boarding.complete, 64)
                server.arrived()

    trio.run(main)
    assert len(tokens) == 64
    only_one(server, path, tokens)


def test_threads_and_loops_over_several_sources(server, path, make):
    """Four sources on one file; on each three threads, two asyncio loops and one of trio."""
    sources = [make() for _ in range(4)]
    boarding = Boarding(*sources)

    async def gather(source):
        return await asyncio.gather(*(source.atoken() for _ in range(8)))

    async def nursery(source):
        tokens = []

        async def one():
            tokens.append(await source.atoken())

        async with trio.open_nursery() as together:
            for _ in range(8):
                together.start_soon(one)
        return tokens

    with ThreadPoolExecutor(4 * 6) as pool:
        with server.hold():
            waiting = []
            for each in sources:
                waiting += [pool.submit(lambda s=each: [s.token()]) for _ in range(3)]
                waiting += [pool.submit(lambda s=each: asyncio.run(gather(s))) for _ in range(2)]
                waiting += [pool.submit(trio.run, nursery, each)]
            boarding.complete(4 * (3 + 2 * 8 + 8))
            server.arrived()
        tokens = [token for each in waiting for token in each.result(20)]
    assert len(tokens) == 4 * (3 + 2 * 8 + 8)
    only_one(server, path, tokens)


def test_a_sync_call_inside_a_loop(server, path, source):
    """It blocks that loop, as any sync call does, but nothing more."""

    async def main():
        task = asyncio.create_task(source.atoken())
        return source.token(), await task

    only_one(server, path, list(asyncio.run(main())))


def test_each_expiry_is_one_refresh(server, path, make, clock):
    """Two sources in turns over one file: the server's count and the generation agree to the end."""
    sources = [make(), make()]
    for _ in range(20):
        tokens = [each.token() for each in sources]
        assert tokens[0] == tokens[1]
        clock.advance(91)
        sources.reverse()
    assert (server.counts.refreshes, server.counts.replays) == (20, 0)
    assert saved(path)[0] == 20


def test_threads_that_are_refused_at_once_cost_one_refresh(server, path, source):
    """Each with the same dead token."""
    old = source.token().access_token
    server.reset_counts()
    boarding = Boarding(source)
    with ThreadPoolExecutor(16) as pool:
        with server.hold():
            waiting = [pool.submit(source.token, old) for _ in range(16)]
            boarding.complete(16)
            server.arrived()
        only_one(server, path, [each.result(10) for each in waiting], generation=2)


# ----------------------------------------------------------------------------------------------------------- cancelled


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
def test_a_cancelled_task_loses_nothing(server, path, source, committed):
    """The task that caused the refresh is cancelled in the middle; the new token is in the file."""

    async def main():
        with server.hold(committed=committed):
            task = asyncio.create_task(source.atoken())
            await asyncio.to_thread(server.arrived)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return await source.atoken()

    only_one(server, path, [asyncio.run(main())])


def test_a_loop_that_ends_loses_nothing(server, path, source):
    """asyncio.run returns while the request is at the provider."""

    async def main():
        task = asyncio.create_task(source.atoken())
        await asyncio.to_thread(server.arrived)
        return task

    with server.hold(committed=True):
        task = asyncio.run(main())
    assert task.cancelled()
    source._flight.wait()
    only_one(server, path, [source.token()])


def test_a_time_limit_loses_nothing(server, path, source):
    """wait_for, then a caller with more patience."""

    async def main():
        with server.hold(), pytest.raises(TimeoutError):
            await asyncio.wait_for(source.atoken(), 0.05)
        return await source.atoken()

    only_one(server, path, [asyncio.run(main())])


def test_a_cancelled_scope_of_trio_loses_nothing(server, path, source):
    """The nursery ends while the request is at the provider."""

    async def main():
        with server.hold(committed=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(source.atoken)
                await trio.to_thread.run_sync(server.arrived)
                nursery.cancel_scope.cancel()
        return await source.atoken()

    only_one(server, path, [trio.run(main)])


# ----------------------------------------------------------------------------------------------- interrupted and forked

SCRIPT = """
import asyncio, json, os, signal, sys, threading
from tokenlatch import ClientCredentials, FileStore, RefreshToken, TokenSource

how, url, seed, path = sys.argv[1:]
grant = RefreshToken(url, client_id="app", client_secret="app-secret", refresh_token=seed)
if path == "memory":
    grant = ClientCredentials(url, client_id="app", client_secret="app-secret")
source = TokenSource(grant, store=None if path == "memory" else FileStore(path))

def say(*words):
    os.write(1, (json.dumps(words) + "\\n").encode())

if how == "fork":
    thread = threading.Thread(target=source.token)
    thread.start()
    sys.stdin.readline()
    child = os.fork()
    if child == 0:
        say("forked", "")
        say("child", source.token().access_token)
        os._exit(0)
    thread.join()
    say("parent", source.token().access_token)
    assert os.waitpid(child, 0)[1] == 0
else:
    try:
        asyncio.run(source.atoken()) if how == "asyncio" else source.token()
    except KeyboardInterrupt:
        say("interrupted", "")
        if how == "leave":
            sys.exit(7)
    say("token", source.token().access_token)
"""


class Child:
    """The script in a process of its own."""

    def __init__(self, how, server, path):
        seed = server.issue()["refresh_token"]
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SCRIPT,
            how,
            server.token_url,
            seed,
            str(path),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def heard(self):
        """The next line."""
        line = self.process.stdout.readline()
        assert line, "the child ended early"
        return json.loads(line)

    def end(self):
        """The remaining lines and the exit status."""
        lines, _ = self.process.communicate("go\n", timeout=20)
        return [json.loads(each) for each in lines.splitlines()], self.process.returncode


@pytest.mark.parametrize("how", ["main thread", "asyncio", "leave"])
@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
def test_ctrl_c_during_the_exchange_loses_nothing(path, how, committed):
    """The caller is interrupted, the exchange is not; a program that ends waits for it."""
    with AuthorizationServer() as server, Child(how, server, path) as child:
        with server.hold(committed=committed):
            server.arrived(timeout=20)
            child.process.send_signal(signal.SIGINT)
            assert child.heard() == ["interrupted", ""]
        said, status = child.end()
        generation, token = saved(path)
        assert generation == 1
        assert said == ([] if how == "leave" else [["token", token]])
        assert status == (7 if how == "leave" else 0)
        assert (server.counts.token_requests, server.counts.replays) == (1, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
def test_a_fork_in_the_middle_of_a_flight(path, committed):
    """The child has no flight and no lock of its parent: it waits for the file and adopts."""
    with AuthorizationServer() as server, Child("fork", server, path) as child:
        with server.hold(committed=committed):
            server.arrived(timeout=20)
            child.process.stdin.write("go\n")
            child.process.stdin.flush()
            assert child.heard() == ["forked", ""]
        said, status = child.end()
        token = saved(path)[1]
        assert sorted(said) == [["child", token], ["parent", token]]
        assert status == 0
        assert (server.counts.token_requests, server.counts.replays) == (1, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_in_the_middle_of_a_flight_over_memory():
    """Client credentials in memory: the child does not wait for a lock that nobody will free."""
    with AuthorizationServer() as server, Child("fork", server, "memory") as child:
        with server.hold():
            server.arrived(timeout=20)
            child.process.stdin.write("go\n")
            child.process.stdin.flush()
            assert child.heard() == ["forked", ""]
            server.arrived(2, timeout=20)
        said, status = child.end()
        assert [name for name, _ in sorted(said)] == ["child", "parent"]
        assert len({token for _, token in said}) == 2
        assert (status, server.counts.client_credentials) == (0, 2)


def test_client_credentials_from_every_side(server, clock):
    """A grant that can be repeated is still asked for once."""
    grant = ClientCredentials(server.token_url, client_id="app", client_secret="app-secret")
    source = TokenSource(grant, clock=clock)
    boarding = Boarding(source)

    async def main():
        return await asyncio.gather(*(source.atoken() for _ in range(16)))

    with ThreadPoolExecutor(8) as pool:
        with server.hold():
            waiting = [pool.submit(lambda: asyncio.run(main())) for _ in range(4)]
            waiting += [pool.submit(lambda: [source.token()]) for _ in range(4)]
            boarding.complete(4 * 16 + 4)
            server.arrived()
        tokens = [token for each in waiting for token in each.result(10)]
    assert len({each.access_token for each in tokens}) == 1
    assert server.counts.client_credentials == 1
    source.close()
