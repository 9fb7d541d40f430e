"""Scenario 8: what importing costs over the client library, and what a source at rest holds."""

import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import tokenlatch

IMPORTS = {
    "requests": ("import requests", "import tokenlatch, tokenlatch.requests"),
    "httpx": ("import httpx", "import tokenlatch, tokenlatch.httpx"),
    "httpx2": ("import httpx2", "import tokenlatch, tokenlatch.httpx2"),
}
PEERS = {
    "singleflight-auth": ("requests", "from singleflight_auth import RequestsSingleFlightAuth"),
    "requests-oauth2client": ("requests", "import requests_oauth2client"),
    "Authlib": ("requests", "from authlib.integrations.requests_client import OAuth2Session"),
    "requests-oauthlib": ("requests", "import requests_oauthlib"),
    "requests_auth": ("requests", "import requests_auth"),
    "httpx-auth": ("httpx", "import httpx_auth"),
    "google-auth": ("requests", "import google.auth.transport.requests, google.oauth2.credentials"),
    "msal": ("requests", "import msal, msal_extensions"),
    "mcp": ("httpx2", "import mcp.client.auth"),
}
RULER = """
import json, time


def kib():
    with open("/proc/self/statm") as memory:
        return int(memory.read().split()[1]) * 4


{first}
held, begin = kib(), time.process_time()
{second}
took = time.process_time() - begin
import threading
print(json.dumps([took * 1000, kib() - held, threading.active_count() - 1]))
"""
AT_REST = """
from tokenlatch import *
import tokenlatch.requests
source = TokenSource(Custom(lambda old: TokenSet("at"), name="weight"), store=FileStore({path!r}))
auth = tokenlatch.requests.BearerAuth(source, "https://api.example.com")
source.token(); source.refresh()
"""


def measure(first, second):
    done = subprocess.run(
        [sys.executable, "-c", RULER.format(first=first, second=second)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def run(full):
    """Return {name: {"over", "ms", "kib", "threads"}}; a figure is the best of its runs, for CPU time."""
    compileall.compile_dir(
        Path(tokenlatch.__file__).parent, quiet=2
    )  # as pip does when it installs
    pairs = {f"tokenlatch, {door}": (door, *words) for door, words in IMPORTS.items()}
    pairs |= {
        name: (door, f"import {door}", statement) for name, (door, statement) in PEERS.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        at_rest = AT_REST.format(path=os.path.join(folder, "weight.json"))
        pairs["tokenlatch, requests, after two refreshes"] = (
            "requests",
            "import requests",
            at_rest,
        )
        runs = {name: [] for name in pairs}
        for _ in range(12 if full else 3):
            for name, (_, first, second) in pairs.items():
                try:
                    runs[name].append(measure(first, second))
                except subprocess.CalledProcessError:
                    continue  # not installed
    return {
        name: {
            "over": pairs[name][0],
            "ms": min(one[0] for one in found),
            "kib": statistics.median(one[1] for one in found),
            "threads": max(one[2] for one in found),
        }
        for name, found in runs.items()
        if found
    }
