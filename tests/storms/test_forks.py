"""Rows 22 to 26 of the fault matrix: forks, copies for other processes, and what filelock does to its host's forks."""

import json
import multiprocessing
import pickle
import subprocess
import sys

import httpx
import pytest
import requests

import tokenlatch.httpx
import tokenlatch.requests
from tests.conftest import other_python
from tests.storms.other_pythons import library_for
from tokenlatch import ClientCredentials, Env, FileStore, MemoryStore, RefreshToken, TokenSource
from tokenlatch.errors import ConfigurationError

PYTHONS = pytest.mark.parametrize("version", ["this", "3.12", "3.13"])


def interpreter(version):
    """Return the path of a Python, or skip."""
    found = sys.executable if version == "this" else other_python(version)
    if found is None:
        pytest.skip(f"no python{version} on PATH or in pyenv")
    return str(found)


@pytest.mark.storm
@PYTHONS
@pytest.mark.parametrize("committed", [False, True], ids=["before commit", "after commit"])
def test_row_22_fork_while_another_thread_refreshes(shared, tmp_path, version, committed):
    """The children wait for the parent's refresh and adopt it: no deadlock, no second refresh."""
    shared.seed()
    worker = shared.worker(python=interpreter(version), pythonpath=library_for(tmp_path))
    worker.ready()
    with shared.server.hold(committed=committed):
        worker.ask(do="begin")
        shared.server.arrived()
        worker.ask(do="fork", children=2)
    children, parent = worker.ask(do="children")["results"], worker.ask(do="end")["results"]
    assert {each and each.get("access_token") for each in (*children, *parent)} == {
        shared.state().tokens.access_token
    }
    assert shared.server.counts.token_requests == 1


@pytest.mark.storm
@pytest.mark.parametrize("repeatable", [True, False], ids=["client credentials", "rotating"])
def test_row_22_fork_with_a_store_in_memory(shared, repeatable):
    """A child asks for itself at once where nothing is spent; a rotating grant is refused there, not spent twice."""
    first = shared.server.issue()["refresh_token"]
    worker = shared.worker(path=None, repeatable=repeatable, first=first)
    worker.ready()
    with shared.server.hold():
        worker.ask(do="begin")
        shared.server.arrived()
        worker.ask(do="fork")
        if repeatable:
            shared.server.arrived(2)  # while the parent's is under way: its lock is not the child's
    (child,) = worker.ask(do="children")["results"]
    (parent,) = worker.ask(do="end")["results"]
    assert parent["access_token"]
    if repeatable:
        assert child["access_token"]
    else:
        assert child["error"] == "ConfigurationError"
        assert "before a fork" in child["message"]
    assert shared.server.counts.token_requests == (2 if repeatable else 1)


@pytest.mark.storm
def test_row_22_a_store_imports_the_lock_before_any_refresh():
    """A fork while another thread imports deadlocks the child at the same import: so it is done with the store."""
    script = "import sys, tokenlatch; s = tokenlatch.FileStore('/tmp/x/y'); print('filelock' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


@pytest.mark.storm
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used before"])
def test_row_23_made_in_the_parent_used_in_the_children(shared, used):
    """As under gunicorn --preload: four children of one parent share one refresh."""
    shared.seed(left=1800 if used else -1.0)
    (parent,) = shared.crew(1)
    if used:
        assert parent.ask(do="token")["access_token"]
        shared.source().seed(shared.seed(left=-1.0))
    parent.ask(do="fork", children=4)
    got = {each["access_token"] for each in parent.ask(do="children")["results"]}
    assert got == {shared.state().tokens.access_token}
    assert shared.server.counts.token_requests == 1
    assert parent.ask(do="token")["access_token"] in got


def asked_in_a_new_process(copy, connection):
    """Ask a copy for a token, in a process that inherited nothing."""
    connection.send(copy.token().access_token)


@pytest.mark.storm
def test_row_24_a_copy_by_pickle_in_a_spawned_process(shared):
    """A spawned process shares the refresh that its parent made, over a copy without tokens."""
    shared.seed()
    source, context = shared.source(), multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=asked_in_a_new_process, args=(source, theirs))
    process.start()
    try:
        assert mine.poll(20.0)
        assert mine.recv() == source.token().access_token
    finally:
        process.join()
        mine.close()
        theirs.close()
    assert shared.server.counts.token_requests == 1


@pytest.mark.parametrize("door", [tokenlatch.requests, tokenlatch.httpx], ids=["requests", "httpx"])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_row_24_no_token_travels_in_a_pickle(shared, door, protocol, monkeypatch):
    """The bytes hold path and settings, no token, and no secret that is given by name."""
    monkeypatch.setenv("APP_SECRET", "app-secret")
    seed = shared.seed(left=1800)
    grant = RefreshToken(
        shared.server.token_url,
        client_id="app",
        client_secret=Env("APP_SECRET"),
        refresh_token=seed.refresh_token,
    )
    source = TokenSource(grant, store=FileStore(shared.path))
    auth = door.BearerAuth(source, shared.server.url)
    source.token()
    content = pickle.dumps((source, auth), protocol)
    for secret in (seed.access_token, seed.refresh_token, "app-secret"):
        assert secret.encode() not in content
    copy, copied_auth = pickle.loads(content)
    assert copy.token() == seed
    client = requests.Session() if door is tokenlatch.requests else httpx.Client()
    with client:
        assert client.get(shared.server.api_url, auth=copied_auth).status_code == 200
    assert copy.refresh() != seed
    assert shared.alive


def test_row_24_what_cannot_be_shared_is_not_copied(shared):
    """A rotating grant in memory, or one whose first token is not stored yet, refuses to be pickled."""
    grant = RefreshToken(shared.server.token_url, client_id="app", client_secret="app-secret")
    with pytest.raises(ConfigurationError, match="FileStore"):
        pickle.dumps(TokenSource(grant, store=MemoryStore()))
    with pytest.raises(ConfigurationError, match="first token"):
        pickle.dumps(TokenSource(grant, store=FileStore(shared.path)))
    credentials = ClientCredentials(
        shared.server.token_url, client_id="app", client_secret="app-secret"
    )
    copy = pickle.loads(pickle.dumps(TokenSource(credentials)))
    assert copy.token().access_token


FORKING = """
import collections, json, os, subprocess, sys, threading
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
import tokenlatch
if sys.argv[1] == "store":
    tokenlatch.FileStore(sys.argv[2])
seen, barrier = collections.Counter(), threading.Barrier(4)
def fork():
    barrier.wait()
    for _ in range(60):
        try:
            child = os.fork()
        except RuntimeError as error:
            seen[str(error)] += 1
        else:
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            seen["ok"] += 1
threads = [threading.Thread(target=fork) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
print(json.dumps(seen))
"""
"""Four threads that fork at the same time, as several ProcessPoolExecutors with the fork method do."""


@pytest.mark.storm
@PYTHONS
@pytest.mark.parametrize("use", ["import", "store"])
def test_row_25_threads_that_fork_at_the_same_time(tmp_path, version, use):
    """From 3.12 on filelock makes a fork raise while another thread forks; without a FileStore nothing changes."""
    python, library = interpreter(version), library_for(tmp_path)
    done = subprocess.run(
        [python, "-W", "ignore", "-c", FORKING, use, str(tmp_path / "grant" / "token.json")],
        env={"PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    errors = {message for message in seen if message != "ok"}
    newer = subprocess.run(
        [python, "-c", "import sys; raise SystemExit(sys.version_info >= (3, 12))"], check=False
    ).returncode
    if use == "import" or not newer:
        assert seen == {"ok": 240}
    else:  # documented: fork such pools one after another, or use spawn or forkserver
        assert all("fork is unsafe while filelock" in message for message in errors)
