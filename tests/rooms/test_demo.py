"""The demo: its figures add up, it is red when something is bad, and it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tokenlatch.cli._demo_figures import Figures, Report, Role, expiries
from tokenlatch.testing._server import Counts

pytest.importorskip("click", reason="the command line: pip install 'tokenlatch[cli]'")
pytest.importorskip("httpx", reason="a client for the workers: pip install 'tokenlatch[all]'")
pytest.importorskip("requests", reason="a client for the workers: pip install 'tokenlatch[all]'")

PATIENCE = 50
"""Seconds until a demo hangs: start and end included."""

DEMO = [sys.executable, "-m", "tokenlatch", "demo", "--workers", "2", "--seconds"]


@pytest.fixture
def surroundings(tmp_path):
    """Everything temporary goes to tmp_path, and whoever asks a proxy asks in vain."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    return {**os.environ, **nowhere, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}


def run(environment, *words):
    """Run a demo to its end."""
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def started(environment):
    """Start a long demo, and return it when its workers are at work."""
    demo = subprocess.Popen(
        [*DEMO, "60"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in demo.stdout:
        if re.search(r"[1-9]\d* ok", line):
            break
    return demo


def numbers(pattern, text):
    """Return the numbers at every match of a pattern with one group."""
    return [int(found.replace(",", "")) for found in re.findall(pattern, text)]


# ------------------------------------------------------------------------------------------------- it runs


def test_two_workers_for_two_seconds(surroundings):
    """It ends green, and what the workers did, what they sum up to and what the server saw agree."""
    done = run(surroundings, *DEMO, "2")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    during, workers, summary, verdict = done.stdout.split("\n\n")
    assert during.startswith("One refresh for all your workers")
    assert verdict.startswith("OK")
    (ok,) = numbers(r"requests +([\d,]+) ok, 0 failed", summary)
    (refused,) = numbers(r"401 answers +([\d,]+)", summary)
    (asked,) = numbers(r"token requests +(\d+)", summary)
    (expired,) = numbers(r"(\d+) expiries", summary)
    assert ok == sum(numbers(r"([\d,]+) ok", workers)) > 0
    assert asked == sum(numbers(r"(\d+) refreshes", workers)) > 0
    assert numbers(r"token (\d+)$", workers) == [asked]
    assert asked <= expired + 1
    assert numbers(r"replays +(\d+)", summary) == [0]
    assert numbers(r"([\d,]+) calls", summary) == [ok + refused]
    p50, p99, longest = map(float, re.findall(r"([\d.]+) ms", summary))
    assert 0 < p50 <= p99 <= longest


def test_a_grant_that_dies_makes_it_red(surroundings):
    """Failed requests are counted, explained, and are exit status 1."""
    done = run(surroundings, *DEMO, "1", "--revoke-after", "0.5")
    assert (done.returncode, done.stderr) == (1, "")
    (failed,) = numbers(r"Failed requests: ([\d,]+)\. .*invalid_grant", done.stdout)
    assert failed == sum(numbers(r"ok  (\d+) failed  \d+ refreshes", done.stdout)) > 0
    assert "OK" not in done.stdout


def test_a_worker_that_dies_makes_it_red(surroundings, tmp_path):
    """A crash in a worker is no silence: the demo ends early, says which and how."""
    (tmp_path / "httpx.py").write_text("raise SystemExit(3)")
    done = run({**surroundings, "PYTHONPATH": str(tmp_path)}, *DEMO, "30")
    assert done.returncode == 1
    assert "A worker (httpx, 4 tasks) ended with status 3." in done.stdout


def test_it_runs_without_click_and_rich(surroundings):
    """With nothing but an HTTP client it still shows its lines and its verdict."""
    script = """
import sys
from functools import partial
sys.modules.update(dict.fromkeys(["click", "rich"]))
from tokenlatch import cli
from tokenlatch.cli import _demo
_demo.Options = partial(_demo.Options, seconds=1, workers=2)
cli.main()"""
    done = run(surroundings, sys.executable, "-c", script, "demo")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "\nOK" in done.stdout


def test_a_terminal_gets_a_live_view(surroundings):
    """In a terminal the table is drawn anew while the demo runs, and stays above the summary."""
    pytest.importorskip("rich", reason="the live view: pip install 'tokenlatch[cli]'")
    pty = pytest.importorskip("pty", reason="a terminal to show to: not on Windows")
    ours, theirs = pty.openpty()
    environment = {**surroundings, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    demo = subprocess.Popen([*DEMO, "1"], env=environment, stdout=theirs, stderr=subprocess.STDOUT)
    os.close(theirs)
    screen = b""
    try:
        while chunk := os.read(ours, 65536):
            screen += chunk
    except OSError:  # how Linux says that the other end of a terminal is closed
        pass
    os.close(ours)
    assert demo.wait(PATIENCE) == 0, screen.decode()
    text = re.sub(r"\x1b\[[\d;?]*\w", "", screen.decode())
    assert text.count("One refresh for all your workers") > 2
    assert re.search(r"1 +requests, 4 threads +\d+ +0 +\d", text)
    assert "OK: nothing failed" in text.partition("added latency")[2]


# ------------------------------------------------------------------------------------- it leaves nothing behind


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to interrupt")
def test_interrupted_it_puts_everything_away(surroundings, tmp_path):
    """Ctrl-C ends it with the figures so far: no traceback, no process, no file."""
    demo = started(surroundings)
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it
    shown, errors = demo.communicate(timeout=PATIENCE)  # a worker left alive would keep stderr open
    assert (demo.returncode, errors) == (130, "")
    assert shown.rstrip().endswith("Interrupted.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows ends its children otherwise")
def test_killed_it_leaves_no_worker(surroundings):
    """Even kill -9 of the demo ends its workers: their standard input ends with it."""
    demo = started(surroundings)
    demo.kill()
    demo.communicate(timeout=PATIENCE)  # as above
    assert demo.returncode == -signal.SIGKILL


# --------------------------------------------------------------------------------------------- what it calls bad

GOOD = Counts(token_requests=7, refreshes=7, api_requests=102, api_unauthorized=2)


def figures(*, counts=GOOD, report=None, stray=()):
    """Return the figures of one worker."""
    return Figures(
        elapsed=10.0,
        roles=[Role("httpx", 4, "tasks")],
        reports=[report or Report(ok=100, refreshed=7, generation=7)],
        counts=counts,
        expiries=6,
        took=[0.001],
        stray=stray,
    )


def test_good_figures_have_no_problem():
    """A hundred answers, six expiries and the first token: nothing to say."""
    assert figures().problems() == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"report": Report(ok=99, failed=1, error="Why.")}, "Failed requests: 1. Why."),
        ({"counts": Counts(), "report": Report()}, "No request was answered."),
        (
            {"counts": Counts(token_requests=7, replays=1, api_requests=100)},
            "Refresh tokens used twice: 1.",
        ),
        (
            {"counts": Counts(token_requests=8, api_requests=100)},
            "Token requests: 8, too many for 6 expiries.",
        ),
        (
            {"report": Report(ok=101)},
            "The workers count 101 answers, the server 100.",
        ),
        ({"stray": ["A worker died."]}, "A worker died."),
    ],
    ids=["failed", "idle", "replay", "one too many", "miscounted", "stray"],
)
def test_each_bad_figure_is_a_problem(change, problem):
    """Whatever breaks the promise is said in a sentence."""
    assert figures(**change).problems() == [problem]


@pytest.mark.parametrize(
    ("instants", "expected"),
    [
        ([], 0),
        ([5.0], 0),
        ([5.0, 6.0], 1),
        ([5.0, 5.9], 0),
        ([5.0, 6.7, 6.8, 8.5], 2),
    ],
    ids=["none", "the first token", "at half its life", "just before", "one without need"],
)
def test_an_expiry_is_a_token_replaced_near_its_end(instants, expected):
    """A token that is replaced in the first half of its life was replaced without need."""
    assert expiries(instants, lifetime=2.0) == expected


def test_shares_of_the_added_time():
    """p50, p99 and the longest are times that were measured, the last one included."""
    took = [n / 1000 for n in range(100, 0, -1)]
    of_them = Figures(1.0, [], [], GOOD, 0, took)
    assert of_them.added(0.5, 0.99, 1) == [0.051, 0.1, 0.1]
    assert figures().added(0.5, 0.99, 1) == [0.001] * 3
