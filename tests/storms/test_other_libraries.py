"""Rows 26 and 71 of the fault matrix: gevent around us, and other versions of filelock on the same lock."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.storms.shared_grant import ROOT

pytestmark = pytest.mark.storm

OLDEST = "4.2.1"
"""The floor in pyproject.toml."""


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """Return a function that gets a package with pip, and returns the directory to put on PYTHONPATH."""
    got = {}

    def get(*requirements):
        if requirements not in got:
            place = tmp_path_factory.mktemp("packages")
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(place)]
            done = subprocess.run(
                [*command, *requirements], capture_output=True, text=True, check=False
            )
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            got[requirements] = (
                f"pip cannot get {requirements}: {last}" if done.returncode else place
            )
        if isinstance(got[requirements], str):
            pytest.skip(got[requirements])
        return got[requirements]

    return get


@pytest.mark.parametrize("late", [False, True], ids=["patched first", "patched late"])
def test_row_26_greenlets_of_gevent(shared, package, late):
    """Twenty greenlets over two sources make one request while the hub runs on, even if gevent patches late."""
    shared.seed()
    shared.server.token_latency = 0.5
    settings = {"path": str(shared.path), "token_url": shared.server.token_url, "late": late}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.storms.greenlets"],
        cwd=ROOT,
        input=json.dumps(settings),
        env={**os.environ, "PYTHONPATH": str(package("gevent"))},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["got"] == [shared.state().tokens.access_token]
    assert said["ticks"] > 20
    assert shared.server.counts.token_requests == 1


STRESS = """
import os, sys, time
from filelock import FileLock, Timeout
path, owner, until = sys.argv[1], sys.argv[1] + ".owner", time.monotonic() + float(sys.argv[2])
taken = overlaps = 0
while time.monotonic() < until:
    lock = FileLock(path, mode=0o600, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        continue
    try:
        os.close(os.open(owner, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(owner)
    except OSError:
        overlaps += 1
    lock.release()
    taken += 1
print(taken, overlaps)
"""
"""Takes the lock as the file store does; whoever finds another one's mark inside was not alone."""


@pytest.mark.parametrize("other", [OLDEST, "3.30.3"])
def test_row_71_another_version_of_filelock_on_the_same_lock(tmp_path, package, other):
    """Two processes with this filelock and two with another one exclude each other (3.30 is where exclusion holds)."""
    places = [Path(find_spec("filelock").origin).parents[1], package(f"filelock=={other}")]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "ignore", "-c", STRESS, str(tmp_path / "lock"), "3"],
                    env={**os.environ, "PYTHONPATH": str(place)},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for place in places * 2
        ]
        figures = [list(map(int, worker.stdout.read().split())) for worker in workers]
    assert all(taken for taken, _ in figures)
    assert sum(taken for taken, _ in figures) > 200
    assert sum(overlaps for _, overlaps in figures) == 0


def test_row_71_the_floor_is_the_one_that_is_declared():
    """pyproject.toml asks for the version that this file tests as the oldest."""
    assert f'"filelock>={OLDEST}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
